//! `dragnext doctor`: diagnoses this machine.

use crate::device::{BackendChoice, Device};
use crate::doctor::{self, Check, DeviceRequest, State};
use crate::error::Result;
use crate::report;

/// Diagnoses version, processor, memory, devices, cached models, network and environment, and says what to do next.
///
/// Does not use the network unless `--network` is given. The exit status is 75 if models cannot be fetched or used now.
///
/// With `--check` the devices of `--device` and `--backend` are compared with the CPU: every operation of the network, a small network forward and
/// backward, its VAE, a step of a LoRA and of a drag, in f32, f16 and bf16. What differs is named by operation and shape, and the exit status is 2 if
/// anything does. A GPU's result is remembered: edits use one that passes, and check one that was not checked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n\n  dragnext doctor\n  dragnext doctor --device cuda --check      compares both backends of the first NVIDIA GPU with the CPU\n  dragnext doctor --device cpu --backend candle --check --json\n\nDRAGNEXT_CUDNN=graph makes the program's own backend compute convolutions with cuDNN's\ngraph API, here and in edits. DRAGNEXT_CUDA_GRAPHS=1 makes it submit repeated passes through\nthe network as CUDA graphs."
)]
pub(super) struct Arguments {
    /// Compare devices with the CPU.
    #[arg(long)]
    check: bool,

    /// Device to compare: auto (all that edits would try), cpu, cuda[:N] or metal.
    #[arg(long, default_value = "auto", requires = "check")]
    device: Device,

    /// Backend to compare; `auto` compares all that edits would try.
    #[arg(long, value_enum, default_value = "auto", requires = "check")]
    backend: BackendChoice,

    /// Test the connection to the hub by requesting the description of the default model.
    #[arg(long)]
    network: bool,

    /// Print one line of JSON: a list of checks with name, state, text, details and hint.
    #[arg(long)]
    json: bool,
}

/// Runs the checks and prints them.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let requested = arguments.check.then_some(DeviceRequest {
        device: arguments.device,
        backend: arguments.backend,
    });
    let (checks, error) = doctor::run(arguments.network, requested)?;
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
