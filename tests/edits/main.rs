//! Whole edits through the program: `dragnext edit` and `dragnext check`, their cache, their results on the disk, faults, and kills at any moment.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where something is not as it should be, and says what it measured"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod benchmark;
mod cache;
mod check;
mod command;
#[cfg(unix)]
mod crash;
mod demo;
mod faults;
mod outputs;
mod show;
#[cfg(unix)]
mod signals;
mod window;
