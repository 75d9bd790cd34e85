//! `dragnext doctor`: what this program finds on this machine.

use crate::doctor::{self, Check, State};
use crate::error::Result;
use crate::report;

/// Says what there is: version, processor, memory, devices, models in the cache, network and environment, and what to do next.
///
/// Asks the network nothing unless `--network` is given. Ends with 75 when a model could not be fetched or used now.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Ask the hub for the description of the default model.
    #[arg(long)]
    network: bool,

    /// Print one line of JSON: a list of checks with name, state, text, details and hint.
    #[arg(long)]
    json: bool,
}

/// Looks, and tells.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let (checks, error) = doctor::examine(arguments.network);
    if arguments.json {
        report::print_json(&checks)?;
    } else {
        report::print_text(&shown(&checks))?;
    }
    error.map_or(Ok(()), Err)
}

fn shown(checks: &[Check]) -> String {
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
