//! Options of a batch that are not settings of the edits.

use super::Limits;

/// How the items of a batch are edited and recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Replace outputs that this program did not write.
    pub overwrite: bool,
    /// Print each record to stdout.
    pub json: bool,
    /// Number of items that share each call of the network; at least 1.
    pub group_size: usize,
    /// When to stop early.
    pub limits: Limits,
}
