//! Repeated passes as graphs on the emulated GPU: the bits are those of single operations, whatever changes between the runs.

use dragnext::diffusion::finetune::{Subject, finetune};
use dragnext::diffusion::{NoiseSource, Seeded};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::{Backend, GraphFigures};
use dragnext::model::UNet;
use dragnext::model::unet::{Input, Network, NoiseAndFeatures, Prompt};
use dragnext::nn::{Finiteness, Loss, Shape, Tensor};
use dragnext::progress::Silent;
use dragnext::settings::LoraSettings;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated, GraphSupport};
use crate::bench::fixture::short_edit::try_edit;
use crate::bench::fixture::{Fixture, source};
use crate::bench::report;
use crate::parity::network::{random, schedule, unet};

/// Runs of a pass: one of each state, and more that launch the graph.
pub(super) const RUNS: u64 = 6;

pub(super) fn gpu(format: Format, graphs: GraphSupport) -> Cuda {
    let emulated = Emulated::new(ConvolutionSupport::Full).with_graphs(graphs);
    let cuda = Cuda::new(emulated, format);
    cuda.use_graphs(true);
    cuda
}

pub(super) fn without_graphs(format: Format) -> Cuda {
    Cuda::new(Emulated::new(ConvolutionSupport::Full), format)
}

/// The tiny network on a GPU, with a prompt.
pub(super) struct TinyNetwork {
    pub(super) cuda: Cuda,
    pub(super) unet: UNet<Cuda>,
    pub(super) prompt: Prompt<Cuda>,
}

impl TinyNetwork {
    pub(super) fn new(cuda: Cuda) -> Self {
        let unet = unet(&cuda, &source("tiny"));
        let prompt = unet.prepare(&random(&cuda, 2, Shape::new(1, 1, 7, 24)));
        Self { cuda, unet, prompt }
    }

    /// The latent and the timestep of a run.
    pub(super) fn input(&self, run: u64) -> (Tensor<Cuda>, f64) {
        let latent = random(&self.cuda, 10 + run, Shape::new(1, 8, 8, 4));
        (latent, 40.0 * run as f64 + 1.0)
    }

    fn predict(&self, run: u64) -> Tensor<Cuda> {
        let (latent, t) = self.input(run);
        self.unet.predict(Input::at(&latent, t, &self.prompt))
    }

    /// Records a pass, and returns its outputs with the gradient of a loss that depends on them.
    pub(super) fn record(&self, run: u64) -> Vec<Vec<u32>> {
        let (latent, t) = self.input(run);
        let input = Input::at(&latent, t, &self.prompt);
        let pass = self.unet.record(input, NoiseAndFeatures::of(&[2, 3]));
        let (noise, features) = pass.outputs().clone();
        let gradients = (noise.full(1e-3), features.iter().map(|map| map.full(2e-3)));
        let gradients = (gradients.0, gradients.1.collect());
        // The loss scale follows the magnitude.
        let gradient = pass.backward(gradients, 1.0 + run as f32);
        let all = features.iter().chain([&noise, &gradient]);
        all.map(bits).collect()
    }
}

/// Returns the bits of all values, of which some may be NaN where a gradient left the range of f16.
fn bits(tensor: &Tensor<Cuda>) -> Vec<u32> {
    tensor.to_host().into_iter().map(f32::to_bits).collect()
}

/// Returns what became of the passes of a GPU.
pub(super) fn figures(cuda: &Cuda) -> GraphFigures {
    cuda.graphs().expect("graphs are requested")
}

/// Asserts that the figures are those of graphs which were launched.
fn assert_launched(figures: &GraphFigures, made: usize, launched: usize) {
    report(&format!("{figures:?}"));
    let GraphFigures {
        made: of_made,
        launched: of_launched,
        failure,
    } = figures;
    assert_eq!(
        (*of_made, *of_launched, failure),
        (made, launched, &None),
        "graphs made and launched"
    );
}

#[test]
fn a_graph_follows_its_inputs() {
    if !available("a_graph_follows_its_inputs") {
        return;
    }
    for format in [Format::F32, Format::F16, Format::Bf16] {
        let single = TinyNetwork::new(without_graphs(format));
        let graphs = TinyNetwork::new(gpu(format, GraphSupport::Full));
        for run in 0..RUNS {
            assert!(
                graphs.record(run) == single.record(run),
                "{format:?}, run {run}"
            );
        }
        // The forward and the backward pass: a graph of each is made in the third run.
        assert_launched(&figures(&graphs.cuda), 2, 2 * (RUNS as usize - 2));
    }
}

/// An iteration of a drag is one graph: its forward pass, what computes the gradients of its outputs, and its backward pass.
#[test]
fn an_iteration_is_one_graph() {
    if !available("an_iteration_is_one_graph") {
        return;
    }
    for format in [Format::F32, Format::F16] {
        let single = TinyNetwork::new(without_graphs(format));
        let graphs = TinyNetwork::new(gpu(format, GraphSupport::Full));
        for run in 0..RUNS {
            let of_run = |network: &TinyNetwork| {
                let (latent, t) = network.input(run);
                let TinyNetwork { cuda, unet, prompt } = network;
                let target = random(cuda, 90 + run, Shape::new(1, 8, 8, 4));
                let iteration = |input: Input<Cuda>, target: Tensor<Cuda>| {
                    let pass = unet.record(input, NoiseAndFeatures::of(&[2]));
                    let (noise, features) = pass.outputs().clone();
                    let to_noise = noise.full(1.0).combined(1e-3, -1e-3, &target);
                    let to_features = vec![features[0].full(2e-3)];
                    let gradient = pass.backward((to_noise, to_features), 1e-3);
                    (Finiteness::of(&[&gradient]), noise, gradient)
                };
                let input = Input::at(&latent, t, prompt);
                let others = || target.full(1.0);
                let (finiteness, noise, gradient) =
                    unet.iteration("drag iteration", Vec::new(), input, others, iteration);
                let (_, is_finite) = Loss::read(cuda, &[] as &[Loss<Cuda>], &finiteness);
                (is_finite, bits(&noise), bits(&gradient))
            };
            assert!(of_run(&graphs) == of_run(&single), "{format:?}, run {run}");
        }
        assert_launched(&figures(&graphs.cuda), 1, RUNS as usize - 2);
    }
}

#[test]
fn outputs_that_are_kept_are_not_overwritten() {
    if !available("outputs_that_are_kept_are_not_overwritten") {
        return;
    }
    let single = TinyNetwork::new(without_graphs(Format::F16));
    let expected: Vec<_> = (0..2 * RUNS)
        .map(|run| single.predict(run).to_host())
        .collect();
    let graphs = TinyNetwork::new(gpu(Format::F16, GraphSupport::Full));
    let mut kept = Vec::new();
    for run in 0..2 * RUNS {
        let noise = graphs.predict(run);
        // The first runs drop theirs, so that there is a graph when the others keep theirs.
        if run >= RUNS {
            kept.push((noise, run));
        } else {
            assert!(noise.to_host() == expected[run as usize], "run {run}");
        }
    }
    for (noise, run) in kept {
        assert!(noise.to_host() == expected[run as usize], "run {run}");
    }
    let figures = figures(&graphs.cuda);
    report(&format!("{figures:?}"));
    assert!(figures.launched >= RUNS as usize - 2, "{figures:?}");
}

/// Recorded passes of two pictures that are open at once, as of two edits, from one thread and from two.
#[test]
fn two_pictures_do_not_share_memory() {
    if !available("two_pictures_do_not_share_memory") {
        return;
    }
    let single = TinyNetwork::new(without_graphs(Format::F16));
    let expected: Vec<_> = (0..2 * RUNS).map(|run| single.record(run)).collect();
    let graphs = TinyNetwork::new(gpu(Format::F16, GraphSupport::Full));
    for run in 0..RUNS {
        let passes = [run, run + RUNS].map(|run| {
            let (latent, t) = graphs.input(run);
            let input = Input::at(&latent, t, &graphs.prompt);
            graphs.unet.record(input, NoiseAndFeatures::of(&[2, 3]))
        });
        let ends = passes.map(|pass| {
            let (noise, features) = pass.outputs().clone();
            let to_features = features.iter().map(|map| map.full(2e-3)).collect();
            let gradient = pass.backward((noise.full(1e-3), to_features), 1.0 + run as f32);
            (noise, gradient)
        });
        for ((noise, _), run) in ends.iter().zip([run, run + RUNS]) {
            assert!(bits(noise) == expected[run as usize][2], "run {run}");
        }
        let (_, gradient) = &ends[0];
        assert!(bits(gradient) == expected[run as usize][3], "run {run}");
    }
    std::thread::scope(|scope| {
        for first in [0, RUNS] {
            let (graphs, expected) = (&graphs, &expected);
            scope.spawn(move || {
                for run in first..first + RUNS {
                    let found = graphs.record(run);
                    assert!(found == expected[run as usize], "run {run}");
                }
            });
        }
    });
    let figures = figures(&graphs.cuda);
    report(&format!("{figures:?}"));
    assert_eq!(figures.failure, None);
}

#[test]
fn a_lora_has_the_same_bits() {
    if !available("a_lora_has_the_same_bits") {
        return;
    }
    let settings = LoraSettings {
        steps: 6,
        rank: 2,
        batch: 2,
        ..LoraSettings::default()
    };
    let train = |cuda: Cuda| {
        let mut unet = unet(&cuda, &source("tiny"));
        let latent = random(&cuda, 1, Shape::new(1, 8, 8, 4));
        let context = random(&cuda, 2, Shape::new(1, 1, 7, 24));
        let places = unet.attach_adapters(settings.rank);
        let mut noise = Seeded::new(3);
        let start = noise.adapters(&places);
        let trained = finetune(
            &mut unet,
            &schedule(),
            &Subject::new(&latent, &context),
            start,
            &settings,
            &mut noise,
            &mut Silent,
            &Interrupt::never(),
        );
        bits(&trained.expect("the loss is finite"))
    };
    let graphs = gpu(Format::F16, GraphSupport::Full);
    assert!(train(graphs.clone()) == train(without_graphs(Format::F16)));
    // The adapters are merged before each step and after the last.
    let merges = settings.steps + 1;
    let launched = (settings.steps - 2) + (merges - 2);
    assert_launched(&figures(&graphs), 2, launched);
}

#[test]
fn a_whole_edit_has_the_same_bits() {
    if !available("a_whole_edit_has_the_same_bits") {
        return;
    }
    let dump = Fixture::open("edit/dump.safetensors");
    // The adapters are merged three times, and the inversion has four steps. With one timestep of the drag, three steps follow it.
    for (library, format, [timesteps, iterations], [made, launched]) in [
        (
            ConvolutionSupport::Full,
            Format::F32,
            [2, 3],
            [3, 1 + 2 + 4],
        ),
        (
            ConvolutionSupport::Partial,
            Format::F16,
            [1, 3],
            [4, 1 + 2 + 1 + 1],
        ),
    ] {
        let edit = |graphs: bool| {
            let cuda = Cuda::new(Emulated::new(library), format);
            cuda.use_graphs(graphs);
            let edited = try_edit(cuda.clone(), &dump, |given| {
                given.set("timesteps", timesteps);
                given.set("iterations", iterations);
            });
            let (outcome, _) = edited.expect("the edit succeeds");
            (outcome, cuda)
        };
        let ((single, plain), (graphs, cuda)) = (edit(false), edit(true));
        assert!(single.picture == graphs.picture, "{library:?}: the picture");
        assert!(single.losses == graphs.losses, "{library:?}: the losses");
        let [before, after] = [&plain, &cuda].map(|cuda| cuda.launches().expect("counted"));
        report(&format!(
            "{library:?}: {before} launches, {after} with graphs"
        ));
        assert_launched(&figures(&cuda), made, launched);
    }
}
