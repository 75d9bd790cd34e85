//! Edits a list of pictures in one run that can be interrupted, resumed and sharded.
//!
//! | module | contents |
//! |---|---|
//! | `folder`, `manifest` | where a list comes from |
//! | `pairing`, `skipped`, `neighbours` | drag files of a folder's pictures; what a folder has that is not edited, and why |
//! | `list`, `entry` | the list and its items |
//! | `checker`, `unique`, `roots` | check the whole list before anything runs: names, files, ids, outputs, paths outside their folders |
//! | `seeds`, `methods` | variants: each item once with each of several seeds, or methods |
//! | `sheets` | contact sheets of the methods, one for each picture |
//! | `shard` | the part of the list that one of several runs edits |
//! | `resolver` | what holds for all items; reads and plans one of them |
//! | `log` | appends a record for each item after its picture is written |
//! | `history` | reads the records of earlier runs; decides which items are pending |
//! | `weights` | caches the hash of the weights, so that a run without pending items does not load them |
//! | `batch` | one batch: pending items, weights, run, result |
//! | `dry_run` | plans the items without editing them |
//! | `options`, `limits` | options, and limits that end a run early |
//! | `run` | one run: reader, network and writer threads |
//! | `reader`, `network`, `writer`, `handoff` | the three threads, and what they hand to each other |
//! | `groups`, `group` | items whose requests to the network are computed in shared calls |
//! | `existing` | files that already exist at the path of a result |
//! | `tally`, `result` | how the items and the batch ended |

#[expect(
    clippy::module_inception,
    reason = "a batch is what this module is about"
)]
mod batch;
mod checker;
mod dry_run;
mod entry;
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
mod methods;
mod neighbours;
mod network;
mod options;
mod pairing;
mod reader;
mod resolver;
mod result;
mod roots;
mod run;
mod seeds;
mod shard;
mod sheets;
mod skipped;
mod tally;
mod unique;
mod weights;
mod writer;

pub(crate) use batch::Batch;
pub(crate) use dry_run::DryRun;
pub(crate) use entry::Item;
pub(crate) use history::{History, ItemState, Redo};
pub(crate) use limits::Limits;
pub(crate) use list::{List, ListOptions, ListSource};
pub(crate) use log::Log;
pub(crate) use manifest::to_manifest;
pub(crate) use options::Options;
pub(crate) use resolver::Resolver;
pub(crate) use seeds::Seeds;
pub(crate) use shard::Shard;

/// The folder inside an output folder that holds records.
pub(crate) const RECORDS: &str = "records";
