//! Edits whose result is known without the network: the warped picture as the VAE keeps it.

use super::super::adapters::Adapters;
use super::super::{Latents, Outcome, WarpedWork};
use super::Edit;
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

    /// Finishes an edit whose result is the warped picture as the VAE keeps it, without the network. All its latents are the clean one.
    pub(super) fn finish_as_warped(
        mut self,
        adapters: Adapters,
        warped: WarpedWork,
    ) -> Result<(Outcome, Latents<B>)> {
        for stage in [Stage::Invert, Stage::Drag, Stage::Denoise] {
            self.stages.skip(stage);
        }
        self.steps.denoise = 0;
        let clean = self.encode(warped.picture)?;
        let picture = self.decode(&clean)?;
        let carries_detail = self.plan.settings.warp.detail > 0.0;
        let outcome = Outcome {
            reconstruction: carries_detail.then(|| picture.clone()),
            ..self.outcome(picture, adapters, &[], 0, Vec::new())
        };
        let latents = Latents {
            inverted: clean.clone(),
            prepared: clean.clone(),
            dragged: clean.clone(),
            prompts: None,
            denoised: clean.clone(),
            reference: clean.clone(),
            clean,
            losses: Vec::new(),
        };
        Ok((outcome, latents))
    }
}
