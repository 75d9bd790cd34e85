//! The test bench that all test crates share: runs of the program, short edits, pictures encoded byte by byte, pseudo-random numbers, and
//! tensors computed by PyTorch. Each crate uses a part of it.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses a part of the bench"
)]

pub(crate) mod fixture;
pub(crate) mod numbers;
pub(crate) mod pictures;
pub(crate) mod program;
pub(crate) mod tiny;

pub(crate) use program::{Bench, Ended, Record, Run};

/// Prints a measurement, which `cargo test -- --nocapture` shows.
#[allow(clippy::print_stdout, reason = "the test runner captures it")]
pub(crate) fn report(line: &str) {
    println!("{line}");
}
