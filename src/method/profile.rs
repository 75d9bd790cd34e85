//! What users want to know of a method before they choose it.

use serde::Serialize;

/// What neither a method's settings nor its needs and its cost say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// The paper, as in the method's description: what its method is called there, and its number on arXiv.
    pub paper: &'static str,
    /// What the method is good at, and what it is not, in a sentence or two.
    pub good_at: &'static str,
    /// What it reaches.
    pub figures: Figures,
}

/// What a method reaches on scenes of SceneBench with the model `demo` and its paper's settings, pbsi with the program's (section "Methods" of
/// `tests/scenebench/README.md`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Scenes on which carrying the region along is right.
    pub plain: Score,
    /// Scenes on which it is wrong somewhere.
    pub hard: Score,
}

/// Means over the scenes of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// 1 for a perfect edit, 0 for none.
    pub gain: f64,
    /// Share of the scenes with a gain of at least 0.75.
    pub hit: f64,
}
