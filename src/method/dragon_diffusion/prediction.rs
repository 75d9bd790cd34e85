//! Noise predictions with classifier-free guidance (Ho and Salimans, arXiv 2207.12598), and keys and values of the inversion beside the latents' own.

use crate::diffusion::require_finite;
use crate::error::Result;
use crate::kernels::Backend;
use crate::method::Scene;
use crate::model::unet::{Input, Network, Prompt};
use crate::nn::{KeysAndValues, Tensor};
use crate::progress::Stage;

/// What predicts the noise of a number of latents.
#[derive(Debug)]
pub(super) struct Prediction<B: Backend> {
    scale: f32,
    /// For every latent the empty prompt, then for every latent the prompt; `None` without guidance.
    prompts: Option<Prompt<B>>,
}

impl<B: Backend> Prediction<B> {
    /// Prepares the predictions of a number of latents at a guidance scale; 1 is no guidance. Nor is there any with an empty prompt.
    pub(super) fn new<N: Network<B>>(scene: &Scene<B, N>, scale: f64, latents: usize) -> Self {
        let empty = scene.unconditional.filter(|_| scale != 1.0);
        let prompts = empty.map(|empty| {
            let prompts = [empty, scene.context];
            let of_latents = prompts.map(|prompt| vec![prompt.clone(); latents]);
            scene
                .network
                .prepare(&Tensor::stacked(&of_latents.concat()))
        });
        Self {
            scale: scale as f32,
            prompts,
        }
    }

    /// Returns the noise prediction of the latents: e0 + s (e - e0) for the scale s, with e0 that of the empty prompt. `step` is the number of the
    /// step for error messages.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`].
    pub(super) fn of<N: Network<B>>(
        &self,
        latents: &Tensor<B>,
        t: i64,
        keys: Option<&KeysAndValues<Tensor<B>>>,
        scene: &Scene<B, N>,
        step: usize,
    ) -> Result<Tensor<B>> {
        let with_keys = |input: Input<B>| match keys {
            Some(keys) => input.with_keys_beside(keys.clone()),
            None => input,
        };
        let noise = match &self.prompts {
            None => {
                let input = Input::at(latents, t as f64, scene.prompt);
                scene.network.predict(with_keys(input))
            }
            Some(prompts) => {
                let twice = Tensor::stacked(&[latents.clone(), latents.clone()]);
                let input = Input::at(&twice, t as f64, prompts);
                let both = scene.network.predict(with_keys(input));
                let count = latents.shape().batch;
                let empty = both.pictures(0..count);
                empty.combined(
                    1.0 - self.scale,
                    self.scale,
                    &both.pictures(count..2 * count),
                )
            }
        };
        require_finite(&noise, Stage::Drag, step, "the noise prediction")?;
        Ok(noise)
    }
}
