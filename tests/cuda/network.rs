//! The networks on a GPU against the same networks on the CPU, in every number format.

use dragnext::diffusion::finetune::{self, Subject};
use dragnext::diffusion::{NoiseSource, Schedule, Seeded};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::Backend;
use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::model::config::{ScheduleConfig, UNetConfig};
use dragnext::model::unet::{Features, Input, Network, NoiseAndFeatures};
use dragnext::model::{Source, UNet, Vae};
use dragnext::nn::{Mutual, Shape, Tensor};

use super::compiled::available;
use super::emulated::{Emulated, Library};
use crate::bench::fixture::{cosine, dot, relative, report, source};
use crate::bench::numbers::Numbers;

/// Number format, largest relative error of an output, least cosine of a gradient. Of a small random network, which enlarges errors more
/// than a trained one.
const FORMATS: [(Format, f64, f64); 3] = [
    (Format::F32, 1e-4, 1.0 - 1e-7),
    (Format::F16, 5e-3, 0.999),
    (Format::Bf16, 6e-2, 0.95),
];

/// What a network says, number by number.
struct Said {
    outputs: Vec<(String, Vec<f32>)>,
    gradients: Vec<(String, Vec<f32>)>,
}

fn compare(what: &str, format: Format, got: &Said, expected: &Said, [output, gradient]: [f64; 2]) {
    for ((name, got), (_, expected)) in got.outputs.iter().zip(&expected.outputs) {
        let error = relative(got, expected);
        report(&format!(
            "{what}, {}, {name}: relative {error:.1e}",
            format.name()
        ));
        assert!(
            error <= output,
            "{what}, {}, {name}: relative error {error:.2e}",
            format.name()
        );
    }
    for ((name, got), (_, expected)) in got.gradients.iter().zip(&expected.gradients) {
        let (cosine, length) = (
            cosine(got, expected),
            (dot(got, got) / dot(expected, expected)).sqrt(),
        );
        report(&format!(
            "{what}, {}, {name}: cosine 1 - {:.1e}, {length:.4} times as long",
            format.name(),
            1.0 - cosine
        ));
        assert!(
            cosine >= gradient,
            "{what}, {}, {name}: cosine {cosine}",
            format.name()
        );
        assert!(
            (length - 1.0).abs() <= (4.0 * output).max(1e-3),
            "{what}, {}, {name}: {length} times as long",
            format.name()
        );
    }
}

fn unet<B: Backend>(backend: &B, source: &Source) -> UNet<B> {
    let config = UNetConfig::read(source).expect("the fixture is a model");
    UNet::load(backend, source, &config, &Interrupt::never()).expect("the fixture has weights")
}

fn random<B: Backend>(backend: &B, seed: u64, shape: Shape) -> Tensor<B> {
    Tensor::from_host(backend, shape, Numbers::new(seed).normal(shape.len()))
}

/// Noise, decoder outputs, mutual attention, the gradient to the latent and a training step's.
fn walk<B: Backend>(backend: &B, source: &Source, [height, width]: [usize; 2]) -> Said {
    let mut unet = unet(backend, source);
    let tokens = UNetConfig::read(source)
        .expect("the fixture is a model")
        .cross_attention_dim;
    let (z, context) = (
        random(backend, 1, Shape::new(2, height, width, 4)),
        random(backend, 2, Shape::new(1, 1, 7, tokens)),
    );
    let mut outputs = Vec::new();
    let mut gradients = Vec::new();
    let prompt = unet.prepare(&context);
    let input = || Input::new(&z, &[981.0, 21.0], &prompt);
    let weight = |index: usize, like: &Tensor<B>| {
        random(backend, 10 + index as u64, like.shape()).combined(1e-3, 0.0, &z_like(like))
    };
    let pass = unet.record(input(), NoiseAndFeatures::of(&[2, 3]));
    let (noise, features) = pass.outputs().clone();
    let weights = [2, 3].into_iter().zip(&features);
    let weights = weights.map(|(stage, map)| weight(stage, map)).collect();
    let dx = pass.backward((weight(0, &noise), weights), 1e-3);
    outputs.push(("noise".to_owned(), noise.to_host()));
    for (stage, map) in [2, 3].into_iter().zip(&features) {
        outputs.push((format!("stage {stage}"), map.to_host()));
    }
    gradients.push(("gradient of [2, 3]".to_owned(), dx.to_host()));
    let pass = unet.record(input(), Features::of(&[3]));
    let features = pass.outputs().clone();
    let dx = pass.backward(vec![weight(3, &features[0])], 1e-3);
    outputs.push(("stage 3".to_owned(), features[0].to_host()));
    gradients.push(("gradient of [3]".to_owned(), dx.to_host()));
    let mutual = Mutual {
        start_layer: 2,
        sources: vec![0, 0],
    };
    let input = Input::at(&z, 500.0, &context).with_mutual(mutual);
    outputs.push(("mutual".into(), unet.predict(input).to_host()));

    let places = unet.attach_adapters(4);
    let start = Seeded::new(3).adapters(&places);
    // Behind the start, where `up` is zero and `down` has no gradient.
    let start = start
        .iter()
        .zip(Numbers::new(4).normal(start.len()))
        .map(|(a, b)| a + 0.02 * b)
        .collect();
    let parameters = Tensor::vector(backend, start);
    unet.merge_adapters(&parameters);
    let schedule = Schedule::new(&ScheduleConfig {
        beta_start: 0.00085,
        beta_end: 0.012,
        scaled: true,
        timesteps: 1000,
        steps_offset: 1,
        set_alpha_to_one: false,
    });
    let latent = z.picture(0);
    let subject = Subject {
        latent: &latent,
        context: &context,
    };
    let noise = Numbers::new(5).normal(2 * latent.shape().len());
    let trained = finetune::gradient(
        &unet,
        &schedule,
        &subject,
        &parameters,
        &[700, 30],
        &noise,
        &Interrupt::never(),
    );
    let (loss, gradient) = trained.expect("nobody interrupts");
    outputs.push(("loss".into(), vec![loss as f32]));
    gradients.push(("gradient of the adapters".into(), gradient.to_host()));
    Said { outputs, gradients }
}

/// Zeros of a tensor's shape.
fn z_like<B: Backend>(like: &Tensor<B>) -> Tensor<B> {
    Tensor::zeros(like.backend(), like.shape())
}

#[test]
fn the_noise_predictor_and_its_way_back() {
    if !available("the_noise_predictor_and_its_way_back") {
        return;
    }
    // 9 by 11 is divisible by nothing. Its deepest maps have two pixels, whose groups a short format blurs: what it does to a network is
    // looked at where maps are larger.
    for (size, formats) in [([9, 11], &FORMATS[..1]), ([8, 8], &FORMATS[..])] {
        let expected = walk(&Cpu, &source("tiny"), size);
        for (format, output, gradient) in formats {
            for library in [Library::Absent, Library::Bare, Library::Whole] {
                let cuda = Cuda::new(Emulated::new(library), *format);
                compare(
                    &format!("tiny, {library:?}"),
                    *format,
                    &walk(&cuda, &source("tiny"), size),
                    &expected,
                    [*output, *gradient],
                );
            }
        }
    }
}

/// The demo model's attention has a head size with a kernel of its own.
#[test]
fn the_demo_model() {
    if !available("the_demo_model") {
        return;
    }
    let expected = walk(&Cpu, &Source::Demo, [8, 8]);
    for (format, output, gradient) in [
        (Format::F32, 1e-5, 1.0 - 1e-9),
        (Format::F16, 5e-3, 0.9999),
        (Format::Bf16, 2e-2, 0.999),
    ] {
        let cuda = Cuda::new(Emulated::new(Library::Whole), format);
        compare(
            "demo",
            format,
            &walk(&cuda, &Source::Demo, [8, 8]),
            &expected,
            [output, gradient],
        );
    }
}

/// A picture's latent, and the picture of that.
fn code<B: Backend>(backend: &B) -> Said {
    let vae =
        Vae::load(backend, &source("tiny"), &Interrupt::never()).expect("the fixture has a VAE");
    let latent = vae
        .encode(
            &random(backend, 1, Shape::new(1, 24, 40, 3)),
            &Interrupt::never(),
        )
        .expect("nobody interrupts");
    let picture = vae
        .decode(&latent, &Interrupt::never())
        .expect("nobody interrupts");
    Said {
        outputs: vec![
            ("latent".into(), latent.to_host()),
            ("picture".into(), picture.to_host()),
        ],
        gradients: Vec::new(),
    }
}

#[test]
fn pictures_to_latents_and_back() {
    if !available("pictures_to_latents_and_back") {
        return;
    }
    let expected = code(&Cpu);
    for library in [Library::Absent, Library::Whole] {
        for (format, output, gradient) in FORMATS {
            let cuda = Cuda::new(Emulated::new(library), format);
            compare(
                "pictures",
                format,
                &code(&cuda),
                &expected,
                [output, gradient],
            );
            // An edit encodes and decodes as f32 whatever its format.
            compare(
                "pictures",
                Format::F32,
                &code(&cuda.in_f32()),
                &expected,
                [FORMATS[0].1, FORMATS[0].2],
            );
        }
    }
}

#[test]
fn the_same_work_gives_the_same_bits() {
    if !available("the_same_work_gives_the_same_bits") {
        return;
    }
    let said = || {
        let said = walk(
            &Cuda::new(Emulated::new(Library::Whole), Format::F16),
            &source("tiny"),
            [8, 8],
        );
        [said.outputs, said.gradients].concat()
    };
    assert_eq!(said(), said());
}
