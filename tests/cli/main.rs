//! The command line without a model: drag files and their faults, previews, comparisons, merged records, documents, the terminal, and what
//! the README, `Cargo.toml` and the order of modules promise.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print measurements and why they are skipped"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod compare;
mod documents;
mod drag_file_commands;
mod drag_file_faults;
mod drag_file_mutations;
mod eval;
mod import;
mod imports;
mod merge;
mod methods;
#[cfg(unix)]
mod output_hints;
mod preview;
mod readme;
mod reference;
mod schema;
#[cfg(unix)]
mod stdout;
mod supply_chain;
#[cfg(unix)]
mod terminal;
