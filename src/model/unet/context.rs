//! The prompt as the network takes it: tokens, or keys and values computed from them once.

use std::sync::Arc;

use crate::kernels::Backend;
use crate::nn::{Shape, Tensor};

/// The prompt of a forward pass. With a batch of one, all latents read it. Cloning shares the tensors.
#[derive(Debug, Clone)]
pub enum Context<B: Backend> {
    /// Tokens (b or 1, 1, tokens, channels), whose keys and values the pass computes.
    Tokens(Tensor<B>),
    /// Keys and values computed before.
    Prepared(Prompt<B>),
}

impl<B: Backend> From<&Tensor<B>> for Context<B> {
    fn from(tokens: &Tensor<B>) -> Self {
        Self::Tokens(tokens.clone())
    }
}

impl<B: Backend> From<&Prompt<B>> for Context<B> {
    fn from(prompt: &Prompt<B>) -> Self {
        Self::Prepared(prompt.clone())
    }
}

impl<B: Backend> Context<B> {
    /// The number of prompts.
    pub(super) fn batch(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.shape().batch,
            Self::Prepared(prompt) => prompt.shape().batch,
        }
    }
}

/// Keys and values of a prompt for every attention to it, computed once by [`super::UNet::prepare`] and good as long as the weights stay.
/// Cloning shares them.
#[derive(Debug, Clone)]
pub struct Prompt<B: Backend> {
    layers: Arc<Vec<[Tensor<B>; 2]>>,
}

impl<B: Backend> Prompt<B> {
    /// Creates a prompt from the keys and values of all layers, in execution order.
    pub(super) fn new(layers: Vec<[Tensor<B>; 2]>) -> Self {
        Self {
            layers: Arc::new(layers),
        }
    }

    /// Joins prompts, each for a number of latents, to one; `join` joins the tensors of a layer.
    pub(super) fn joined(
        parts: &[(Self, usize)],
        join: impl Fn(&[(&Tensor<B>, usize)]) -> Tensor<B>,
    ) -> Self {
        let layers = parts.first().map_or(0, |(part, _)| part.layers.len());
        let layer = |layer: usize| {
            [0, 1].map(|which| {
                let parts: Vec<_> = parts
                    .iter()
                    .map(|(part, latents)| (&part.layers[layer][which], *latents))
                    .collect();
                join(&parts)
            })
        };
        Self::new((0..layers).map(layer).collect())
    }

    /// Returns the shape of the first layer's keys.
    pub(super) fn shape(&self) -> Shape {
        self.layers[0][0].shape()
    }

    /// Whether both share their tensors.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layers, &other.layers)
    }

    /// Returns the keys and values of one layer.
    pub(super) fn of_layer(&self, layer: usize) -> &[Tensor<B>; 2] {
        &self.layers[layer]
    }
}
