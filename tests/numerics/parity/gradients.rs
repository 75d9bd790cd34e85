//! Gradients to the latent and to LoRA adapters.

use dragnext::kernels::cpu::Cpu;
use dragnext::model::UNet;
use dragnext::model::lora::LoraFile;
use dragnext::model::unet::{AdapterPlace, Features, Input, Network, Noise, NoiseAndFeatures};
use dragnext::nn::Tensor;

use super::{Case, gradient_to_z, unet};
use crate::bench::fixture::{self, Fixture, assert_close, assert_gradient, dot};
use crate::bench::numbers::Numbers;
use crate::bench::report;

#[test]
fn gradient_to_the_latent() {
    let fixture = Fixture::open("parity.safetensors");
    let unet = unet("tiny");
    for name in ["unet", "unet8"] {
        let expected = fixture.picture(&format!("{name}.gradient")).to_host();
        let total = gradient_to_z(&unet, &fixture, name, NoiseAndFeatures::of(&[2, 3]));
        assert_gradient(&format!("{name}.gradient"), &total, &expected);
        let terms = [
            gradient_to_z(&unet, &fixture, name, Noise),
            gradient_to_z(&unet, &fixture, name, Features::of(&[2])),
            gradient_to_z(&unet, &fixture, name, Features::of(&[3])),
        ];
        let sum: Vec<f32> = (0..total.len())
            .map(|at| terms.iter().map(|term| term[at]).sum())
            .collect();
        assert_gradient(&format!("{name}.gradient, term by term"), &sum, &expected);
        let features = gradient_to_z(&unet, &fixture, name, Features::of(&[3, 2]));
        let sum: Vec<f32> = terms[1].iter().zip(&terms[2]).map(|(a, b)| a + b).collect();
        assert_close(
            &format!("{name}, two stages together"),
            &features,
            &sum,
            1e-4,
        );
    }
}

/// Returns the derivative of `loss` by central differences with Richardson extrapolation, because the network computes in f32.
fn slope(step: f32, loss: impl Fn(f32) -> f64) -> f64 {
    let central = |step: f32| (loss(step) - loss(-step)) / (2.0 * f64::from(step));
    (4.0 * central(step) - central(2.0 * step)) / 3.0
}

pub(super) fn moved(x: &Tensor<Cpu>, step: f32, direction: &[f32]) -> Tensor<Cpu> {
    x.clone().combined(
        1.0,
        step,
        &Tensor::from_host(&Cpu, x.shape(), direction.to_vec()),
    )
}

/// Lengths of the steps along the gradient and along random directions. Along the gradient the curvature is largest; along random
/// directions a longer step keeps the change above rounding errors.
const STEPS: [f32; 2] = [0.01, 0.1];

/// Asserts that `gradient` gives the derivatives of `loss` along its own and random directions.
pub(super) fn assert_slopes(what: &str, gradient: &[f32], loss: impl Fn(f32, &[f32]) -> f64) {
    assert_slopes_in_steps(what, gradient, STEPS, loss);
}

/// As [`assert_slopes`], with steps of other lengths.
fn assert_slopes_in_steps(
    what: &str,
    gradient: &[f32],
    [along, random]: [f32; 2],
    loss: impl Fn(f32, &[f32]) -> f64,
) {
    let norm = dot(gradient, gradient).sqrt();
    let mut numbers = Numbers::new(1);
    // The direction of the gradient, then random directions.
    let mut directions = vec![
        gradient
            .iter()
            .map(|x| x / norm as f32)
            .collect::<Vec<f32>>(),
    ];
    directions.extend(
        (0..3).map(|_| numbers.scaled(gradient.len(), 1.0 / (gradient.len() as f32).sqrt())),
    );
    for (index, v) in directions.iter().enumerate() {
        // The scale of the error: the expected dot product with a random direction, or the norm along the gradient itself.
        let (unit, step) = if index == 0 {
            (norm, along)
        } else {
            (norm / (gradient.len() as f64).sqrt(), random)
        };
        let error = (slope(step, |step| loss(step, v)) - dot(gradient, v)).abs() / unit;
        report(&format!("{what}, direction {index}: relative {error:.1e}"));
        assert!(
            error <= 1e-3,
            "{what}, direction {index}: relative error {error:.2e}"
        );
    }
}

#[test]
fn gradient_to_the_latent_matches_finite_differences() {
    let fixture = Fixture::open("parity.safetensors");
    let unet = unet("tiny");
    let input = Case::read(&fixture, "unet");
    let gradient = gradient_to_z(&unet, &fixture, "unet", NoiseAndFeatures::of(&[2, 3]));
    let [w0, w2, w3] = [0, 2, 3].map(|index| fixture.picture(&format!("unet.w{index}")).to_host());
    assert_slopes("gradient of z", &gradient, |step, v| {
        let z = moved(&input.z, step, v);
        let moved = Input::new(&z, &input.timesteps, &input.context);
        let (noise, features) = unet.forward(moved, NoiseAndFeatures::of(&[2, 3]));
        dot(&noise.to_host(), &w0)
            + dot(&features[0].to_host(), &w2)
            + dot(&features[1].to_host(), &w3)
    });
}

/// Every prompt of the batch has its own gradient; one prompt for the whole batch has their sum.
#[test]
fn gradient_to_the_prompt_matches_finite_differences() {
    let fixture = Fixture::open("parity.safetensors");
    let unet = unet("tiny");
    let input = Case::read(&fixture, "unet");
    let outputs = || NoiseAndFeatures::of(&[2, 3]);
    let [w0, w2, w3] = [0, 2, 3].map(|index| fixture.picture(&format!("unet.w{index}")));
    for context in [input.context.clone(), input.context.picture(0)] {
        let latents = Input::new(&input.z, &input.timesteps, &context);
        let mut pass = unet.record_text(latents, outputs());
        let gradients = || (w0.clone(), vec![w2.clone(), w3.clone()]);
        let kept = pass.backward_keeping(gradients(), 1.0);
        let gradient = pass.backward(gradients(), 1.0);
        let (text, again) = (gradient.text.to_host(), kept.text.to_host());
        assert_eq!(
            text, again,
            "the activations are kept for a second backward pass"
        );
        assert_eq!(gradient.text.shape(), context.shape());
        let count = context.shape().batch;
        if count == 2 {
            let expected = fixture.picture("unet.gradient").to_host();
            assert_gradient(
                "gradient of z beside it",
                &gradient.latents.to_host(),
                &expected,
            );
        }
        assert_slopes_in_steps(
            &format!("gradient of {count} prompts"),
            &text,
            STEPS.map(|step| 4.0 * step),
            |step, v| {
                let context = moved(&context, step, v);
                let moved = Input::new(&input.z, &input.timesteps, &context);
                let (noise, features) = unet.forward(moved, outputs());
                dot(&noise.to_host(), &w0.to_host())
                    + dot(&features[0].to_host(), &w2.to_host())
                    + dot(&features[1].to_host(), &w3.to_host())
            },
        );
    }
}

/// The middle block's output as its own bottleneck changes nothing, and the gradient to it is that of the decoder.
#[test]
fn gradient_to_the_bottleneck_matches_finite_differences() {
    let fixture = Fixture::open("parity.safetensors");
    let unet = unet("tiny");
    let case = Case::read(&fixture, "unet");
    let outputs = || NoiseAndFeatures::of(&[2, 3]);
    let input = || Input::new(&case.z, &case.timesteps, &case.context);
    let (noise, features) = unet.forward(input(), NoiseAndFeatures::of(&[2, 0]));
    let own = &features[1];
    let with = |x: &Tensor<Cpu>| {
        let each = (0..x.shape().batch).map(|index| Some(x.picture(index)));
        input().with_bottlenecks(each.collect())
    };
    let again = unet.predict(with(own));
    assert_eq!(again.to_host(), noise.to_host(), "its own bottleneck");
    // A bottleneck of the second latent alone leaves the first as it is.
    let shifted = own.clone().combined(1.3, 0.0, own);
    let second = input().with_bottlenecks(vec![None, Some(shifted.picture(1))]);
    let found = unet.predict(second);
    assert_eq!(found.picture(0).to_host(), noise.picture(0).to_host());
    assert_ne!(found.picture(1).to_host(), noise.picture(1).to_host());

    let [w0, w2, w3] = [0, 2, 3].map(|index| fixture.picture(&format!("unet.w{index}")));
    let mut pass = unet.record_bottlenecks(with(&shifted), outputs());
    let gradients = || (w0.clone(), vec![w2.clone(), w3.clone()]);
    let kept = pass.backward_keeping(gradients(), 1.0).to_host();
    let gradient = pass.backward(gradients(), 1.0);
    assert_eq!(gradient.shape(), own.shape());
    let gradient = gradient.to_host();
    assert_eq!(gradient, kept, "the activations are kept for a second pass");
    // Its numbers are larger than those of a latent, and so are the steps.
    let steps = STEPS.map(|step| 4.0 * step);
    assert_slopes_in_steps("gradient of the bottleneck", &gradient, steps, |step, v| {
        let (noise, features) = unet.forward(with(&moved(&shifted, step, v)), outputs());
        dot(&noise.to_host(), &w0.to_host())
            + dot(&features[0].to_host(), &w2.to_host())
            + dot(&features[1].to_host(), &w3.to_host())
    });
}

/// The batch of the first LoRA training step of the fixture.
struct TrainingStep {
    noisy: Tensor<Cpu>,
    noise: Tensor<Cpu>,
    timesteps: Vec<f64>,
    context: Tensor<Cpu>,
}

impl TrainingStep {
    fn read(fixture: &Fixture) -> Self {
        let (z0, noise) = (
            fixture.picture("z0").to_host(),
            fixture.picture("lora.noise.0"),
        );
        let (timesteps, len) = (fixture.timesteps("lora.t.0"), z0.len());
        // Noised latents, DDPM (arXiv 2006.11239), equation 4.
        let add_noise = |(at, noise): (usize, &f32)| {
            let alpha = alpha(timesteps[at / len] as usize);
            (alpha.sqrt() * f64::from(z0[at % len]) + (1.0 - alpha).sqrt() * f64::from(*noise))
                as f32
        };
        let noisy = noise.to_host().iter().enumerate().map(add_noise).collect();
        let context = fixture.tokens("context");
        Self {
            noisy: Tensor::from_host(&Cpu, noise.shape(), noisy),
            noise,
            timesteps,
            context,
        }
    }

    /// Returns the loss of pictures `from..to` of the batch and adds its gradient to `gradient`.
    fn run(
        &self,
        unet: &UNet<Cpu>,
        parameters: &Tensor<Cpu>,
        gradient: &mut Tensor<Cpu>,
        [from, to]: [usize; 2],
    ) -> f64 {
        let select = |x: &Tensor<Cpu>| {
            let pictures: Vec<Tensor<Cpu>> = (from..to).map(|index| x.picture(index)).collect();
            Tensor::stacked(&pictures)
        };
        let input = Input::new(
            &select(&self.noisy),
            &self.timesteps[from..to],
            &self.context,
        );
        let pass = unet.record_adapters(input, Noise, parameters, gradient);
        let noise = pass.outputs().clone();
        let residual = noise.combined(1.0, -1.0, &select(&self.noise));
        let count = self.noise.shape().len() as f64;
        let loss = dot(&residual.to_host(), &residual.to_host()) / count;
        let zeros = Tensor::zeros(&Cpu, residual.shape());
        let d_noise = residual.combined((2.0 / count) as f32, 0.0, &zeros);
        pass.backward(d_noise, 1.0);
        loss
    }
}

/// Returns alpha bar: the product of 1 - beta over all timesteps up to `t`. The square roots of the betas are evenly spaced.
fn alpha(t: usize) -> f64 {
    let (start, end) = (0.00085_f64.sqrt(), 0.012_f64.sqrt());
    (0..=t)
        .map(|j| 1.0 - (start + (end - start) * j as f64 / 999.0).powi(2))
        .product()
}

fn adapters_of(fixture: &Fixture, places: &[AdapterPlace], group: &str) -> Vec<f32> {
    let names = places.iter().flat_map(|place| {
        ["A", "B"].map(|matrix| format!("{group}.{}.lora_{matrix}.weight", place.name))
    });
    names.flat_map(|name| fixture.numbers(&name)).collect()
}

#[test]
fn gradients_of_a_training_step() {
    let fixture = Fixture::open("edit/dump.safetensors");
    let mut unet = unet("tiny");
    let places = unet.attach_adapters(4);
    let parameters = Tensor::vector(&Cpu, adapters_of(&fixture, &places, "lora.start"));
    let expected = adapters_of(&fixture, &places, "lora.first_gradient");
    let step = TrainingStep::read(&fixture);
    unet.merge_adapters(&parameters);

    let train = |batches: &[[usize; 2]]| {
        let mut gradient = Tensor::zeros(&Cpu, parameters.shape());
        let losses = batches
            .iter()
            .map(|batch| step.run(&unet, &parameters, &mut gradient, *batch));
        let loss: f64 = losses.sum();
        let expected = f64::from(fixture.numbers("lora.loss.0")[0]);
        assert!(
            (loss / expected - 1.0).abs() < 1e-5,
            "loss {loss} is not {expected}"
        );
        gradient.to_host()
    };
    assert_gradient("one batch of four", &train(&[[0, 4]]), &expected);
    assert_gradient(
        "four of one",
        &train(&[[0, 1], [1, 2], [2, 3], [3, 4]]),
        &expected,
    );
    assert_gradient("three and one", &train(&[[0, 3], [3, 4]]), &expected);
}

/// At the start of a training all `up` matrices and all gradients of `down` are zero. These adapters are trained.
#[test]
fn gradients_of_trained_adapters_match_finite_differences() {
    let fixture = Fixture::open("edit/dump.safetensors");
    let mut unet = unet("tiny");
    let file =
        LoraFile::open(&fixture::path("lora_peft.safetensors")).expect("the fixture is a LoRA");
    let places = unet.attach_adapters(file.rank().expect("one rank"));
    let parameters = Tensor::vector(
        &Cpu,
        file.read(&places)
            .expect("the LoRA fits the model")
            .parameters,
    );
    let step = TrainingStep::read(&fixture);
    let mut gradient = Tensor::zeros(&Cpu, parameters.shape());
    unet.merge_adapters(&parameters);
    step.run(&unet, &parameters, &mut gradient, [0, 4]);
    let mut ignored = Tensor::zeros(&Cpu, parameters.shape());
    let state = std::cell::RefCell::new((&mut unet, &mut ignored));
    assert_slopes("adapters", &gradient.to_host(), |amount, v| {
        let (unet, ignored) = &mut *state.borrow_mut();
        let parameters = moved(&parameters, amount, v);
        unet.merge_adapters(&parameters);
        step.run(unet, &parameters, ignored, [0, 4])
    });
}
