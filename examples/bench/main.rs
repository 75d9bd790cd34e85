//! Benchmark of the network's calls, the VAE and a whole edit: seconds, page faults, allocations and memory, as one line of JSON.
//!
//!     cargo run --release --example bench -- demo --edit PICTURE DRAG.json
//!
//! - `--reference FILE` (written by `tests/peer/bench.py reference`): calls use the inputs of another implementation, and the report
//!   compares their results with its results.
//! - `--record FILE`: writes such a file of results, so that results of another device can be compared with them.
//! - `--serve`: reads names of calls from standard input, runs each once and answers with one line of JSON, so that
//!   `tests/peer/bench.py compare` can run two programs in turn.

#![allow(clippy::print_stdout, reason = "this program has no other output")]

mod allocations;
mod call;
mod calls;
mod cost;
mod device;
mod edit;
mod inputs;
mod reference;
mod summary;

use std::collections::BTreeMap;
use std::io::{BufRead, stdin};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::{Backend, GraphFigures, fault};
use serde::Serialize;

use call::{Call, Run};
use calls::Calls;
use cost::Cost;
use reference::{Agreement, Reference};
use summary::Summary;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Seconds, page faults, allocations and memory of network calls and of a whole edit, as one line of JSON
#[derive(Parser)]
struct Arguments {
    /// `demo`, or a folder in diffusers layout
    model: String,
    /// Side of the picture in pixels; the size of the reference's pictures takes precedence
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(8..=4096))]
    size: u16,
    /// Measured runs of each call, after one warm-up run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Inputs and expected outputs
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Write the results of the calls
    #[arg(long, value_name = "FILE", conflicts_with = "serve")]
    record: Option<PathBuf>,
    /// Calls to run; all by default, including `edit` if `--edit` is given
    #[arg(long, value_delimiter = ',')]
    calls: Vec<Call>,
    /// Picture and drag file of the call `edit`
    #[arg(long, num_args = 2, value_names = ["PICTURE", "DRAG.json"])]
    edit: Option<Vec<PathBuf>>,
    /// Device: cpu, or cuda[:N] in builds with the feature `cuda`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Format of weights and activations on a GPU: f16, bf16 or f32
    #[arg(long, default_value = "f16", value_parser = ["f16", "bf16", "f32"])]
    dtype: String,
    /// Read names of calls from standard input; `check NAME` compares the result with the reference
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
    /// Convolutions that a library of the device refused, each with its reason; slower kernels computed them.
    refused_convolutions: Vec<String>,
    /// Graphs of repeated passes, if `DRAGNEXT_CUDA_GRAPHS` requests them.
    #[serde(skip_serializing_if = "Option::is_none")]
    graphs: Option<GraphFigures>,
}

/// The reply to a name of a call.
#[derive(Serialize)]
struct Reply {
    call: Call,
    agreement: BTreeMap<String, Agreement>,
    #[serde(flatten)]
    cost: Cost,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    stages: BTreeMap<&'static str, Cost>,
}

fn main() -> Result<()> {
    device::load_kernels_lazily();
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
    // Faults of the device become errors.
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
    let all = || {
        Call::value_variants()
            .iter()
            .copied()
            .filter(|call| *call != Call::Edit || arguments.edit.is_some())
            .collect()
    };
    let wanted: Vec<Call> = if arguments.calls.is_empty() {
        all()
    } else {
        arguments.calls.clone()
    };
    let (mut agreement, mut summaries, mut results) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for call in wanted {
        // The first run is the warm-up. Its results are compared with the reference.
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
        refused_convolutions: calls.refused_convolutions(),
        graphs: calls.graphs(),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn serve<B: Backend>(calls: &mut Calls<B>) -> Result<()> {
    for line in stdin().lock().lines() {
        match reply(calls, &line?) {
            Ok(reply) => println!("{}", serde_json::to_string(&reply)?),
            Err(error) => println!("{}", serde_json::json!({ "error": format!("{error:#}") })),
        }
    }
    Ok(())
}

fn reply<B: Backend>(calls: &mut Calls<B>, line: &str) -> Result<Reply> {
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
    Ok(Reply {
        call,
        agreement,
        cost: run.cost,
        stages: run.stages.into_iter().collect(),
    })
}
