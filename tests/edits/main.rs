//! Whole edits through the program: `dragnext edit`, `check` and `show`, the cache, outputs, faults, signals and kills.

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
