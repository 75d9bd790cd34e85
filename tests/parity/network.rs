//! Runs of the networks on a backend, to be compared with those on the CPU backend.

use dragnext::diffusion::finetune::{self, Subject};
use dragnext::diffusion::{NoiseSource, Schedule, Seeded};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::{Backend, Format};
use dragnext::model::config::{Prediction, ScheduleConfig, UNetConfig};
use dragnext::model::unet::{
    Features, Input, Network, NoiseAndFeatures, NoiseAndKeys, SelfAttentions,
};
use dragnext::model::{Source, UNet, Vae};
use dragnext::nn::{Mutual, Shape, Tensor};

use crate::bench::fixture::{cosine, dot, relative, source};
use crate::bench::numbers::Numbers;
use crate::bench::report;

/// Format, maximum relative error of an output, minimum cosine similarity of a gradient. A small
/// random network amplifies errors more than a trained one.
pub(crate) const FORMATS: [(Format, f64, f64); 3] = [
    (Format::F32, 1e-4, 1.0 - 1e-7),
    (Format::F16, 2e-2, 0.999),
    (Format::Bf16, 1.2e-1, 0.95),
];

/// Outputs and gradients of a network, by name.
#[derive(Debug, PartialEq)]
pub(crate) struct Results {
    pub(crate) outputs: Vec<(String, Vec<f32>)>,
    pub(crate) gradients: Vec<(String, Vec<f32>)>,
}

/// Asserts that outputs differ by at most `output` relative to the largest, and gradients by their cosine and norm.
pub(crate) fn compare(
    what: &str,
    format: Format,
    got: &Results,
    expected: &Results,
    [output, gradient]: [f64; 2],
) {
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
            "{what}, {}, {name}: cosine 1 - {:.1e}, norm ratio {length:.4}",
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
            "{what}, {}, {name}: norm ratio {length}",
            format.name()
        );
    }
}

pub(crate) fn unet<B: Backend>(backend: &B, source: &Source) -> UNet<B> {
    let config = UNetConfig::read(source).expect("the fixture is a model");
    UNet::load(backend, source, &config, &Interrupt::never()).expect("the fixture has weights")
}

pub(crate) fn random<B: Backend>(backend: &B, seed: u64, shape: Shape) -> Tensor<B> {
    Tensor::from_host(backend, shape, Numbers::new(seed).normal(shape.len()))
}

/// Runs noise prediction, decoder features, mutual attention, the gradient to the latent, and the
/// gradient of a training step.
pub(crate) fn run<B: Backend>(
    backend: &B,
    source: &Source,
    [height, width]: [usize; 2],
) -> Results {
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
        random(backend, 10 + index as u64, like.shape()).combined(1e-3, 0.0, &zeros_like(like))
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
    let want = NoiseAndKeys::of(SelfAttentions::All);
    let (_, keys) = unet.forward(Input::at(&z.picture(0), 600.0, &prompt), want);
    let input = Input::at(&z, 500.0, &prompt).with_keys(keys.clone());
    outputs.push(("stored keys".into(), unet.predict(input).to_host()));
    let input = Input::at(&z, 500.0, &prompt).with_keys_beside(keys);
    outputs.push(("stored keys beside".into(), unet.predict(input).to_host()));

    let places = unet.attach_adapters(4);
    let start = Seeded::new(3).adapters(&places);
    // Away from the initial values, where `up` is zero and `down` has no gradient.
    let start = start
        .iter()
        .zip(Numbers::new(4).normal(start.len()))
        .map(|(a, b)| a + 0.02 * b)
        .collect();
    let parameters = Tensor::vector(backend, start);
    unet.merge_adapters(&parameters);
    let schedule = schedule();
    let latent = z.picture(0);
    let subject = Subject::new(&latent, &context);
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
    let (loss, gradient) = trained.expect("there is no interrupt");
    outputs.push(("loss".into(), vec![loss.value() as f32]));
    gradients.push(("gradient of the adapters".into(), gradient.to_host()));
    Results { outputs, gradients }
}

/// The noise schedule of Stable Diffusion.
pub(crate) fn schedule() -> Schedule {
    Schedule::new(&ScheduleConfig {
        prediction: Prediction::Noise,
        beta_start: 0.00085,
        beta_end: 0.012,
        scaled: true,
        timesteps: 1000,
        steps_offset: 1,
        set_alpha_to_one: false,
    })
}

/// Zeros of the shape of a tensor.
fn zeros_like<B: Backend>(like: &Tensor<B>) -> Tensor<B> {
    Tensor::zeros(like.backend(), like.shape())
}

/// Encodes a picture, decodes its latent, and takes the gradient of a loss of that picture.
pub(crate) fn encode_and_decode<B: Backend>(backend: &B) -> Results {
    let vae =
        Vae::load(backend, &source("tiny"), &Interrupt::never()).expect("the fixture has a VAE");
    let latent = vae
        .encode(
            &random(backend, 1, Shape::new(1, 24, 40, 3)),
            &Interrupt::never(),
        )
        .expect("there is no interrupt");
    let picture = vae
        .decode(&latent, &Interrupt::never())
        .expect("there is no interrupt");
    let pass = vae
        .record_decode(&latent, &Interrupt::never())
        .expect("there is no interrupt");
    let gradient = pass
        .backward(&random(backend, 2, picture.shape()), &Interrupt::never())
        .expect("there is no interrupt");
    Results {
        outputs: vec![
            ("latent".into(), latent.to_host()),
            ("picture".into(), picture.to_host()),
        ],
        gradients: vec![("latent".into(), gradient.to_host())],
    }
}
