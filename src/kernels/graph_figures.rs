//! What became of passes that a device submits together.

use serde::{Deserialize, Serialize};

/// How often graphs of repeated passes were made and launched ([`Backend::graphs`](super::Backend::graphs)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphFigures {
    /// Graphs made.
    pub made: usize,
    /// Graphs launched.
    pub launched: usize,
    /// Why a graph could not be made or launched: the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
