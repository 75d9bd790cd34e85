//! What the threads of a run hand to each other.

use super::Item;
use crate::edit::{Identity, Prepared};
use crate::error::Result;
use crate::pipeline::Outcome;
use crate::report::Record;

/// An item that the reader is done with.
pub(super) struct ReadItem<'a> {
    pub(super) item: &'a Item,
    pub(super) record: Record,
    pub(super) prepared: Result<PreparedItem>,
}

/// An edit that is ready for the network.
pub(super) struct PreparedItem {
    pub(super) prepared: Prepared,
    pub(super) identity: Identity,
    /// Whether the result may replace an existing file.
    pub(super) may_replace: bool,
}

/// The edit of one item; the outcome is `None` when no region moves.
pub(super) type EditResult = Result<(PreparedItem, Option<Outcome>)>;

/// An item that the network is done with.
pub(super) struct EditedItem<'a> {
    pub(super) item: &'a Item,
    pub(super) record: Record,
    pub(super) edit: EditResult,
    /// Number of items in its group.
    pub(super) group_size: usize,
}
