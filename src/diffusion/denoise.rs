//! Denoising of the reference latent and the edited latent in one batch, with mutual self-attention between them.
//!
//! One step at a time, so that a method can denoise its own timesteps and leave the others to the pipeline.

use super::kept::KeptTrajectory;
use super::{Grid, Schedule, require_finite};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::unet::{Input, Network, Prompt};
use crate::nn::{Mutual, Tensor};
use crate::progress::{Progress, Stage};

/// The reference latent and the edited latent, at the same timestep.
#[derive(Debug, Clone)]
pub struct Pair<B: Backend> {
    /// Denoises to the original picture (1, height, width, 4).
    pub reference: Tensor<B>,
    /// Denoises to the edited picture (1, height, width, 4).
    pub edit: Tensor<B>,
}

/// Replaces the bottleneck of the edited latent at the first steps of a denoising (`DragNoise`, arXiv 2404.01050).
#[derive(Debug, Clone)]
pub struct Injection<B: Backend> {
    /// What replaces the output of the U-Net's middle block (1, height, width, channels).
    pub bottleneck: Tensor<B>,
    /// The number of these steps.
    pub steps: usize,
}

/// A step of the denoising.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The timestep of the latents.
    pub t: i64,
    /// The number of the step, from 1, for error messages.
    pub step: usize,
}

impl<B: Backend> Pair<B> {
    /// Denoises both latents by one step. From `start_layer` on, the edited latent's self-attention uses the keys and values of the
    /// reference latent (MasaCtrl, arXiv 2304.08465).
    ///
    /// A `bottleneck` replaces that of the edited latent. A `prompt` prepared from a batch of two gives each latent its own, the reference's first, as `DragText` needs (arXiv 2407.17843).
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
        bottleneck: Option<&Tensor<B>>,
    ) -> Result<Self> {
        let mutual = Mutual {
            start_layer,
            sources: vec![0, 0],
        };
        let both = Tensor::stacked(&[self.reference, self.edit]);
        let mut input = Input::at(&both, place.t as f64, prompt).with_mutual(mutual);
        if let Some(bottleneck) = bottleneck {
            input = input.with_bottlenecks(vec![None, Some(bottleneck.clone())]);
        }
        let noise = unet.predict(input);
        require_finite(&noise, Stage::Denoise, place.step, "the noise prediction")?;
        let next = schedule.step(both, &noise, place.t, grid.after(place.t));
        Ok(Self {
            reference: next.picture(0),
            edit: next.picture(1),
        })
    }

    /// Denoises both latents along a grid, after its first `done` steps. An injection begins there. With a kept trajectory every step is corrected.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
    pub fn denoise(
        mut self,
        unet: &impl Network<B>,
        schedule: &Schedule,
        grid: &Grid,
        done: usize,
        prompt: &Prompt<B>,
        start_layer: usize,
        injection: Option<&Injection<B>>,
        kept: Option<&KeptTrajectory<B>>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        for (index, &t) in grid.timesteps[done..].iter().enumerate() {
            interrupt.check()?;
            let place = Place { t, step: index + 1 };
            let bottleneck = injection.filter(|injection| index < injection.steps);
            let bottleneck = bottleneck.map(|injection| &injection.bottleneck);
            self = self.step(unet, schedule, grid, place, prompt, start_layer, bottleneck)?;
            if let Some(kept) = kept {
                self = kept.corrected(self, t);
            }
            progress.step(None);
        }
        Ok(self)
    }
}
