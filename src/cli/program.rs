//! The program: parses the command line, handles signals, runs the subcommand, and turns an error into an exit status.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;

use super::Cli;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::{allocator, files, panics, report};

/// Runs the program. It installs signal handlers and a panic hook, so it is for a process of its own.
pub fn main() -> ExitCode {
    allocator::limit_malloc_arenas();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => error.exit(),
        // Help and version. clap styles them for a terminal.
        Err(help) => {
            let printed = if io::stdout().is_terminal() {
                help.print().map_err(|error| files::stdout_failed(&error))
            } else {
                report::print_text(&help.to_string())
            };
            return status(printed);
        }
    };
    install_panic_hook();
    let interrupt = Interrupt::on_signals().map_err(|source| Error::File {
        path: "signals".into(),
        source,
    });
    status(interrupt.and_then(|interrupt| panics::catch(|| cli.run(&interrupt))))
}

/// Reports how the program ended.
fn status(ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::print_error(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

/// Silences the default message of a panic, because a panic is reported as an error. With `RUST_BACKTRACE` in the environment it also
/// prints what Rust prints by default. Panics of decoders are expected: they print nothing in any case.
fn install_panic_hook() {
    let default = std::panic::take_hook();
    let is_verbose = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |info| {
        if panics::is_expected() {
            return;
        }
        panics::record(info);
        if is_verbose {
            default(info);
        }
    }));
}
