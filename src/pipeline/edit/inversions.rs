//! The inversions of an edit: of the picture, of the warped picture in its place, or of both.

use super::super::WarpedWork;
use super::super::adapters::Adapters;
use super::super::components::latent_shape;
use super::Edit;
use crate::diffusion::invert::{Trajectory, invert};
use crate::error::Result;
use crate::kernels::Backend;
use crate::method::{Inversion, StartPicture};
use crate::model::unet::{Network, Prompt};
use crate::progress::Stage;

/// The inversions that an edit needs.
pub(super) struct Inversions<B: Backend> {
    /// That of the picture which the method starts from.
    pub(super) start: Trajectory<B>,
    /// That of the original picture, where it is another and the method needs it.
    pub(super) original: Option<Trajectory<B>>,
}

impl<B: Backend> Edit<'_, B> {
    /// Inverts the pictures that the method needs, or takes their inversions from the cache.
    ///
    /// # Panics
    /// When the method starts from the warped picture and there is none.
    pub(super) fn invert_all(
        &mut self,
        network: &impl Network<B>,
        prompt: &Prompt<B>,
        adapters: &Adapters,
        warped: Option<&WarpedWork>,
    ) -> Result<Inversions<B>> {
        let needs = self.plan.settings.method.needs();
        match needs.start {
            StartPicture::Original => Ok(Inversions {
                start: self.invert(network, prompt, adapters, None)?,
                original: None,
            }),
            StartPicture::Warped => {
                let warped = warped.expect("the caller warps the picture for this method");
                let start = self.invert(network, prompt, adapters, Some(&warped.picture))?;
                let original = needs
                    .original
                    .then(|| self.invert(network, prompt, adapters, None))
                    .transpose()?;
                Ok(Inversions { start, original })
            }
        }
    }

    /// Inverts the picture, or `warped` in its place, or takes the inversion from the cache.
    fn invert(
        &mut self,
        network: &impl Network<B>,
        prompt: &Prompt<B>,
        adapters: &Adapters,
        warped: Option<&[f32]>,
    ) -> Result<Trajectory<B>> {
        if self.plan.settings.method.needs().inversion == Inversion::Own {
            self.stages.skip(Stage::Invert);
            return self.clean_of(warped).map(Trajectory::of_clean);
        }
        let (components, interrupt) = (self.components, self.interrupt);
        let shape = latent_shape(self.plan);
        let cache = self.cache.clone();
        let key = cache.inversion(&adapters.hash, &self.grid, warped);
        let steps = self.grid.timesteps.len();
        let tensors = [("clean", shape.len()), ("steps", steps * shape.len())];
        let (latents, is_cached) = cache.get_or_compute(key, tensors, || {
            let clean = self.clean_of(warped)?;
            self.steps.invert += steps;
            let (grid, schedule) = (&self.grid, &components.schedule);
            let trajectory = self.stages.run(Stage::Invert, steps, |progress| {
                invert(network, schedule, grid, &clean, prompt, progress, interrupt)
            })?;
            Ok([clean.to_host(), trajectory.steps_to_host()])
        })?;
        if is_cached {
            self.stages.hit(Stage::Invert);
        }
        let ([clean, steps], backend) = (latents, &components.backend);
        Ok(Trajectory::from_host(
            backend, shape, &self.grid, clean, &steps,
        ))
    }
}
