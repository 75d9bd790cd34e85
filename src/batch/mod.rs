//! Many edits in one run: nothing lost when a machine dies, nothing done twice, and an honest account at the end.
//!
//! | room | what is in it |
//! |---|---|
//! | `folder`, `manifest` | where a list of items comes from |
//! | `list`, `roots` | the whole list is checked before anything runs: ids, outputs, paths that leave their folders |
//! | `seeds` | variants: every item once with each of some seeds |
//! | `shard` | the part of the list that one of many runs does |
//! | `terms` | what holds for all items; reads, plans and prepares one of them |
//! | `log` | records on the disk: one writer, a line for each item after its picture is in place |
//! | `history` | what earlier runs wrote there, and what is done, failed or to do because of it |
//! | `weights` | the hash of the weights, remembered, so that a run with nothing to do reads none |
//! | `limits` | when a run stops before its end |
//! | `run` | three threads: the next item is read while the network is at one, and the one before is encoded and written |
//! | `group` | items that go through the network side by side |
//! | `verdict` | how it ended as a whole, as an exit status |
//!
//! Done means: a record says so, the hash of all that decides the pixels is the same as now, and the output is there with the hash that the
//! record names. Nothing else does: neither the output's existence nor a time stamp.

mod folder;
mod group;
mod history;
mod limits;
mod list;
mod log;
mod manifest;
mod roots;
mod run;
mod seeds;
mod shard;
mod terms;
mod verdict;
mod weights;

pub use history::{History, Redo, State};
pub use limits::{Limits, Reached};
pub use list::{Fault, Item, List, Origin, Rules};
pub use log::Log;
pub use manifest::Line;
pub use run::{Run, Tally};
pub use seeds::Seeds;
pub use shard::Shard;
pub use terms::Terms;
pub use verdict::verdict;
pub use weights::{remember, remembered};

/// The folder inside an output folder that holds records.
pub const RECORDS: &str = "records";
