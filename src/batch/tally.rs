//! How the items of one run ended, as counts.

use super::limits::StopReason;

/// The number of items that ended in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Edited and written.
    pub(super) done: usize,
    /// Written in place of an existing file with other bytes; also counted in `done`.
    pub(super) replaced: usize,
    /// Failed.
    pub(super) failed: usize,
    /// Failed because the disk is full; also counted in `failed`.
    pub(super) disk_full: usize,
    /// Begun and stopped by a signal.
    pub(super) interrupted: usize,
    /// Why the run began no further item; `None` when it reached the end of the list or was interrupted.
    pub(super) stopped: Option<StopReason>,
}
