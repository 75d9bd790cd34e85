//! The VAE.

use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::{Source, Vae};
use dragnext::nn::{Shape, Tensor};

use super::{FORWARD, decode, encode};
use crate::bench::fixture::{self, Fixture, assert_close};

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
