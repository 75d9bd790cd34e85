//! The calls that can be measured, and what a run of one returns.

use clap::ValueEnum;
use serde::{Serialize, Serializer};

use crate::cost::Cost;

/// A call that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Call {
    /// Noise prediction for one latent
    UnetB1,
    /// Noise prediction for two latents
    UnetB2,
    /// Noise prediction for two latents with mutual self-attention
    UnetMutualB2,
    /// Forward pass to decoder stage 3, and backward pass to the latent
    Drag,
    /// Forward pass to decoder stage 3 and the noise, and backward pass from both
    DragNoise,
    /// As `unet_b1`, with precomputed keys and values of the prompt
    UnetPrepared,
    /// Keys and values of the prompt
    Prompt,
    /// Loss and LoRA gradient of a training step, for four latents
    Lora,
    /// LoRA gradient for one latent
    AdaptersB1,
    /// Picture to latent
    VaeEncode,
    /// Latent to picture
    VaeDecode,
    /// A whole edit
    Edit,
}

impl Call {
    /// Returns the name on the command line and in reports.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// The cost and the results of one run of a call.
pub(crate) struct Run {
    pub(crate) cost: Cost,
    /// Cost of each stage of an edit.
    pub(crate) stages: Vec<(&'static str, Cost)>,
    pub(crate) outputs: Vec<(&'static str, Vec<f32>)>,
}

impl Run {
    /// Returns the results under the names of a reference: `CALL.OUTPUT`.
    pub(crate) fn results(&self, call: Call) -> impl Iterator<Item = (String, Vec<f32>)> {
        self.outputs
            .iter()
            .map(move |(output, values)| (format!("{}.{output}", call.name()), values.clone()))
    }
}
