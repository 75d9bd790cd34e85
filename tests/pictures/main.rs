//! Picture files: formats, metadata, rejected files, memory limits, mutated files, and how outputs are written.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print measurements and why they are skipped"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod bounds;
mod files;
mod mutations;
mod photographs;
mod reading;
