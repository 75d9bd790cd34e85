//! The identity of a pass through a network, for devices that repeat passes.

/// What a pass computes: passes with equal keys probably make the same calls. [`Backend::pass`](super::Backend::pass) does not rely on
/// it: a key that two different passes share only costs time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassKey {
    /// The kind of pass.
    pub kind: &'static str,
    /// Batch, height, width and channels of its main input.
    pub shape: [usize; 4],
    /// What else it depends on, such as the decoder stages whose outputs it returns.
    pub details: Vec<usize>,
}
