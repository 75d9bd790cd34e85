//! The setting of the compared decoder stages.

use serde::{Deserialize, Serialize};

use crate::method::{Misfit, Subject};

/// Decoder stages, 1 (coarsest) to 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Taps(pub Vec<usize>);

impl Taps {
    /// Returns the stages that a model lacks.
    pub fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        let Some(stages) = subject.decoder_stages else {
            return Vec::new();
        };
        let missing = self.0.iter().filter(|tap| **tap > stages);
        missing
            .map(|tap| Misfit::Setting {
                name: "taps",
                value: tap.to_string(),
                reason: format!("is no decoder stage of this model, which has {stages}"),
            })
            .collect()
    }
}
