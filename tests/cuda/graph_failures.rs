//! Graphs that cannot be made or launched, and passes that end early: the results are right, and the reason is known.

use dragnext::device::check::{Extent, check};
use dragnext::error::Error;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::cuda::{Buffer, Cuda};
use dragnext::kernels::{Backend, PassKey, fault};
use dragnext::model::unet::{Input, Network, NoiseAndFeatures};
use dragnext::warning::WarningKind;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated, GraphSupport};
use super::graphs::{RUNS, TinyNetwork, figures, gpu, without_graphs};
use crate::bench::fixture::Fixture;
use crate::bench::fixture::short_edit::try_edit;
use crate::bench::report;

#[test]
fn a_graph_that_cannot_be_made_is_submitted() {
    if !available("a_graph_that_cannot_be_made_is_submitted") {
        return;
    }
    let single = TinyNetwork::new(without_graphs(Format::F16));
    for (graphs, made, reason) in [
        (GraphSupport::Refused, 0, "refused by the test"),
        (GraphSupport::OutOfMemory, 0, "out of memory"),
        // Of the forward and of the backward pass.
        (GraphSupport::LaunchOutOfMemory, 2, "out of memory"),
    ] {
        let failing = TinyNetwork::new(gpu(Format::F16, graphs));
        for run in 0..RUNS {
            assert!(failing.record(run) == single.record(run), "run {run}");
        }
        let figures = figures(&failing.cuda);
        assert_eq!((figures.made, figures.launched), (made, 0));
        let failure = figures.failure.expect("the reason is known");
        assert!(failure.contains(reason), "{failure}");
    }
}

/// Multiplies a value by 6 in a pass, and calls `meanwhile` before the last operation.
fn six_times(cuda: &Cuda, value: f32, meanwhile: impl FnOnce() + Send) -> f32 {
    let key = PassKey {
        kind: "test",
        shape: [1; 4],
        details: Vec::new(),
    };
    let times = |x: &Buffer, factor| cuda.compact(x, factor).expect("the factor is not 1");
    let inputs = || cuda.upload(vec![value; 100]);
    let y = cuda.pass(key, inputs, |x| {
        let twice = times(&x, 2.0);
        meanwhile();
        times(&twice, 3.0)
    });
    cuda.download(&y)[99]
}

/// A trim frees the workspace that a capture needs. That is no reason to tell the user of a failure.
#[test]
fn a_trim_of_another_thread_is_no_failure() {
    if !available("a_trim_of_another_thread_is_no_failure") {
        return;
    }
    let cuda = gpu(Format::F32, GraphSupport::Refused);
    for value in [1.0, 2.0] {
        assert_eq!(six_times(&cuda, value, || ()), 6.0 * value);
    }
    let trim = || {
        std::thread::scope(|scope| {
            scope.spawn(|| cuda.trim());
        });
    };
    assert_eq!(six_times(&cuda, 3.0, trim), 18.0);
    assert_eq!(figures(&cuda).failure, None);
    for value in [4.0, 5.0] {
        assert_eq!(six_times(&cuda, value, || ()), 6.0 * value);
        assert_eq!(figures(&cuda).failure, None, "they are recorded anew");
    }
    assert_eq!(six_times(&cuda, 6.0, || ()), 36.0);
    assert!(figures(&cuda).failure.is_some(), "nothing trimmed");
}

#[test]
fn a_graph_that_cannot_be_made_is_a_warning() {
    if !available("a_graph_that_cannot_be_made_is_a_warning") {
        return;
    }
    let dump = Fixture::open("edit/dump.safetensors");
    let edited = try_edit(gpu(Format::F16, GraphSupport::Refused), &dump, |_| ());
    let (outcome, _) = edited.expect("the edit succeeds");
    let warnings = outcome.warnings;
    assert!(
        warnings.len() == 1
            && warnings[0].kind == WarningKind::DeviceGraphs
            && warnings[0].message.contains("refused by the test"),
        "{warnings:?}"
    );
}

/// Memory runs out while outputs of a pass with a graph are kept. The graph's memory is freed, the results before and after are right.
#[test]
fn short_memory_frees_the_memory_of_graphs() {
    if !available("short_memory_frees_the_memory_of_graphs") {
        return;
    }
    let single = TinyNetwork::new(without_graphs(Format::F16));
    let expected: Vec<_> = (0..RUNS).map(|run| single.record(run)).collect();
    let rehearsal = TinyNetwork::new(gpu(Format::F16, GraphSupport::Full));
    for run in 0..RUNS {
        rehearsal.record(run);
    }
    let peak = rehearsal
        .cuda
        .peak_bytes()
        .expect("the backend tracks its memory") as usize;
    let emulated = Emulated::with_memory(ConvolutionSupport::Full, peak + 100_000);
    let cuda = Cuda::new(emulated, Format::F16);
    cuda.use_graphs(true);
    let graphs = TinyNetwork::new(cuda.clone());
    let mut hog = Vec::new();
    for run in 0..RUNS {
        assert!(graphs.record(run) == expected[run as usize], "run {run}");
    }
    let before = figures(&cuda);
    assert!(before.launched > 0, "{before:?}");
    // All that is free, and then some of what the passes hold.
    let filled = fault::catch(|| -> Result<(), Error> {
        loop {
            hog.push(cuda.zeros(10_000));
        }
    });
    let error = filled.expect_err("the memory is finite");
    assert_eq!(error.kind().name(), "compute.out_of_memory");
    let in_hog = hog.len() * 40_000;
    assert!(in_hog > 100_000, "{in_hog} bytes: the passes gave theirs");
    drop(hog);
    for run in 0..RUNS {
        assert!(graphs.record(run) == expected[run as usize], "run {run}");
    }
    assert!(figures(&cuda).made > before.made, "graphs are made again");
}

/// A pass that runs out of memory while it holds operations back fails as any other, and the next one works.
#[test]
fn a_pass_that_fails_holds_nothing_back() {
    if !available("a_pass_that_fails_holds_nothing_back") {
        return;
    }
    let single = TinyNetwork::new(without_graphs(Format::F16));
    let graphs = TinyNetwork::new(gpu(Format::F16, GraphSupport::Full));
    for run in 0..RUNS {
        assert!(graphs.record(run) == single.record(run), "run {run}");
        // Another thread's panic unwinds through the pass.
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (latent, t) = graphs.input(run);
            // No decoder stage has this number: the pass panics after its layers ran.
            let input = Input::at(&latent, t, &graphs.prompt);
            graphs.unet.forward(input, NoiseAndFeatures::of(&[9]))
        }));
        assert!(failed.is_err());
    }
    let latest = graphs.record(RUNS);
    assert!(latest == single.record(RUNS));
}

/// The check of a device that is requested to use graphs launches some, and finds what is wrong with them alone.
#[test]
fn the_check_finds_a_fault_of_graphs() {
    if !available("the_check_finds_a_fault_of_graphs") {
        return;
    }
    let formats = [Format::F32, Format::F16, Format::Bf16];
    let checked = |cuda: &Cuda| {
        let backends = formats.map(|format| (format, cuda.in_format(format)));
        check(&backends, Extent::Small).expect("there is memory")
    };
    let right = checked(&gpu(Format::F16, GraphSupport::Full));
    assert!(right.passes(), "{right:?}");
    let graphs = right.graphs.expect("they are requested");
    report(&format!("{graphs:?}"));
    // Forward and backward, of a drag and of a LoRA, the last two runs of each.
    assert!(graphs.made >= 4 * formats.len() && graphs.launched >= 8 * formats.len());
    assert_eq!(graphs.failure, None);

    let wrong = gpu(Format::F16, GraphSupport::Wrong);
    let found = checked(&wrong);
    for format in formats {
        let found = found.of_format(format).expect("it was checked");
        let names: Vec<String> = found.differences.iter().map(ToString::to_string).collect();
        report(&format!("{}: {names:#?}", format.name()));
        assert!(!found.passes(), "{}", format.name());
        assert!(names.iter().all(|name| name.starts_with("tiny network, ")));
    }
    let without = Cuda::new(
        Emulated::new(ConvolutionSupport::Full).with_graphs(GraphSupport::Wrong),
        Format::F16,
    );
    let without = checked(&without);
    assert!(without.passes(), "nothing else is wrong: {without:?}");
    assert_eq!(without.graphs, None);
}

#[test]
fn the_check_says_why_there_are_no_graphs() {
    if !available("the_check_says_why_there_are_no_graphs") {
        return;
    }
    let cuda = gpu(Format::F16, GraphSupport::Refused);
    let found = check(&[(Format::F32, cuda)], Extent::Small).expect("there is memory");
    assert!(found.passes(), "{found:?}");
    let reason = found.graphs.and_then(|graphs| graphs.failure);
    assert!(reason.is_some_and(|reason| reason.contains("refused by the test")));
}
