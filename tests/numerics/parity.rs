//! The networks against PyTorch, diffusers and peft: outputs and gradients. `tests/fixtures/README.md` says how the fixtures were made.

use crate::bench::fixture::{self, Fixture, assert_close, assert_gradient, dot, relative};
use crate::bench::numbers::Numbers;
use crate::bench::report;
use dragnext::diffusion::{NoiseSource, Seeded};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::config::UNetConfig;
use dragnext::model::lora::LoraFile;
use dragnext::model::unet::{
    AdapterPlace, Context, Features, Input, Network, Noise, NoiseAndFeatures, Want,
};
use dragnext::model::{Source, UNet, Vae};
use dragnext::nn::{Mutual, Shape, Tensor};

/// Largest accepted relative error of an output.
const FORWARD: f64 = 1e-4;

const ALL_TAPS: [usize; 4] = [1, 2, 3, 4];

fn encode(vae: &Vae<Cpu>, picture: &Tensor<Cpu>) -> Tensor<Cpu> {
    vae.encode(picture, &Interrupt::never())
        .expect("no interrupt")
}

fn decode(vae: &Vae<Cpu>, latent: &Tensor<Cpu>) -> Tensor<Cpu> {
    vae.decode(latent, &Interrupt::never())
        .expect("no interrupt")
}

fn unet(name: &str) -> UNet<Cpu> {
    let source = fixture::source(name);
    let config = UNetConfig::read(&source).expect("the fixture is a model");
    UNet::load(&Cpu, &source, &config, &Interrupt::never()).expect("the fixture has weights")
}

/// An input of the network, from a fixture.
struct Case {
    z: Tensor<Cpu>,
    timesteps: Vec<f64>,
    context: Tensor<Cpu>,
}

impl Case {
    fn read(fixture: &Fixture, name: &str) -> Self {
        Self {
            z: fixture.picture(&format!("{name}.z")),
            timesteps: fixture.timesteps(&format!("{name}.t")),
            context: fixture.tokens(&format!("{name}.context")),
        }
    }

    fn input(&self) -> Input<Cpu> {
        Input::new(&self.z, &self.timesteps, &self.context)
    }

    fn noise(&self, unet: &UNet<Cpu>) -> Vec<f32> {
        unet.predict(self.input()).to_host()
    }

    fn noise_with(&self, unet: &UNet<Cpu>, mutual: Mutual) -> Vec<f32> {
        unet.predict(self.input().with_mutual(mutual)).to_host()
    }
}

#[test]
fn noise_and_decoder_outputs() {
    let fixture = Fixture::open("parity.safetensors");
    let unet = unet("tiny");
    for name in ["unet", "unet8"] {
        let input = Case::read(&fixture, name);
        let (noise, features) = unet.forward(input.input(), NoiseAndFeatures::of(&ALL_TAPS));
        assert_close(
            &format!("{name}.noise"),
            &noise.to_host(),
            &fixture.picture(&format!("{name}.noise")).to_host(),
            FORWARD,
        );
        for (tap, found) in ALL_TAPS.into_iter().zip(&features) {
            let expected = fixture.picture(&format!("{name}.tap.{tap}"));
            assert_eq!(found.shape(), expected.shape());
            assert_close(
                &format!("{name}.tap.{tap}"),
                &found.to_host(),
                &expected.to_host(),
                FORWARD,
            );
            // A pass that ends early gives the same values.
            let early = unet.forward(input.input(), Features::of(&[tap]));
            assert_eq!(early[0].to_host(), found.to_host());
        }
    }
}

#[test]
fn old_and_new_folder_layouts_give_the_same_model() {
    let fixture = Fixture::open("parity.safetensors");
    let input = Case::read(&fixture, "unet");
    let expected = input.noise(&unet("tiny"));
    for name in ["legacy", "linear"] {
        assert_eq!(input.noise(&unet(name)), expected, "{name}");
    }
    let [tiny, legacy] = ["tiny", "legacy"].map(|name| {
        Vae::load(&Cpu, &fixture::source(name), &Interrupt::never()).expect("the fixture has a VAE")
    });
    let (picture, latent) = (fixture.picture("vae.image"), fixture.picture("vae.latent"));
    assert_eq!(
        encode(&tiny, &picture).to_host(),
        encode(&legacy, &picture).to_host()
    );
    assert_eq!(
        decode(&tiny, &latent).to_host(),
        decode(&legacy, &latent).to_host()
    );
}

#[test]
fn a_prepared_prompt_gives_the_same_result() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let unet = unet("tiny");
    let context = input.context.picture(0);
    let prompt = unet.prepare(&context);
    let both = [Context::from(&context), Context::from(&prompt)].map(|context| {
        let pass = unet.record(Input::new(&input.z, &input.timesteps, context), Noise);
        let noise = pass.outputs().clone();
        (noise.to_host(), pass.backward(noise, 1.0).to_host())
    });
    assert_eq!(both[0], both[1]);
    // The tokens of one prompt are used for all latents.
    let copies = Case {
        context: Tensor::stacked(&[context.clone(), context]),
        ..input
    };
    assert_eq!(copies.noise(&unet), both[0].0);
}

#[test]
fn each_latent_may_have_its_own_prepared_prompt() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let unet = unet("tiny");
    let prompts = unet.prepare(&input.context);
    let prepared = Input::new(&input.z, &input.timesteps, &prompts);
    assert_eq!(unet.predict(prepared).to_host(), input.noise(&unet));
}

#[test]
#[should_panic(expected = "need the prompt's tokens")]
fn gradients_of_adapters_need_the_tokens() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let mut unet = unet("tiny");
    let places = unet.attach_adapters(4);
    let parameters = Tensor::vector(&Cpu, Seeded::new(0).adapters(&places));
    let prompt = unet.prepare(&input.context.picture(0));
    let mut gradient = Tensor::zeros(&Cpu, parameters.shape());
    let input = Input::new(&input.z, &input.timesteps, &prompt);
    unet.record_adapters(input, Noise, &parameters, &mut gradient);
}

/// More timesteps than the cache of time embeddings holds.
#[test]
fn cached_timesteps_give_the_same_result() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let (z, context) = (input.z.picture(0), input.context.picture(0));
    let noise = |unet: &UNet<Cpu>, t: f64| unet.predict(Input::at(&z, t, &context)).to_host();
    let used = unet("tiny");
    for t in 0..130 {
        noise(&used, f64::from(t));
    }
    for t in [0.0, 1.0, 129.0, 400.0] {
        assert_eq!(noise(&used, t), noise(&unet("tiny"), t), "timestep {t}");
    }
}

#[test]
fn a_batch_equals_its_pictures_one_by_one() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let unet = unet("tiny");
    let together = input.noise(&unet);
    let alone = (0..2).flat_map(|index| {
        let alone = Case {
            z: input.z.picture(index),
            timesteps: vec![input.timesteps[index]],
            context: input.context.picture(index),
        };
        alone.noise(&unet)
    });
    assert_close("one by one", &alone.collect::<Vec<f32>>(), &together, 1e-5);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let fixture = Fixture::open("parity.safetensors");
    let unet = unet("tiny");
    let vae = Vae::load(&Cpu, &fixture::source("tiny"), &Interrupt::never())
        .expect("the fixture has a VAE");
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("start threads");
        pool.install(|| {
            let latent = encode(&vae, &fixture.picture("vae.image"));
            [
                gradient_to_z(&unet, &fixture, "unet", NoiseAndFeatures::of(&[2, 3])),
                latent.to_host(),
                decode(&vae, &latent).to_host(),
            ]
        })
    };
    let alone = with_threads(1);
    for threads in [2, 5] {
        assert_eq!(with_threads(threads), alone, "{threads} threads");
    }
}

/// Returns the gradient with respect to z of the outputs' dot products with the weights `w` of the fixture.
fn gradient_to_z<W: Want>(unet: &UNet<Cpu>, fixture: &Fixture, name: &str, want: W) -> Vec<f32> {
    let input = Case::read(fixture, name).input();
    let weight = |index: usize| fixture.picture(&format!("{name}.w{index}"));
    let features = want.stages().iter().map(|stage| weight(*stage)).collect();
    let gradients = W::collect(features, || weight(0));
    unet.record(input, want).backward(gradients, 1.0).to_host()
}

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

fn moved(x: &Tensor<Cpu>, step: f32, direction: &[f32]) -> Tensor<Cpu> {
    x.clone().combined(
        1.0,
        step,
        &Tensor::from_host(&Cpu, x.shape(), direction.to_vec()),
    )
}

/// Asserts that `gradient` gives the derivatives of `loss` along its own and random directions.
fn assert_slopes(what: &str, gradient: &[f32], loss: impl Fn(f32, &[f32]) -> f64) {
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
        // The scale of the error: the expected dot product with a random direction, or the norm along the gradient itself. Along the
        // gradient the curvature is largest; along random directions a longer step keeps the change above rounding errors.
        let (unit, step) = if index == 0 {
            (norm, 0.01)
        } else {
            (norm / (gradient.len() as f64).sqrt(), 0.1)
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

#[test]
fn mutual_self_attention() {
    let fixture = Fixture::open("parity.safetensors");
    let input = Case::read(&fixture, "mutual");
    let unet = unet("tiny");
    let mutual = |start_layer| Mutual {
        start_layer,
        sources: vec![0, 0],
    };
    let expected = fixture.picture("mutual.noise").to_host();
    let noise = input.noise_with(&unet, mutual(10));
    assert_close("mutual.noise", &noise, &expected, FORWARD);
    let plain = input.noise(&unet);
    let half = plain.len() / 2;
    assert_eq!(
        noise[..half],
        plain[..half],
        "the reference picture does not change"
    );
    assert!(
        relative(&noise[half..], &plain[half..]) > 1e-2,
        "the picture that reads from it does"
    );
    assert_eq!(
        input.noise_with(&unet, mutual(16)),
        plain,
        "there are 16 layers, 0 to 15"
    );
}

#[test]
fn merged_adapters_of_every_name_format() {
    let fixture = Fixture::open("parity.safetensors");
    let input = Case::read(&fixture, "unet");
    let expected = fixture.picture("lora.noise").to_host();
    let mut unet = unet("tiny");
    let untouched = input.noise(&unet);
    for format in ["peft", "adapter", "old", "attn_procs"] {
        let file = LoraFile::open(&fixture::path(&format!("lora_{format}.safetensors")))
            .expect("the fixture is a LoRA");
        let places = unet.attach_adapters(file.rank());
        let lora = file.read(&places).expect("the LoRA fits the model");
        assert_eq!(lora.absent, [] as [&str; 0]);
        let parameters = Tensor::vector(&Cpu, lora.parameters);
        assert_eq!(
            input.noise(&unet),
            untouched,
            "attached adapters have no effect before they are merged"
        );
        unet.merge_adapters(&parameters);
        assert_close(
            &format!("{format}, merged"),
            &input.noise(&unet),
            &expected,
            FORWARD,
        );
        unet.merge_adapters(&parameters);
        assert_close(
            &format!("{format}, merged again"),
            &input.noise(&unet),
            &expected,
            FORWARD,
        );
        unet.detach_adapters();
        assert_eq!(
            input.noise(&unet),
            untouched,
            "detaching restores every bit"
        );
    }
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
    let places = unet.attach_adapters(file.rank());
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

#[test]
fn vae_encodes_and_decodes() {
    let fixture = Fixture::open("parity.safetensors");
    let vae = Vae::load(&Cpu, &fixture::source("tiny"), &Interrupt::never())
        .expect("the fixture has a VAE");
    let picture = fixture.picture("vae.image");
    let posterior = vae
        .posterior(&picture, &Interrupt::never())
        .expect("no interrupt");
    let mean = fixture.picture("vae.mean").to_host();
    assert_close("vae.mean", &posterior.mean.to_host(), &mean, FORWARD);
    assert_close(
        "vae.logvar",
        &posterior.logvar.to_host(),
        &fixture.picture("vae.logvar").to_host(),
        FORWARD,
    );
    let scaled: Vec<f32> = mean.iter().map(|x| 0.18215 * x).collect();
    assert_close(
        "encoded",
        &encode(&vae, &picture).to_host(),
        &scaled,
        FORWARD,
    );

    let (latent, expected) = (
        fixture.picture("vae.latent"),
        fixture.picture("vae.decoded").to_host(),
    );
    assert_close(
        "vae.decoded",
        &vae.decode_unscaled(&latent, &Interrupt::never())
            .expect("no interrupt")
            .to_host(),
        &expected,
        FORWARD,
    );
    let zeros = Tensor::zeros(&Cpu, latent.shape());
    let scaled = latent.combined(0.18215, 0.0, &zeros);
    assert_close(
        "vae.decoded, from the scaled latent",
        &decode(&vae, &scaled).to_host(),
        &expected,
        FORWARD,
    );
}

#[test]
#[allow(clippy::float_cmp, reason = "the same operations in the same order")]
fn posterior_samples_have_its_standard_deviation() {
    let vae =
        Vae::load(&Cpu, &Source::Demo, &Interrupt::never()).expect("the demo model has a VAE");
    let posterior = vae
        .posterior(
            &Tensor::zeros(&Cpu, Shape::new(1, 16, 16, 3)),
            &Interrupt::never(),
        )
        .expect("no interrupt");
    let (mean, logvar) = (posterior.mean.to_host(), posterior.logvar.to_host());
    let sample = posterior.sample(&vec![2.0; mean.len()]).to_host();
    for ((sample, mean), logvar) in sample.iter().zip(&mean).zip(&logvar) {
        assert_eq!(
            *sample,
            mean + (0.5 * logvar.clamp(-30.0, 20.0)).exp() * 2.0
        );
    }
}

/// Returns the parameters of the query, key, value and output adapters in the self-attention and cross-attention of each transformer.
fn adapter_parameters(transformers: &[usize], context: usize, rank: usize) -> usize {
    transformers
        .iter()
        .map(|channels| rank * (12 * channels + 2 * (channels + context)))
        .sum()
}

#[test]
fn the_number_of_adapter_parameters_is_that_of_the_paper() {
    // Three levels with two transformers in the down block and three in the up block, and one transformer in the middle.
    let levels = |widths: [usize; 3], middle: usize| {
        widths
            .into_iter()
            .flat_map(|width| [width; 5])
            .chain([middle])
            .collect::<Vec<usize>>()
    };
    assert_eq!(
        adapter_parameters(&levels([320, 640, 1280], 1280), 768, 16),
        3_188_736,
        "Stable Diffusion 1.5 at rank 16"
    );
    let tiny: usize = unet("tiny")
        .attach_adapters(4)
        .iter()
        .map(AdapterPlace::len)
        .sum();
    assert_eq!(tiny, adapter_parameters(&levels([8, 16, 16], 16), 24, 4));
}

/// An adapter whose second matrix is zero has no effect.
#[test]
fn a_new_adapter_has_no_effect() {
    let fixture = Fixture::open("parity.safetensors");
    let (z, context) = (fixture.picture("unet.z"), fixture.tokens("unet.context"));
    let mut unet = unet("tiny");
    let noise = |unet: &UNet<Cpu>| unet.predict(Input::at(&z, 741.0, &context)).to_host();
    let plain = noise(&unet);
    let places = unet.attach_adapters(4);
    let parameters = Tensor::vector(&Cpu, Seeded::new(0).adapters(&places));
    assert!(
        parameters.to_host().iter().any(|x| *x != 0.0),
        "`down` is not zero"
    );
    unet.merge_adapters(&parameters);
    assert_eq!(noise(&unet), plain);
}
