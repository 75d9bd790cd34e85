//! The networks against PyTorch, diffusers and peft: outputs and gradients. `tests/fixtures/README.md` says how the fixtures were made.

mod adapters;
mod clip;
mod gradients;
mod lora;
mod sd2;
mod unet;
mod vae;

use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::config::UNetConfig;
use dragnext::model::unet::{Input, Network, Recordable};
use dragnext::model::{UNet, Vae};
use dragnext::nn::{Mutual, Tensor};

use crate::bench::fixture::{self, Fixture};

/// Largest accepted relative error of an output.
pub(super) const FORWARD: f64 = 1e-4;

pub(super) const ALL_TAPS: [usize; 4] = [1, 2, 3, 4];

pub(super) fn encode(vae: &Vae<Cpu>, picture: &Tensor<Cpu>) -> Tensor<Cpu> {
    vae.encode(picture, &Interrupt::never())
        .expect("no interrupt")
}

pub(super) fn decode(vae: &Vae<Cpu>, latent: &Tensor<Cpu>) -> Tensor<Cpu> {
    vae.decode(latent, &Interrupt::never())
        .expect("no interrupt")
}

pub(super) fn unet(name: &str) -> UNet<Cpu> {
    let source = fixture::source(name);
    let config = UNetConfig::read(&source).expect("the fixture is a model");
    UNet::load(&Cpu, &source, &config, &Interrupt::never()).expect("the fixture has weights")
}

/// An input of the network, from a fixture.
pub(super) struct Case {
    pub(super) z: Tensor<Cpu>,
    pub(super) timesteps: Vec<f64>,
    pub(super) context: Tensor<Cpu>,
}

impl Case {
    pub(super) fn read(fixture: &Fixture, name: &str) -> Self {
        Self {
            z: fixture.picture(&format!("{name}.z")),
            timesteps: fixture.timesteps(&format!("{name}.t")),
            context: fixture.tokens(&format!("{name}.context")),
        }
    }

    pub(super) fn input(&self) -> Input<Cpu> {
        Input::new(&self.z, &self.timesteps, &self.context)
    }

    pub(super) fn noise(&self, unet: &UNet<Cpu>) -> Vec<f32> {
        unet.predict(self.input()).to_host()
    }

    pub(super) fn noise_with(&self, unet: &UNet<Cpu>, mutual: Mutual) -> Vec<f32> {
        unet.predict(self.input().with_mutual(mutual)).to_host()
    }
}

/// Returns the gradient with respect to z of the outputs' dot products with the weights `w` of the fixture.
pub(super) fn gradient_to_z<W: Recordable>(
    unet: &UNet<Cpu>,
    fixture: &Fixture,
    name: &str,
    want: W,
) -> Vec<f32> {
    let input = Case::read(fixture, name).input();
    let weight = |index: usize| fixture.picture(&format!("{name}.w{index}"));
    let features = want.stages().iter().map(|stage| weight(*stage)).collect();
    let gradients = W::collect(features, None, W::NOISE.then(|| weight(0)));
    unet.record(input, want).backward(gradients, 1.0).to_host()
}
