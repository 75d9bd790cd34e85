//! The input of a forward pass.
//!
//! What steers the network belongs to the input: mutual self-attention between its latents, keys and values that an earlier pass kept, or outputs of
//! the middle block to go on with.

use std::sync::Arc;

use super::Context;
use super::time::PassTime;
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
    /// For each latent, what replaces its output of the middle block; empty when none has any.
    pub(super) bottlenecks: Vec<Option<Tensor<B>>>,
    /// What the pass reads of its timesteps, where it is a part of a longer one that prepared this ([`super::Network::iteration`]).
    pub(super) time: Option<Arc<PassTime<B>>>,
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
            bottlenecks: Vec::new(),
            time: None,
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

    /// Returns the latents.
    pub fn latents(&self) -> &Tensor<B> {
        &self.latents
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

    /// Returns the shape of all bottlenecks together (batch, height, width, channels).
    ///
    /// # Panics
    /// When a latent has none.
    pub(super) fn bottleneck_shape(&self) -> Shape {
        let batch = self.latents.shape().batch;
        let given = self.bottlenecks.iter().flatten();
        assert_eq!(
            given.clone().count(),
            batch,
            "a bottleneck for every latent"
        );
        let first = given.clone().next().map(Tensor::shape);
        let of_one = first.expect("a pass has a latent");
        Shape { batch, ..of_one }
    }

    /// With these outputs of the middle block (1, height, width, channels) in place of those of the latents which have one: the U-Net's bottleneck, in
    /// which `DragNoise` (arXiv 2404.01050) drags.
    ///
    /// # Panics
    /// When their number is not that of the latents.
    #[must_use]
    pub fn with_bottlenecks(self, bottlenecks: Vec<Option<Tensor<B>>>) -> Self {
        let batch = self.latents.shape().batch;
        assert_eq!(
            bottlenecks.len(),
            batch,
            "a bottleneck or none for every latent"
        );
        Self {
            bottlenecks,
            ..self
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
        self.assert_fits(&keys);
        Self {
            keys: KeySource::Stored(keys),
            ..self
        }
    }

    /// As [`Input::with_keys`], beside the latents' own instead of in their place.
    ///
    /// # Panics
    /// As [`Input::with_keys`].
    #[must_use]
    pub fn with_keys_beside(self, keys: KeysAndValues<Tensor<B>>) -> Self {
        self.assert_fits(&keys);
        Self {
            keys: KeySource::Joined(keys),
            ..self
        }
    }

    fn assert_fits(&self, keys: &KeysAndValues<Tensor<B>>) {
        let batch = self.latents.shape().batch;
        let mut tensors = keys.layers().iter().flatten();
        assert!(
            tensors.all(|tensor| [1, batch].contains(&tensor.shape().batch)),
            "keys and values of one latent, or of every latent"
        );
    }
}
