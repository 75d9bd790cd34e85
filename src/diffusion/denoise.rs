//! Denoising of two latents at once: the un-dragged reference, and the edit.

use super::{Grid, Schedule, require_finite};
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::unet::{Input, Network, Prompt};
use crate::nn::{Mutual, Tensor};
use crate::progress::Stage;

/// The un-dragged latent and the edited one, at the same time.
#[derive(Debug, Clone)]
pub struct Pair<B: Backend> {
    /// What denoises to the original picture.
    pub reference: Tensor<B>,
    /// What denoises to the edit.
    pub edit: Tensor<B>,
}

/// Where a pair stands in the denoising.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The timestep that the latents are at.
    pub t: i64,
    /// The step, from 1.
    pub step: usize,
}

impl<B: Backend> Pair<B> {
    /// One step of both in one batch. From `start_layer` on, the edit's self-attention reads the keys and values of the reference
    /// (MasaCtrl, arXiv 2304.08465).
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`].
    pub fn step(
        self,
        unet: &impl Network<B>,
        schedule: &Schedule,
        grid: &Grid,
        place: Place,
        prompt: &Prompt<B>,
        start_layer: usize,
    ) -> Result<Self> {
        let mutual = Mutual {
            start_layer,
            sources: vec![0, 0],
        };
        let both = Tensor::stacked(&[self.reference, self.edit]);
        let input = Input::at(&both, place.t as f64, prompt).with_mutual(mutual);
        let noise = unet.predict(input);
        require_finite(&noise, Stage::Denoise, place.step, "the noise prediction")?;
        let next = schedule.step(both, &noise, place.t, grid.after(place.t));
        Ok(Self {
            reference: next.picture(0),
            edit: next.picture(1),
        })
    }
}
