//! The VAE between pictures and latents (diffusers' `AutoencoderKL`).
//!
//! Encoding is inference only. Decoding has a backward pass too ([`Vae::record_decode`]), for losses on decoded pictures.

mod decoder;
mod encoder;
mod middle;
mod recorded;

pub use recorded::RecordedDecode;

use super::config::VaeConfig;
use super::layout;
use super::source::Source;
use super::weights::Weights;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::{Linear, Pass, Tensor};
use decoder::Decoder;
use encoder::Encoder;

/// Pixels per latent cell in each direction.
pub const DOWNSCALE: usize = 8;

/// Epsilon of all group normalisations.
const EPS: f64 = 1e-6;

/// Encoder and decoder.
#[derive(Debug)]
pub struct Vae<B: Backend> {
    encoder: Encoder<B>,
    quant: Linear<B>,
    post_quant: Linear<B>,
    decoder: Decoder<B>,
    scaling_factor: f32,
    digest: String,
}

/// The Gaussian over unscaled latents that the encoder predicts; both tensors are (b, h / 8, w / 8, 4).
#[derive(Debug)]
pub struct Posterior<B: Backend> {
    /// Mean.
    pub mean: Tensor<B>,
    /// Logarithm of the variance, not clamped.
    pub logvar: Tensor<B>,
}

impl<B: Backend> Posterior<B> {
    /// Returns mean + standard deviation * noise, with the log variance clamped to [-30, 20] as in diffusers.
    ///
    /// # Panics
    /// When the noise does not have the length of the mean.
    pub fn sample(&self, noise: &[f32]) -> Tensor<B> {
        let (mean, logvar) = (self.mean.to_host(), self.logvar.to_host());
        assert_eq!(noise.len(), mean.len(), "one noise value per latent value");
        let value = |((mean, logvar), noise): ((&f32, &f32), &f32)| {
            mean + (0.5 * logvar.clamp(-30.0, 20.0)).exp() * noise
        };
        let values = mean.iter().zip(&logvar).zip(noise).map(value).collect();
        Tensor::from_host(self.mean.backend(), self.mean.shape(), values)
    }
}

impl<B: Backend> Vae<B> {
    /// Loads the weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the file is missing, damaged, or does not fit the configuration;
    /// [`crate::Error::Interrupted`].
    pub fn load(backend: &B, source: &Source, interrupt: &Interrupt) -> Result<Self> {
        let config = VaeConfig::read(source)?;
        let weights = Weights::open(backend, source, &layout::VAE, interrupt)?;
        Self::of_weights(weights, &config)
    }

    /// Makes a VAE with random weights, which restores nothing and computes like any other.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn seeded(backend: &B, config: &VaeConfig, interrupt: &Interrupt) -> Result<Self> {
        Self::of_weights(Weights::seeded(backend, interrupt), config)
    }

    fn of_weights(mut weights: Weights<B>, config: &VaeConfig) -> Result<Self> {
        let encoder = Encoder::load(&mut weights, config)?;
        let quant = weights.linear("quant_conv", 8, 8, true)?;
        let post_quant = weights.linear("post_quant_conv", 4, 4, true)?;
        let decoder = Decoder::load(&mut weights, config)?;
        let digest = weights.finish()?;
        Ok(Self {
            encoder,
            quant,
            post_quant,
            decoder,
            scaling_factor: config.scaling_factor as f32,
            digest,
        })
    }

    /// Returns the SHA-256 of the loaded weights.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the factor from unscaled latents to those that a UNet takes.
    pub fn scaling_factor(&self) -> f32 {
        self.scaling_factor
    }

    /// Computes the posterior of pictures (b, h, w, 3) in [-1, 1]. Where h and w are no multiples of 8, the latent's are rounded down.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn posterior(&self, picture: &Tensor<B>, interrupt: &Interrupt) -> Result<Posterior<B>> {
        let backend = self.encoder.backend();
        let encoded = backend.run(|| {
            self.encoder
                .forward(&picture.compact(backend, 1.0), interrupt)
        })?;
        let moments = self
            .quant
            .forward(&encoded, &mut Pass::inference())
            .full(1.0);
        let (mean, logvar) = moments.split(4);
        Ok(Posterior { mean, logvar })
    }

    /// Encodes pictures (b, h, w, 3) in [-1, 1] to the scaled mean latent (b, h / 8, w / 8, 4).
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn encode(&self, picture: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        Ok(scaled(
            self.posterior(picture, interrupt)?.mean,
            self.scaling_factor,
        ))
    }

    /// Decodes scaled latents (b, h, w, 4) to pictures (b, 8 h, 8 w, 3), approximately in [-1, 1].
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn decode(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        self.decode_unscaled(
            &scaled(latent.clone(), 1.0 / self.scaling_factor),
            interrupt,
        )
    }

    /// Decodes unscaled latents, as [`Posterior`] has them, otherwise as [`Vae::decode`].
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn decode_unscaled(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let backend = self.encoder.backend();
        let latent = self
            .post_quant
            .forward(&latent.compact(backend, 1.0), &mut Pass::inference());
        Ok(backend
            .run(|| self.decoder.forward(&latent, interrupt))?
            .full(1.0))
    }
}

fn scaled<B: Backend>(latent: Tensor<B>, factor: f32) -> Tensor<B> {
    let zeros = Tensor::zeros(latent.backend(), latent.shape());
    latent.combined(factor, 0.0, &zeros)
}
