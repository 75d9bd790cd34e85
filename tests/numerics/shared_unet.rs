//! One network for several edits at a time: what each of them hears is what it would hear alone.

use std::thread;

use crate::bench::fixture::{self, assert_close};
use crate::bench::numbers::Numbers;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::UNet;
use dragnext::model::config::UNetConfig;
use dragnext::model::unet::{
    AdapterPlace, Features, Input, Network, Noise, NoiseAndFeatures, SharedUNet, UNetClient,
};
use dragnext::nn::{Mutual, Shape, Tensor};

/// Sums of a batch may be split in another way.
const FORWARD: f64 = 1e-5;
const BACKWARD: f64 = 1e-4;

fn unet() -> UNet<Cpu> {
    let source = fixture::source("tiny");
    let config = UNetConfig::read(&source).expect("the fixture is a model");
    UNet::load(&Cpu, &source, &config, &Interrupt::never()).expect("the fixture has weights")
}

/// What an edit hears, by name.
type Heard = Vec<(&'static str, Vec<f32>)>;

/// An edit in small: what it asks of a network.
#[derive(Clone, Copy)]
struct Edit {
    seed: u64,
    /// Of its adapters; 0 for none.
    rank: usize,
    /// Latents of a training step.
    copies: usize,
    /// Side of the latents.
    side: usize,
    /// Does it end between a trip and its way back?
    breaks_off: bool,
}

const EDIT: Edit = Edit {
    seed: 1,
    rank: 2,
    copies: 2,
    side: 8,
    breaks_off: false,
};

impl Edit {
    /// Asks, and returns everything it hears, by name.
    fn run(&self, network: &mut impl Network<Cpu>) -> Heard {
        let mut numbers = Numbers::new(self.seed);
        let mut latents = |count: usize| {
            let shape = Shape::new(count, self.side, self.side, 4);
            Tensor::from_host(&Cpu, shape, numbers.normal(shape.len()))
        };
        let (noisy, target, pair, single) = (
            latents(self.copies),
            latents(self.copies),
            latents(2),
            latents(1),
        );
        let tokens = Tensor::from_host(&Cpu, Shape::new(1, 1, 77, 24), numbers.normal(77 * 24));
        let mut heard = Vec::new();
        if self.rank > 0 {
            let len = network
                .attach_adapters(self.rank)
                .iter()
                .map(AdapterPlace::len)
                .sum();
            let parameters = Tensor::vector(&Cpu, numbers.scaled(len, 0.1));
            network.merge_adapters(&parameters);
            let mut gradient = Tensor::zeros(&Cpu, parameters.shape());
            let timesteps: Vec<f64> = (0..self.copies)
                .map(|copy| (100 * copy + 7) as f64)
                .collect();
            let input = Input::new(&noisy, &timesteps, &tokens);
            let pass = network.record_adapters(input, Noise, &parameters, &mut gradient);
            let noise = pass.outputs().clone();
            heard.push(("trained noise", noise.to_host()));
            pass.backward(noise.combined(1.0, -1.0, &target), 1.0);
            heard.push(("adapters", gradient.to_host()));
        }
        let prompt = network.prepare(&tokens);
        let noise = network.predict(Input::at(&single, 41.0, &prompt));
        heard.push(("inverted", noise.to_host()));
        let stages = [1, 3];
        let input = || Input::at(&single, 481.0, &prompt);
        let pass = network.record(input(), Features::of(&stages));
        let features = pass.outputs().clone();
        heard.extend(features.iter().map(|map| ("feature", map.to_host())));
        if self.breaks_off {
            return heard;
        }
        heard.push(("gradient", pass.backward(features, 1.0).to_host()));
        let pass = network.record(input(), NoiseAndFeatures::of(&stages));
        let outputs = pass.outputs().clone();
        heard.extend(outputs.1.iter().map(|map| ("feature", map.to_host())));
        heard.push(("gradient", pass.backward(outputs, 1.0).to_host()));
        let mutual = Mutual {
            start_layer: 3,
            sources: vec![0, 0],
        };
        let noise = network.predict(Input::at(&pair, 281.0, &prompt).with_mutual(mutual));
        heard.push(("pair", noise.to_host()));
        heard
    }
}

fn alone(edit: Edit) -> Heard {
    edit.run(&mut unet())
}

/// What each of them hears, and the calls of the network that it took.
fn side_by_side(unet: &mut UNet<Cpu>, edits: &[Edit]) -> (Vec<Heard>, usize) {
    let (together, lanes) = SharedUNet::new(unet, edits.len());
    thread::scope(|scope| {
        let run = |(edit, mut lane): (&Edit, UNetClient<Cpu>)| {
            let edit = *edit;
            scope.spawn(move || edit.run(&mut lane))
        };
        let threads: Vec<_> = edits.iter().zip(lanes).map(run).collect();
        let calls = together.serve();
        (
            threads
                .into_iter()
                .map(|thread| thread.join().expect("it does not panic"))
                .collect(),
            calls,
        )
    })
}

/// Returns the calls of the network that it took.
fn assert_as_alone(unet: &mut UNet<Cpu>, edits: &[Edit]) -> usize {
    let (all, calls) = side_by_side(unet, edits);
    for (index, (edit, heard)) in edits.iter().zip(all).enumerate() {
        let expected = alone(*edit);
        assert_eq!(heard.len(), expected.len());
        for ((name, heard), (_, expected)) in heard.iter().zip(&expected) {
            let bound = if ["adapters", "gradient"].contains(name) {
                BACKWARD
            } else {
                FORWARD
            };
            assert_close(&format!("edit {index}, {name}"), heard, expected, bound);
        }
    }
    calls
}

#[test]
fn equal_edits_of_other_pictures() {
    let edits = [EDIT, Edit { seed: 2, ..EDIT }, Edit { seed: 3, ..EDIT }];
    let mut unet = unet();
    let (_, of_one) = side_by_side(&mut unet, &[EDIT]);
    assert_eq!(
        assert_as_alone(&mut unet, &edits),
        of_one,
        "each call is one for all"
    );
    // Nothing of one group is left for the next. One without a LoRA is two calls ahead, so they never ask for the same at the same time.
    assert_eq!(
        assert_as_alone(
            &mut unet,
            &[Edit { rank: 0, ..EDIT }, Edit { seed: 7, ..EDIT }]
        ),
        of_one + of_one - 2
    );
}

/// Other ranks, none at all, other sizes, other batches: they part, and meet again where they ask for the same.
#[test]
fn edits_that_have_little_in_common() {
    let edits = [
        EDIT,
        Edit {
            seed: 2,
            rank: 4,
            copies: 1,
            ..EDIT
        },
        Edit {
            seed: 3,
            rank: 0,
            ..EDIT
        },
        Edit {
            seed: 4,
            side: 12,
            ..EDIT
        },
        Edit {
            seed: 5,
            rank: 1,
            copies: 3,
            ..EDIT
        },
    ];
    assert_as_alone(&mut unet(), &edits);
}

#[test]
fn one_that_breaks_off_leaves_the_others_as_they_are() {
    let edits = [
        EDIT,
        Edit {
            seed: 2,
            breaks_off: true,
            ..EDIT
        },
        Edit { seed: 3, ..EDIT },
    ];
    assert_as_alone(&mut unet(), &edits);
}

/// With nobody beside it, an edit hears the bits that it would hear without lanes.
#[test]
fn one_alone_hears_the_same_bits() {
    let (heard, calls) = side_by_side(&mut unet(), &[EDIT]);
    assert_eq!(
        calls, 8,
        "training, inversion, twice there and back, denoising"
    );
    assert!(heard[0] == alone(EDIT));
}
