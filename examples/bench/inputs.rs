//! The inputs of the calls.

use anyhow::{Result, ensure};
use dragnext::diffusion::{NoiseSource, Seeded, Stream};
use dragnext::kernels::Backend;
use dragnext::model::config::UNetConfig;
use dragnext::model::vae::DOWNSCALE;
use dragnext::nn::{Shape, Tensor};

use crate::reference::Reference;

/// The decoder stage whose features the drag compares.
pub(crate) const TAP: usize = 3;
/// Pictures of a training step, if there is no reference.
const LORA_BATCH: usize = 4;

/// The inputs of a training step.
pub(crate) struct LoraInput<B: Backend> {
    pub(crate) latent: Tensor<B>,
    pub(crate) timesteps: Vec<usize>,
    pub(crate) noise: Vec<f32>,
}

/// The inputs of all calls, and the gradients that backward passes start from. Inputs that the reference does not have are random.
pub(crate) struct Inputs<B: Backend> {
    /// Two latents, their timesteps and prompts, for the network.
    pub(crate) latents: Tensor<B>,
    pub(crate) timesteps: Vec<f64>,
    pub(crate) context: Tensor<B>,
    /// Gradients to the decoder stage and to the noise.
    pub(crate) d_tap: Tensor<B>,
    pub(crate) d_noise: Tensor<B>,
    pub(crate) lora: LoraInput<B>,
    /// Inputs of the VAE.
    pub(crate) picture: Tensor<B>,
    pub(crate) latent: Tensor<B>,
}

fn random<B: Backend>(backend: &B, seed: u64, shape: Shape) -> Tensor<B> {
    Tensor::from_host(
        backend,
        shape,
        Seeded::new(seed).normal(Stream::VACATED, shape.len()),
    )
}

impl<B: Backend> Inputs<B> {
    pub(crate) fn new(
        backend: &B,
        config: &UNetConfig,
        size: usize,
        given: &Reference,
    ) -> Result<Self> {
        let side = size / DOWNSCALE;
        let stored = |(shape, values): (Shape, Vec<f32>)| Tensor::from_host(backend, shape, values);
        let picture = |name: &str, seed: u64, shape: Shape| {
            Ok::<_, anyhow::Error>(
                given
                    .picture(name)?
                    .map_or_else(|| random(backend, seed, shape), stored),
            )
        };
        let latents = picture("z", 1, Shape::new(2, side, side, 4))?;
        let one = Shape {
            batch: 1,
            ..latents.shape()
        };
        let levels = config.channels.len();
        ensure!(
            levels >= TAP,
            "the model has {levels} decoder stages, but the drag uses stage {TAP}"
        );
        // The encoder halves the sides between levels, rounding up; every decoder stage but the last undoes one halving.
        let tap_side = |side: usize| side.div_ceil(1 << (levels - 1 - TAP.min(levels - 1)));
        let tap = Shape::new(
            1,
            tap_side(one.height),
            tap_side(one.width),
            config.channels[levels - TAP],
        );
        let draw = Seeded::new(6).fine_tuning(LORA_BATCH, one.len(), 1000);
        Ok(Self {
            timesteps: given.values("t").map_or_else(
                || vec![741.0, 21.0],
                |t| t.iter().map(|t| f64::from(*t)).collect(),
            ),
            context: given.tokens("context")?.map_or_else(
                || random(backend, 2, Shape::new(2, 1, 77, config.cross_attention_dim)),
                stored,
            ),
            d_tap: picture("d_tap", 3, tap)?,
            d_noise: picture("d_noise", 4, one)?,
            lora: LoraInput {
                latent: picture("lora.latent", 5, one)?,
                timesteps: given
                    .values("lora.t")
                    .map_or(draw.timesteps, |t| t.iter().map(|t| *t as usize).collect()),
                noise: given
                    .picture("lora.noise")?
                    .map_or(draw.noise, |(_, noise)| noise),
            },
            picture: picture(
                "image",
                7,
                Shape::new(1, DOWNSCALE * one.height, DOWNSCALE * one.width, 3),
            )?,
            latent: picture("latent", 8, one)?,
            latents,
        })
    }
}
