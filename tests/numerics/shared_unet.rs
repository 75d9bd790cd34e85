//! A shared network gives every client the outputs and gradients that an unshared network gives, up to rounding.

use std::thread;

use crate::bench::fixture::{self, assert_close};
use crate::bench::numbers::Numbers;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::UNet;
use dragnext::model::config::UNetConfig;
use dragnext::model::unet::{
    AdapterPlace, Features, Input, Network, Noise, NoiseAndFeatures, NoiseAndKeys, SelfAttentions,
    SharedUNet, UNetClient,
};
use dragnext::nn::{Mutual, Shape, Tensor};

/// Largest relative errors: the order of sums depends on the batch.
const FORWARD: f64 = 1e-5;
const BACKWARD: f64 = 1e-4;

fn unet() -> UNet<Cpu> {
    let source = fixture::source("tiny");
    let config = UNetConfig::read(&source).expect("the fixture is a model");
    UNet::load(&Cpu, &source, &config, &Interrupt::never()).expect("the fixture has weights")
}

/// The outputs and gradients of an edit, by name.
type Outputs = Vec<(&'static str, Vec<f32>)>;

/// A small edit.
#[derive(Clone, Copy)]
struct Edit {
    seed: u64,
    /// Rank of the adapters; 0 for none.
    rank: usize,
    /// Latents of a fine-tuning step.
    copies: usize,
    /// Side of the latents.
    side: usize,
    /// Whether it calls the network between a forward pass and its backward pass.
    delays_gradient: bool,
    /// Whether it ends between a forward pass and its backward pass.
    stops_early: bool,
}

const EDIT: Edit = Edit {
    seed: 1,
    rank: 2,
    copies: 2,
    side: 8,
    delays_gradient: false,
    stops_early: false,
};

impl Edit {
    fn run(&self, network: &mut impl Network<Cpu>) -> Outputs {
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
        let mut collected = Vec::new();
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
            collected.push(("trained noise", noise.to_host()));
            pass.backward(noise.combined(1.0, -1.0, &target), 1.0);
            collected.push(("adapters", gradient.to_host()));
        }
        let prompt = network.prepare(&tokens);
        let noise = network.predict(Input::at(&single, 41.0, &prompt));
        collected.push(("inverted", noise.to_host()));
        let stages = [1, 3];
        let input = || Input::at(&single, 481.0, &prompt);
        let pass = network.record(input(), Features::of(&stages));
        let features = pass.outputs().clone();
        collected.extend(features.iter().map(|map| ("feature", map.to_host())));
        if self.stops_early {
            return collected;
        }
        if self.delays_gradient {
            network.predict(Input::at(&single, 99.0, &prompt));
        }
        collected.push(("gradient", pass.backward(features, 1.0).to_host()));
        let pass = network.record(input(), NoiseAndFeatures::of(&stages));
        let outputs = pass.outputs().clone();
        collected.extend(outputs.1.iter().map(|map| ("feature", map.to_host())));
        collected.push(("gradient", pass.backward(outputs, 1.0).to_host()));
        let input_of = |prompt| Input::at(&single, 481.0, prompt);
        let input = Input::at(&single, 481.0, &tokens);
        let mut pass = network.record_text(input, NoiseAndFeatures::of(&stages));
        let outputs = pass.outputs().clone();
        for scale in [1.0, 2.0] {
            let scaled = |x: &Tensor<Cpu>| x.clone().combined(scale, 0.0, x);
            let gradients = (scaled(&outputs.0), outputs.1.iter().map(scaled).collect());
            let gradients = pass.backward_keeping(gradients, 1.0);
            collected.push(("gradient", gradients.latents.to_host()));
            collected.push(("gradient", gradients.text.to_host()));
        }
        drop(pass);
        let bottleneck = network
            .forward(input_of(&prompt), Features::of(&[0]))
            .remove(0);
        let given = input_of(&prompt).with_bottlenecks(vec![Some(bottleneck.clone())]);
        let mut pass = network.record_bottlenecks(given, NoiseAndFeatures::of(&stages));
        let outputs = pass.outputs().clone();
        collected.push(("injected", outputs.0.to_host()));
        for _ in 0..2 {
            let gradient = pass.backward_keeping(outputs.clone(), 1.0);
            collected.push(("gradient", gradient.to_host()));
        }
        drop(pass);
        let both = Input::at(&pair, 281.0, &prompt).with_bottlenecks(vec![None, Some(bottleneck)]);
        collected.push(("injected", network.predict(both).to_host()));
        let mutual = Mutual {
            start_layer: 3,
            sources: vec![0, 0],
        };
        let noise = network.predict(Input::at(&pair, 281.0, &prompt).with_mutual(mutual));
        collected.push(("pair", noise.to_host()));
        let want = NoiseAndKeys::of(SelfAttentions::Decoder);
        let (noise, keys) = network.forward(Input::at(&single, 99.0, &prompt), want);
        collected.push(("kept", noise.to_host()));
        collected.extend(
            keys.layers()
                .iter()
                .flatten()
                .map(|kept| ("keys", kept.to_host())),
        );
        let noise = network.predict(Input::at(&pair, 41.0, &prompt).with_keys(keys.clone()));
        collected.push(("reused", noise.to_host()));
        let noise = network.predict(Input::at(&pair, 41.0, &prompt).with_keys_beside(keys));
        collected.push(("beside", noise.to_host()));
        collected
    }
}

fn run_alone(edit: Edit) -> Outputs {
    edit.run(&mut unet())
}

/// Runs edits with a shared network; returns their outputs and the number of calls of the network.
fn run_shared(unet: &mut UNet<Cpu>, edits: &[Edit]) -> (Vec<Outputs>, usize) {
    let (server, clients) = SharedUNet::new(unet, edits.len());
    thread::scope(|scope| {
        let run = |(edit, mut client): (&Edit, UNetClient<Cpu>)| {
            let edit = *edit;
            scope.spawn(move || edit.run(&mut client))
        };
        let threads: Vec<_> = edits.iter().zip(clients).map(run).collect();
        let calls = server.serve();
        (
            threads
                .into_iter()
                .map(|thread| thread.join().expect("the edit does not panic"))
                .collect(),
            calls,
        )
    })
}

/// Asserts that the edits have the outputs of unshared networks; returns the number of calls of the network.
fn assert_equals_unshared(unet: &mut UNet<Cpu>, edits: &[Edit]) -> usize {
    let (all, calls) = run_shared(unet, edits);
    for (index, (edit, outputs)) in edits.iter().zip(all).enumerate() {
        let expected = run_alone(*edit);
        assert_eq!(outputs.len(), expected.len());
        for ((name, outputs), (_, expected)) in outputs.iter().zip(&expected) {
            let bound = if ["adapters", "gradient"].contains(name) {
                BACKWARD
            } else {
                FORWARD
            };
            assert_close(&format!("edit {index}, {name}"), outputs, expected, bound);
        }
    }
    calls
}

#[test]
fn equal_edits_share_every_call() {
    let edits = [EDIT, Edit { seed: 2, ..EDIT }, Edit { seed: 3, ..EDIT }];
    let mut unet = unet();
    let (_, calls_of_one) = run_shared(&mut unet, &[EDIT]);
    assert_eq!(
        assert_equals_unshared(&mut unet, &edits),
        calls_of_one,
        "as many calls as one edit"
    );
    // The first group leaves nothing behind. Without a LoRA an edit is two calls ahead, so the two never share a call.
    assert_eq!(
        assert_equals_unshared(
            &mut unet,
            &[Edit { rank: 0, ..EDIT }, Edit { seed: 7, ..EDIT }]
        ),
        calls_of_one + calls_of_one - 2
    );
}

/// Different ranks, sizes and batches: the edits share only some calls.
#[test]
fn different_edits_share_some_calls() {
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
    assert_equals_unshared(&mut unet(), &edits);
}

#[test]
fn an_edit_that_stops_early_does_not_affect_the_others() {
    let edits = [
        EDIT,
        Edit {
            seed: 2,
            stops_early: true,
            ..EDIT
        },
        Edit { seed: 3, ..EDIT },
    ];
    assert_equals_unshared(&mut unet(), &edits);
}

/// The clients of one forward pass request its backward pass at different times.
#[test]
fn an_edit_may_delay_its_backward_pass() {
    let delayed = Edit {
        seed: 2,
        delays_gradient: true,
        ..EDIT
    };
    assert_equals_unshared(&mut unet(), &[EDIT, delayed, Edit { seed: 3, ..EDIT }]);
}

#[test]
fn a_single_client_gets_the_same_bits() {
    let (outputs, calls) = run_shared(&mut unet(), &[EDIT]);
    assert_eq!(
        calls, 19,
        "fine-tuning (2), inversion, two recorded passes (4), one with the prompt's gradient (3), the bottleneck (5), denoising, stored keys (3)"
    );
    assert!(outputs[0] == run_alone(EDIT));
}
