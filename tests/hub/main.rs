//! Models of the hub, through the program, against a small local hub with planned faults.
//!
//! Every test first proves that its fault happened: from the log of the hub, from a failpoint or from how a process ended.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print why they are skipped"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod cache;
mod clip;
mod doctor;
mod fetch;
mod hub_bench;
mod network;
mod server;
mod shards;
mod together;
