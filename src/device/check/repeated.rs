//! Passes that are repeated with other inputs, as a drag and a LoRA's training repeat them.
//!
//! A device with CUDA graphs submits the first run of a pass, records the second, makes a graph in the third and launches it again in the fourth.
//! A graph that does not follow its inputs, or computes something else, shows in the last runs alone, so that each run is compared.

use super::NetworkResult;
use super::networks::{
    AWAY, MAGNITUDE, Results, SIDE, STAGES, gradient_of, lora_gradient, network, random, tokens,
};
use crate::diffusion::finetune::Subject;
use crate::error::Result;
use crate::kernels::Backend;
use crate::kernels::comparison::Numbers;
use crate::model::unet::{AdapterPlace, Input, Network, NoiseAndFeatures};
use crate::nn::{Shape, Tensor};

/// Runs of each pass.
const RUNS: u64 = 4;
/// Timestep of the first run; the others follow at this distance.
const TIMESTEP: f64 = 201.0;
/// Rank of the LoRA.
const RANK: usize = 4;

/// Runs a recorded pass of one picture forward and backward, and steps of a LoRA with two timesteps each.
pub(super) fn repeated<B: Backend>(backend: &B) -> Result<Vec<NetworkResult>> {
    // The device knows no pass from before.
    backend.trim();
    let mut results = Results::default();
    let (mut unet, context) = (network(backend)?, tokens(backend));
    let prompt = unet.prepare(&context);
    let latent = |run: u64| random(backend, 20 + run, Shape::new(1, SIDE, SIDE, 4));
    let input = |run: u64| Input::at(&latent(run), TIMESTEP * (run + 1) as f64, &prompt);
    let record = |input: Input<B>| unet.record(input, NoiseAndFeatures::of(&STAGES[1..]));
    for run in 0..RUNS {
        let pass = record(input(run));
        let (noise, features) = pass.outputs().clone();
        let gradient = pass.backward(gradients(run, &noise, &features), MAGNITUDE);
        results.push_run("pass", run, &noise, &gradient);
    }
    // An iteration of a drag, whose passes are one.
    let (noise, features) = record(input(0)).outputs().clone();
    for run in 0..RUNS {
        let others = || gradients(run, &noise, &features);
        let iteration = |input, gradients| {
            let pass = record(input);
            let noise = pass.outputs().0.clone();
            (noise, pass.backward(gradients, MAGNITUDE))
        };
        let kind = "checked iteration";
        let (noise, gradient) =
            unet.iteration(kind, STAGES[1..].to_vec(), input(run), others, iteration);
        results.push_run("iteration", run, &noise, &gradient);
    }
    let places = unet.attach_adapters(RANK);
    let length = places.iter().map(AdapterPlace::len).sum();
    for run in 0..RUNS {
        let parameters = Numbers::new(50 + run).spread(length, AWAY);
        let z = latent(run);
        let subject = Subject::new(&z, &context);
        let (loss, gradient) = lora_gradient(&mut unet, &subject, parameters, run)?;
        results.push(of_run("LoRA step", run, "loss"), vec![loss]);
        results.push(of_run("LoRA step", run, "gradient"), gradient);
    }
    Ok(results.into_list())
}

/// Returns gradients of a run in the shapes of a noise prediction and of features.
fn gradients<B: Backend>(
    run: u64,
    noise: &Tensor<B>,
    features: &[Tensor<B>],
) -> (Tensor<B>, Vec<Tensor<B>>) {
    let of_features = features.iter().map(|map| gradient_of(40 + run, map));
    (gradient_of(30 + run, noise), of_features.collect())
}

impl Results {
    /// Adds the noise prediction and the gradient of a run.
    fn push_run<B: Backend>(
        &mut self,
        what: &str,
        run: u64,
        noise: &Tensor<B>,
        gradient: &Tensor<B>,
    ) {
        let outputs = [
            ("noise prediction", noise),
            ("gradient of the latents", gradient),
        ];
        for (name, output) in outputs {
            self.push(of_run(what, run, name), output.to_host());
        }
    }
}

/// Returns the name of a result of a run.
fn of_run(what: &str, run: u64, name: &str) -> String {
    format!("repeated {what}, run {}, {name}", run + 1)
}
