//! DIFT features: what a decoder stage of a diffusion model computes for a noisy latent of a picture (Tang et al., "Emergent Correspondence from Image
//! Diffusion", arXiv 2306.03881).
//!
//! The published evaluations use Stable Diffusion 2.1, timestep 261, the second decoder stage, the mean over eight noises, and the picture's caption as prompt.
//! Noise comes from a seed and is the same for every picture of a size, so that figures depend neither on the order of pictures nor on how many
//! processes share them, and two equal pictures have equal features. The published scripts draw new noise for every picture.

use std::fmt::Debug;

use crate::diffusion::{NoiseSource, Schedule, Seeded, Stream};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::interrupt::Interrupt;
use crate::kernels::{Backend, fault};
use crate::model::unet::{Features, Input, Network};
use crate::model::{Model, TextEncoder, Tokenizer, UNet, Vae};
use crate::nn::{Shape, Tensor};

use super::matching::FeatureMap;

/// The timestep of the noise.
const TIMESTEP: i64 = 261;
/// The decoder stage of the published evaluations, 1 the coarsest: up block 1, counted from 0.
pub const STAGE: usize = 2;
/// The number of decoder stages.
pub const STAGES: usize = 4;
/// The number of noises whose features are averaged.
const NOISES: usize = 8;
/// The seed of all noise.
const SEED: u64 = 42;

/// Noise of the posterior (height, width, 4), one after the other.
pub const POSTERIOR_NOISE: Stream = Stream::new("dift posterior", 5);
/// Noise that is added to the latents (height, width, 4), one after the other.
pub const LATENT_NOISE: Stream = Stream::new("dift latent", 6);

/// Which latent of the VAE's posterior is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posterior {
    /// A sample for each noise (DIFT, DragDiffusion).
    Sample,
    /// The mode, which is the mean (RegionDrag).
    Mode,
}

/// Which model computes features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiftModel {
    /// The model's name in records.
    pub name: String,
    /// SHA-256 of its configuration and weights.
    pub sha256: String,
    /// Whether it has the form of Stable Diffusion 2.1, with which published figures were computed.
    pub is_sd21: bool,
}

/// A model that computes features, on whatever device.
pub trait AnyDift: Debug + Send {
    /// Returns which model it is.
    fn model(&self) -> &DiftModel;

    /// Returns the features of a picture: `values` (height, width, 3) in -1..1.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`], [`Error::NotFinite`], [`Error::Device`], [`Error::Interrupted`].
    ///
    /// # Panics
    /// When the number of values is not that of the size, or a side is shorter than 8 pixels.
    fn features(
        &self,
        values: Vec<f32>,
        size: Size,
        prompt: &str,
        posterior: Posterior,
        interrupt: &Interrupt,
    ) -> Result<FeatureMap>;
}

/// A model on a device.
#[derive(Debug)]
pub struct Dift<B: Backend> {
    backend: B,
    unet: UNet<B>,
    vae: Vae<B>,
    tokenizer: Tokenizer,
    encoder: TextEncoder,
    schedule: Schedule,
    model: DiftModel,
    stage: usize,
}

impl<B: Backend> Dift<B> {
    /// Loads a model's weights.
    ///
    /// # Errors
    /// As [`Model::unet`]; [`Error::Device`].
    pub fn load(backend: B, model: &Model, interrupt: &Interrupt) -> Result<Self> {
        let (unet, vae, (tokenizer, encoder)) = fault::catch(|| {
            Ok((
                model.unet(&backend, interrupt)?,
                model.vae(&backend.in_f32(), interrupt)?,
                model.text(interrupt)?,
            ))
        })?;
        let parts = [
            &model.configuration()?,
            unet.digest(),
            vae.digest(),
            encoder.digest(),
        ];
        Ok(Self {
            stage: STAGE,
            schedule: Schedule::new(model.schedule()),
            model: DiftModel {
                name: model.name(),
                sha256: sha256(parts.concat().as_bytes()),
                is_sd21: model.is_sd21(),
            },
            backend,
            unet,
            vae,
            tokenizer,
            encoder,
        })
    }

    /// Takes features from another decoder stage than [`STAGE`], from 1 to [`STAGES`]; the model's name then says which. A small model's
    /// second stage has cells that are large beside its pictures.
    ///
    /// # Panics
    /// When there is no such stage.
    #[must_use]
    pub fn at_stage(mut self, stage: usize) -> Self {
        assert!((1..=STAGES).contains(&stage), "a decoder stage");
        if stage != self.stage {
            self.model.name = format!("{} stage {stage}", self.model.name);
            self.model.is_sd21 = false;
            self.stage = stage;
        }
        self
    }

    /// As [`AnyDift::features`], of a picture (1, height, width, 3), the tokens' hidden states, and the mean over `noises` noises of a source.
    ///
    /// # Errors
    /// As [`AnyDift::features`].
    ///
    /// # Panics
    /// If `noises` is 0.
    pub fn features_of(
        &self,
        picture: &Tensor<B>,
        context: &Tensor<B>,
        posterior: Posterior,
        noises: usize,
        noise: &mut dyn NoiseSource,
        interrupt: &Interrupt,
    ) -> Result<FeatureMap> {
        let encoded = self.vae.posterior(picture, interrupt)?;
        let shape = encoded.mean.shape();
        let alpha = self.schedule.alpha(TIMESTEP);
        let [keep, add] = [alpha.sqrt(), (1.0 - alpha).sqrt()].map(|factor| factor as f32);
        let keep = keep * self.vae.scaling_factor();
        let prompt = self.unet.prepare(context);
        let mut noisy = Vec::with_capacity(noises);
        for _ in 0..noises {
            let latent = match posterior {
                Posterior::Mode => encoded.mean.clone(),
                Posterior::Sample => encoded.sample(&noise.normal(POSTERIOR_NOISE, shape.len())),
            };
            let latent = Tensor::from_host(&self.backend, shape, latent.to_host());
            let noise = noise.normal(LATENT_NOISE, shape.len());
            let noise = Tensor::from_host(&self.backend, shape, noise);
            noisy.push(latent.combined(keep, add, &noise));
        }
        let at_once = (self.backend.cells_at_once() / shape.pixels()).clamp(1, noises);
        let mut sum: Option<Tensor<B>> = None;
        for latents in noisy.chunks(at_once) {
            interrupt.check()?;
            let input = Input::at(&Tensor::stacked(latents), TIMESTEP as f64, &prompt);
            let features = self.unet.forward(input, Features::of(&[self.stage]));
            let own = features[0].full(1.0 / noises as f32).summed();
            sum = Some(match sum {
                Some(sum) => sum.plus(&own),
                None => own,
            });
        }
        let sum = sum.expect("at least one noise");
        let Shape {
            height,
            width,
            channels,
            ..
        } = sum.shape();
        if !sum.is_finite() {
            return Err(Error::NotFinite {
                stage: "features",
                step: 1,
                what: "the features of the picture",
            });
        }
        self.backend.trim();
        Ok(FeatureMap::new([height, width, channels], sum.to_host()))
    }
}

impl<B: Backend> AnyDift for Dift<B> {
    fn model(&self) -> &DiftModel {
        &self.model
    }

    fn features(
        &self,
        values: Vec<f32>,
        size: Size,
        prompt: &str,
        posterior: Posterior,
        interrupt: &Interrupt,
    ) -> Result<FeatureMap> {
        let tokens = self.tokenizer.encode(prompt, self.encoder.positions())?;
        fault::catch(|| {
            let context = self.encoder.encode(&self.backend, &tokens)?;
            let shape = Shape::new(1, size.height, size.width, 3);
            let picture = Tensor::from_host(&self.backend.in_f32(), shape, values);
            let noise = &mut Seeded::new(SEED);
            self.features_of(&picture, &context, posterior, NOISES, noise, interrupt)
        })
    }
}
