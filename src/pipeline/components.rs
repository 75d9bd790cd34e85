//! The parts of a model beside the noise predictor, and what they compute: tokens, context, latents and pictures.

use std::sync::{Arc, Mutex, PoisonError};

use crate::diffusion::{Schedule, require_finite};
use crate::error::Result;
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::Guide;
use crate::model::vae::DOWNSCALE;
use crate::model::{Clip, Model, TextEncoder, Tokenizer, Vae};
use crate::nn::{Shape, Tensor};
use crate::plan::{Plan, absent_embedding, cut_prompt};
use crate::progress::Stage;
use crate::warning::Warning;

/// Everything that edits use beside the noise predictor. Edits do not change it, so several may share it.
#[derive(Debug)]
pub(super) struct Components<B: Backend> {
    pub(super) backend: B,
    pub(super) model: Model,
    pub(super) vae: Vae<B>,
    /// Held by the edit that encodes or decodes, because that takes more memory than any other stage.
    pub(super) vae_lock: Mutex<()>,
    pub(super) tokenizer: Tokenizer,
    pub(super) text_encoder: TextEncoder,
    /// The CLIP, once an edit needs it.
    pub(super) clip: Mutex<Option<Arc<Clip<B>>>>,
    pub(super) schedule: Schedule,
    /// Seconds that loading the weights took.
    pub(super) seconds: f64,
}

impl<B: Backend> Components<B> {
    /// Frees the memory of a finished stage or edit, and restores the loss scale.
    pub(super) fn release(&self) {
        self.backend.trim();
        self.backend.restore_loss_scale();
    }

    /// Checks that the plan fits the model. Returns the prompt's tokens, with warnings where the prompt is cut and where it does not name an
    /// embedding.
    ///
    /// # Errors
    /// [`crate::Error::Setting`], [`crate::Error::Weights`] for a damaged tokenizer.
    pub(super) fn tokens(&self, plan: &Plan) -> Result<(Vec<u32>, Vec<Warning>)> {
        plan.check_settings(Some(self.model.decoder_stages()))?;
        let positions = self.text_encoder.positions();
        let excess = self.tokenizer.excess(&plan.prompt, positions)?;
        let cut = excess.map(|excess| cut_prompt("prompt", &excess));
        let absent = self.tokenizer.absent_embeddings(&plan.prompt)?;
        let absent = absent.iter().map(|word| absent_embedding(word));
        Ok((
            self.tokenizer.encode(&plan.prompt, positions)?,
            cut.into_iter().chain(absent).collect(),
        ))
    }

    /// Returns the embedding of the empty prompt (1, 1, tokens, channels), for a method that needs it and a prompt that is not empty.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] for a damaged tokenizer; [`crate::Error::NotFinite`].
    pub(super) fn unconditional(&self, plan: &Plan) -> Result<Option<Tensor<B>>> {
        if plan.prompt.is_empty() || !plan.settings.method.needs().unconditional {
            return Ok(None);
        }
        let tokens = self.tokenizer.encode("", self.text_encoder.positions())?;
        let embedding = self.text_encoder.encode(&self.backend, &tokens)?;
        Ok(Some(embedding))
    }

    /// Returns what the edited picture should show, for a method that needs a CLIP, with a warning where the text is cut. The first call loads it.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] and [`crate::Error::Hub`].
    pub(super) fn guide(
        &self,
        plan: &Plan,
        interrupt: &Interrupt,
    ) -> Result<Option<(Guide<'_, B>, Option<Warning>)>> {
        if !plan.settings.method.needs().clip {
            return Ok(None);
        }
        let mut loaded = self.clip.lock().unwrap_or_else(PoisonError::into_inner);
        let clip = match &*loaded {
            Some(clip) => Arc::clone(clip),
            None => Arc::new(self.model.clip()?.load(&self.backend, interrupt)?),
        };
        *loaded = Some(Arc::clone(&clip));
        let excess = clip.excess(plan.goal())?;
        let guide = Guide {
            text: clip.text(plan.goal())?,
            clip,
            alone: &self.vae_lock,
        };
        let cut = excess.map(|excess| cut_prompt(plan.goal_key(), &excess));
        Ok(Some((guide, cut)))
    }

    /// Encodes the working picture (padded height, padded width, 3) in -1..1 to its mean latent.
    pub(super) fn encode(
        &self,
        plan: &Plan,
        picture: Vec<f32>,
        interrupt: &Interrupt,
    ) -> Result<Tensor<B>> {
        let size = plan.frame.padded;
        let shape = Shape::new(1, size.height, size.width, 3);
        failpoint::wait("wait_in_encode", || interrupt.has_come());
        let _alone = self.vae_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let picture = Tensor::from_host(&self.backend, shape, picture);
        let latent = self.vae.encode(&picture, interrupt)?;
        require_finite(&latent, Stage::Encode, 1, "the picture's latent")?;
        // The network may compute in another number format than the VAE.
        Ok(Tensor::from_host(
            &self.backend,
            latent.shape(),
            latent.to_host(),
        ))
    }

    /// Decodes the edited latent to a picture in 0..1.
    pub(super) fn decode(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Vec<f32>> {
        failpoint::panic("panic_in_decode");
        failpoint::wait("hang_in_decode", || false);
        failpoint::wait("wait_in_decode", || interrupt.has_come());
        self.decoded(latent, interrupt, |decoded| {
            failpoint::corrupt("nan_in_decode", decoded)
        })
    }

    /// Decodes the latent of a picture that was encoded, to see what the VAE keeps of it, in 0..1.
    pub(super) fn reconstruct(
        &self,
        latent: &Tensor<B>,
        interrupt: &Interrupt,
    ) -> Result<Vec<f32>> {
        self.decoded(latent, interrupt, |decoded| decoded)
    }

    fn decoded(
        &self,
        latent: &Tensor<B>,
        interrupt: &Interrupt,
        then: impl FnOnce(Tensor<B>) -> Tensor<B>,
    ) -> Result<Vec<f32>> {
        let _alone = self.vae_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let decoded = then(self.vae.decode(latent, interrupt)?);
        require_finite(&decoded, Stage::Decode, 1, "the picture")?;
        let picture = decoded.to_host().into_iter();
        Ok(picture
            .map(|value| (value * 0.5 + 0.5).clamp(0.0, 1.0))
            .collect())
    }
}

/// Returns the shape of the latents of a plan's working picture.
pub(super) fn latent_shape(plan: &Plan) -> Shape {
    let size = plan.frame.padded;
    Shape::new(1, size.height / DOWNSCALE, size.width / DOWNSCALE, 4)
}
