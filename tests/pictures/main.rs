//! Picture files: formats, metadata, rejected files, memory limits, mutated files, and how outputs are written.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where something is not as it should be, and says what it measured"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod bounds;
mod files;
mod mutations;
mod photographs;
mod reading;
