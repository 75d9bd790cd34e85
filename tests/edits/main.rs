//! Whole edits through the program: `dragnext edit`, `check` and `show`, the cache, outputs, faults, signals and kills.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print measurements and why they are skipped"
)]

mod additions;
mod amounts;
mod awkward_points;
mod backend;
#[path = "../bench/mod.rs"]
mod bench;
mod benchmark;
mod cache;
mod check;
mod clip_drag;
mod command;
mod copies;
#[cfg(unix)]
mod crash;
mod degrees;
mod demo;
mod diagnostics;
mod distilled;
mod faults;
mod guided;
mod masks;
mod methods;
mod model_files;
mod outputs;
mod points;
mod sd2;
mod show;
#[cfg(unix)]
mod signals;
mod single_file;
mod streams;
mod window;
