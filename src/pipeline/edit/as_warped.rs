//! Edits whose result is known without the network: the warped picture as the VAE keeps it.

use super::super::adapters::Adapters;
use super::super::{Latents, Outcome, WarpedWork};
use super::{EachResult, Edit};
use crate::error::Result;
use crate::kernels::Backend;
use crate::method::parts::is_new;
use crate::progress::Stage;

impl<B: Backend> Edit<'_, B> {
    /// Returns whether the result is the warped picture as the VAE keeps it.
    pub(super) fn keeps(&self, warped: &WarpedWork) -> bool {
        let settings = &self.plan.settings;
        let has_new = warped.new.iter().copied().any(is_new);
        settings.method.keeps_warped(&settings.diffusion, has_new)
    }

    /// Finishes an edit whose result is the warped picture as the VAE keeps it, without the network. All its latents are the clean one. The result is
    /// the same at every degree, since nothing is optimised.
    pub(super) fn finish_as_warped(
        mut self,
        mut adapters: Adapters,
        warped: WarpedWork,
        degrees: &[f64],
        each: &mut EachResult<B>,
    ) -> Result<()> {
        for stage in [Stage::Invert, Stage::Drag, Stage::Denoise] {
            self.stages.skip(stage);
        }
        self.steps.denoise = 0;
        let clean = self.encode(warped.picture)?;
        let picture = self.decode(&clean)?;
        let carries_detail = self.plan.settings.warp.detail > 0.0;
        for index in 0..degrees.len() {
            if index > 0 {
                self.begin_again();
            }
            let outcome = Outcome {
                reconstruction: carries_detail.then(|| picture.clone()),
                ..self.outcome(picture.clone(), &mut adapters)
            };
            let latents = Latents {
                inverted: clean.clone(),
                prepared: clean.clone(),
                dragged: clean.clone(),
                prompts: None,
                bottleneck: None,
                denoised: clean.clone(),
                reference: clean.clone(),
                clean: clean.clone(),
                losses: Vec::new(),
            };
            each(outcome, latents)?;
        }
        Ok(())
    }
}
