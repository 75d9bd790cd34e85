//! `dragnext doctor`: diagnoses this machine.

use crate::doctor::{self, Check, State};
use crate::error::Result;
use crate::report;

/// Diagnoses version, processor, memory, devices, cached models, network and environment, and says what to do next.
///
/// Does not use the network unless `--network` is given. The exit status is 75 if models cannot be fetched or used now.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Test the connection to the hub by requesting the description of the default model.
    #[arg(long)]
    network: bool,

    /// Print one line of JSON: a list of checks with name, state, text, details and hint.
    #[arg(long)]
    json: bool,
}

/// Runs the checks and prints them.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let (checks, error) = doctor::run(arguments.network);
    if arguments.json {
        report::print_json(&checks)?;
    } else {
        report::print_text(&render(&checks))?;
    }
    error.map_or(Ok(()), Err)
}

fn render(checks: &[Check]) -> String {
    let lines = checks.iter().flat_map(|check| {
        let mark = match check.state {
            State::Good => ' ',
            State::Note => '!',
            State::Bad => 'x',
        };
        let first = format!("{mark} {:<12} {}", check.name, check.text);
        std::iter::once(first).chain(
            check
                .details
                .iter()
                .map(|detail| format!("{:15}{detail}", "")),
        )
    });
    let hints: Vec<&str> = checks
        .iter()
        .filter_map(|check| check.hint.as_deref())
        .collect();
    let next = if hints.is_empty() {
        "nothing is missing".to_owned()
    } else {
        hints.join("\n               ")
    };
    let next = format!("  {:<12} {next}\n", "next");
    lines.chain([next]).collect::<Vec<_>>().join("\n")
}
