//! Edits a list of pictures in one run that can be interrupted, resumed and sharded.
//!
//! | module | contents |
//! |---|---|
//! | `folder`, `manifest` | where a list comes from |
//! | `list`, `roots` | checks the whole list before anything runs: ids, outputs, paths outside their folders |
//! | `seeds` | variants: each item once with each of several seeds |
//! | `shard` | the part of the list that one of several runs edits |
//! | `resolver` | what holds for all items; reads and plans one of them |
//! | `log` | appends a record for each item after its picture is written |
//! | `history` | reads the records of earlier runs; decides which items are pending |
//! | `weights` | caches the hash of the weights, so that a run without pending items does not load them |
//! | `limits` | limits that end a run early |
//! | `run` | one run: reader, network and writer threads |
//! | `reader`, `network`, `writer`, `handoff` | the three threads, and what they hand to each other |
//! | `groups`, `group` | items whose requests to the network are computed in shared calls |
//! | `existing` | files that already stand where a result should go |
//! | `tally`, `verdict` | how the items and the run ended |

mod existing;
mod folder;
mod group;
mod groups;
mod handoff;
mod history;
mod limits;
mod list;
mod log;
mod manifest;
mod network;
mod reader;
mod resolver;
mod roots;
mod run;
mod seeds;
mod shard;
mod tally;
mod verdict;
mod weights;
mod writer;

pub use history::{History, ItemState, Redo};
pub use limits::{Limits, StopReason};
pub use list::{Fault, Item, List, Origin, Rules};
pub use log::Log;
pub use manifest::Line;
pub use resolver::Resolver;
pub use run::Run;
pub use seeds::Seeds;
pub use shard::Shard;
pub use tally::Tally;
pub use verdict::verdict;
pub use weights::{remember, remembered};

/// The folder inside an output folder that holds records.
pub const RECORDS: &str = "records";
