//! The VAE.

use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::{Source, Vae};
use dragnext::nn::{Shape, Tensor};

use super::gradients::{assert_slopes, moved};
use super::{FORWARD, decode, encode};
use crate::bench::fixture::{self, Fixture, assert_close, assert_gradient, dot};

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

/// The decoder of the small model, and a loss on its picture: the dot product with weights.
struct Loss {
    vae: Vae<Cpu>,
    /// The scaled latent.
    latent: Tensor<Cpu>,
    weights: Tensor<Cpu>,
    /// The gradient with respect to the scaled latent, by PyTorch.
    expected: Vec<f32>,
}

impl Loss {
    fn read() -> Self {
        let fixture = Fixture::open("clip/parity.safetensors");
        let unscaled = fixture.picture("vae.latent");
        let gradient = fixture.picture("vae.gradient").to_host();
        Self {
            vae: Vae::load(&Cpu, &fixture::source("tiny"), &Interrupt::never())
                .expect("the fixture has a VAE"),
            latent: unscaled.clone().combined(0.18215, 0.0, &unscaled),
            weights: fixture.picture("vae.w"),
            expected: gradient.iter().map(|x| x / 0.18215).collect(),
        }
    }

    /// Returns the gradient with tapes of at most `limit` bytes, and the bytes that were kept.
    fn gradient(&self, limit: usize) -> (Vec<f32>, usize) {
        let never = Interrupt::never();
        let pass = self
            .vae
            .record_decode_within(&self.latent, limit, &never)
            .expect("no interrupt");
        assert_eq!(
            pass.picture().to_host(),
            decode(&self.vae, &self.latent).to_host(),
            "a recorded decode returns the same picture"
        );
        let bytes = pass.kept_bytes();
        let gradient = pass.backward(&self.weights, &never).expect("no interrupt");
        assert_eq!(gradient.shape(), self.latent.shape());
        (gradient.to_host(), bytes)
    }
}

#[test]
fn gradient_of_a_decoded_picture() {
    let loss = Loss::read();
    let (gradient, bytes) = loss.gradient(usize::MAX);
    assert_gradient("vae.gradient", &gradient, &loss.expected);
    assert_close("vae.gradient", &gradient, &loss.expected, FORWARD);
    // Blocks that are computed again give the same bits; less is kept.
    let mut kept = vec![bytes];
    for limit in [bytes / 2, 0] {
        let (again, bytes) = loss.gradient(limit);
        assert_eq!(again, gradient, "with tapes of at most {limit} bytes");
        kept.push(bytes);
    }
    assert!(
        kept.windows(2).all(|pair| pair[1] < pair[0]),
        "bytes kept with ever smaller limits: {kept:?}"
    );
}

#[test]
fn gradient_of_a_decoded_picture_matches_finite_differences() {
    let loss = Loss::read();
    let weights = loss.weights.to_host();
    let (gradient, _) = loss.gradient(usize::MAX);
    assert_slopes("gradient of the latent", &gradient, |step, v| {
        dot(
            &decode(&loss.vae, &moved(&loss.latent, step, v)).to_host(),
            &weights,
        )
    });
}
