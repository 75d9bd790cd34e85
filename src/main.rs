//! The `dragnext` command: parse, listen to signals, run, turn an error into an exit status.

use std::process::ExitCode;

use clap::Parser;
use dragnext::cli::Cli;
use dragnext::error::Error;
use dragnext::interrupt::Interrupt;
use dragnext::{allocator, bug, report};

fn main() -> ExitCode {
    allocator::limit_malloc_arenas();
    let cli = Cli::parse();
    bug::keep_quiet();
    let interrupt = Interrupt::on_signals().map_err(|source| Error::File {
        path: "signals".into(),
        source,
    });
    match interrupt.and_then(|interrupt| bug::caught(|| cli.run(&interrupt))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::print_error(&error);
            ExitCode::from(error.exit_status())
        }
    }
}
