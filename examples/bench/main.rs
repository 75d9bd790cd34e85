//! How fast the program is, and what it takes: the network's calls, the picture encoder and decoder, and a whole edit, as one line of JSON.
//!
//!     cargo run --release --example bench -- demo --edit PICTURE DRAG.json
//!
//! With `--reference` (made by `tests/peer/bench.py reference`) the calls work on the numbers of another implementation, and how near
//! the results are stands first. `--record` writes such a file of results, so that another device can be held to this one. With `--serve` the program waits for names of calls on its input, does each once and answers with
//! one line, so that `tests/peer/bench.py compare` can measure two programs in turn.

#![allow(clippy::print_stdout, reason = "this program has no other output")]

mod allocations;
mod calls;
mod cost;
mod device;
mod edit;
mod reference;
mod summary;

use std::collections::BTreeMap;
use std::io::{BufRead, stdin};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::{Backend, fault};
use serde::Serialize;

use calls::{Call, Calls, Run};
use cost::Cost;
use reference::{Agreement, Reference};
use summary::Summary;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Seconds, page faults, allocations and memory of the network's calls and of a whole edit, as one line of JSON.
#[derive(Parser)]
struct Arguments {
    /// `demo`, or a folder in diffusers layout.
    model: String,
    /// Side of the picture in pixels; the reference's pictures go before it.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(8..=4096))]
    size: u16,
    /// Runs of each call, after one that is not counted.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Inputs and expected outputs.
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Write what the calls gave.
    #[arg(long, value_name = "FILE", conflicts_with = "serve")]
    record: Option<PathBuf>,
    /// The calls; all by default, `edit` among them where there is something to edit.
    #[arg(long, value_delimiter = ',')]
    calls: Vec<Call>,
    /// What a whole edit edits.
    #[arg(long, num_args = 2, value_names = ["PICTURE", "DRAG.json"])]
    edit: Option<Vec<PathBuf>>,
    /// Where to compute: cpu, or cuda[:N] where that was built in.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// How a GPU stores weights and activations: f16, bf16 or f32.
    #[arg(long, default_value = "f16", value_parser = ["f16", "bf16", "f32"])]
    dtype: String,
    /// Wait for names of calls on the standard input; after `check ` the answer says how near the result is.
    #[arg(long)]
    serve: bool,
}

/// The whole report.
#[derive(Serialize)]
struct Report<'a> {
    agreement: BTreeMap<String, Agreement>,
    model: &'a str,
    /// Width and height of the picture.
    size: [usize; 2],
    threads: usize,
    device: &'a str,
    dtype: &'a str,
    repeat: u16,
    calls: BTreeMap<Call, Summary>,
}

/// The answer to one name of a call.
#[derive(Serialize)]
struct Answer {
    call: Call,
    agreement: BTreeMap<String, Agreement>,
    #[serde(flatten)]
    cost: Cost,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    stages: BTreeMap<&'static str, Cost>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let reference = arguments
        .reference
        .as_deref()
        .map(Reference::read)
        .transpose()?
        .unwrap_or_default();
    let edit = arguments
        .edit
        .clone()
        .and_then(|edit| <[PathBuf; 2]>::try_from(edit).ok());
    match arguments.device.strip_prefix("cuda") {
        None => measure(Cpu, &arguments, reference, edit),
        Some(number) => measure(
            device::cuda(number, &arguments.dtype)?,
            &arguments,
            reference,
            edit,
        ),
    }
}

fn measure<B: Backend>(
    backend: B,
    arguments: &Arguments,
    reference: Reference,
    edit: Option<[PathBuf; 2]>,
) -> Result<()> {
    let mut outcome = Ok(());
    // A fault of the device is an error, too.
    fault::catch(|| {
        let calls = Calls::new(
            backend,
            &arguments.model,
            arguments.size.into(),
            reference,
            edit,
        );
        outcome = calls.and_then(|mut calls| {
            if arguments.serve {
                serve(&mut calls)
            } else {
                report(arguments, &mut calls)
            }
        });
        Ok(())
    })?;
    outcome
}

fn report<B: Backend>(arguments: &Arguments, calls: &mut Calls<B>) -> Result<()> {
    let named = arguments.calls.clone();
    let all = || {
        Call::value_variants()
            .iter()
            .copied()
            .filter(|call| *call != Call::Edit || arguments.edit.is_some())
            .collect()
    };
    let wanted: Vec<Call> = if named.is_empty() { all() } else { named };
    let (mut agreement, mut summaries, mut results) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for call in wanted {
        // The first run is not counted: it finds caches cold, and its results are compared.
        let first = calls.run(call)?;
        agreement.append(&mut calls.agreement(call, &first)?);
        results.extend(first.results(call));
        let runs = (0..arguments.repeat)
            .map(|_| calls.run(call))
            .collect::<Result<Vec<Run>>>()?;
        summaries.insert(call, Summary::new(&runs, calls.flop(call)));
    }
    if let Some(path) = &arguments.record {
        reference::write(path, &results)?;
    }
    let Arguments {
        model,
        repeat,
        device,
        dtype,
        ..
    } = arguments;
    let dtype = if device == "cpu" { "f32" } else { dtype };
    let (size, threads) = (calls.size(), rayon::current_num_threads());
    let report = Report {
        agreement,
        model,
        size,
        threads,
        device,
        dtype,
        repeat: *repeat,
        calls: summaries,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn serve<B: Backend>(calls: &mut Calls<B>) -> Result<()> {
    for line in stdin().lock().lines() {
        match answer(calls, &line?) {
            Ok(answer) => println!("{}", serde_json::to_string(&answer)?),
            Err(error) => println!("{}", serde_json::json!({ "error": format!("{error:#}") })),
        }
    }
    Ok(())
}

fn answer<B: Backend>(calls: &mut Calls<B>, line: &str) -> Result<Answer> {
    let (is_check, name) = line
        .trim()
        .strip_prefix("check ")
        .map_or((false, line.trim()), |name| (true, name));
    let call = Call::from_str(name, false).map_err(anyhow::Error::msg)?;
    let run = calls.run(call)?;
    let agreement = if is_check {
        calls.agreement(call, &run)?
    } else {
        BTreeMap::new()
    };
    Ok(Answer {
        call,
        agreement,
        cost: run.cost,
        stages: run.stages.into_iter().collect(),
    })
}
