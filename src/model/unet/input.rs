//! The input of a forward pass.
//!
//! What steers the attention belongs to the input: mutual self-attention between its latents, or keys and values that an earlier pass kept.

use super::Context;
use crate::kernels::Backend;
use crate::nn::{KeySource, KeysAndValues, Mutual, Shape, Tensor};

/// The input of a forward pass: latents, their timesteps, the prompt, and what steers the attention.
#[derive(Debug, Clone)]
pub struct Input<B: Backend> {
    /// (batch, height, width, 4).
    pub(super) latents: Tensor<B>,
    /// One per latent.
    pub(super) timesteps: Vec<f64>,
    pub(super) context: Context<B>,
    pub(super) keys: KeySource<B>,
}

impl<B: Backend> Input<B> {
    /// Latents (batch, height, width, 4) with a timestep each, and one prompt for all or one for each.
    ///
    /// # Panics
    /// When the number of timesteps or prompts does not fit.
    pub fn new(latents: &Tensor<B>, timesteps: &[f64], context: impl Into<Context<B>>) -> Self {
        let batch = latents.shape().batch;
        assert_eq!(timesteps.len(), batch, "a timestep for every latent");
        let context = context.into();
        assert!(
            [1, batch].contains(&context.batch()),
            "one prompt, or one for every latent"
        );
        Self {
            latents: latents.clone(),
            timesteps: timesteps.to_vec(),
            context,
            keys: KeySource::Own,
        }
    }

    /// Latents (batch, height, width, 4) at one timestep, and one prompt for all or one for each.
    ///
    /// # Panics
    /// When the number of prompts does not fit.
    pub fn at(latents: &Tensor<B>, timestep: f64, context: impl Into<Context<B>>) -> Self {
        let timesteps = vec![timestep; latents.shape().batch];
        Self::new(latents, &timesteps, context)
    }

    /// Returns the shape of the prompt's tokens (b or 1, 1, tokens, channels).
    ///
    /// # Panics
    /// When the prompt is prepared.
    pub(super) fn text_shape(&self) -> Shape {
        match &self.context {
            Context::Tokens(tokens) => tokens.shape(),
            Context::Prepared(_) => panic!("the gradient of the prompt needs its tokens"),
        }
    }

    /// With mutual self-attention between the latents.
    #[must_use]
    pub fn with_mutual(self, mutual: Mutual) -> Self {
        Self {
            keys: KeySource::Mutual(mutual),
            ..self
        }
    }

    /// With the keys and values of an earlier pass of the same size in place of the latents' own, in the self-attentions that it kept
    /// ([`super::NoiseAndKeys`]). Those of one latent serve all latents.
    ///
    /// # Panics
    /// When they are those of several latents, but not of as many as here.
    #[must_use]
    pub fn with_keys(self, keys: KeysAndValues<Tensor<B>>) -> Self {
        let batch = self.latents.shape().batch;
        assert!(
            keys.layers()
                .iter()
                .flatten()
                .all(|tensor| [1, batch].contains(&tensor.shape().batch)),
            "keys and values of one latent, or of every latent"
        );
        Self {
            keys: KeySource::Stored(keys),
            ..self
        }
    }
}
