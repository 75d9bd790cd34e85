//! The prompt as the network reads it.

use std::sync::Arc;

use crate::kernels::Backend;
use crate::nn::{Shape, Tensor};

/// The prompt of a trip through the network. With one picture of tokens, all latents of the batch read it.
#[derive(Debug)]
pub enum Context<'a, B: Backend> {
    /// Tokens (b or 1, 1, tokens, channels), whose keys and values the trip computes.
    Tokens(&'a Tensor<B>),
    /// Keys and values that are known.
    Prepared(&'a Prompt<B>),
}

#[expect(
    clippy::expl_impl_clone_on_copy,
    reason = "the derived one would ask for a backend that can be copied"
)]
impl<B: Backend> Clone for Context<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Context<'_, B> {}

impl<'a, B: Backend> From<&'a Tensor<B>> for Context<'a, B> {
    fn from(tokens: &'a Tensor<B>) -> Self {
        Self::Tokens(tokens)
    }
}

impl<'a, B: Backend> From<&'a Prompt<B>> for Context<'a, B> {
    fn from(prompt: &'a Prompt<B>) -> Self {
        Self::Prepared(prompt)
    }
}

/// Keys and values of a prompt for every attention to it, computed once by [`super::UNet::prepare`] and good as long as the weights stay.
/// Cloning shares them.
#[derive(Debug)]
pub struct Prompt<B: Backend> {
    layers: Arc<Vec<[Tensor<B>; 2]>>,
}

impl<B: Backend> Clone for Prompt<B> {
    fn clone(&self) -> Self {
        Self {
            layers: Arc::clone(&self.layers),
        }
    }
}

impl<B: Backend> Prompt<B> {
    /// From the layers' keys and values in execution order.
    pub(super) fn new(layers: Vec<[Tensor<B>; 2]>) -> Self {
        Self {
            layers: Arc::new(layers),
        }
    }

    /// One prompt of several, each with a number of pictures, whose tensors `join` joins.
    pub(super) fn joined(
        parts: &[(Self, usize)],
        join: impl Fn(&[(&Tensor<B>, usize)]) -> Tensor<B>,
    ) -> Self {
        let layers = parts.first().map_or(0, |(part, _)| part.layers.len());
        let layer = |layer: usize| {
            [0, 1].map(|which| {
                let parts: Vec<_> = parts
                    .iter()
                    .map(|(part, pictures)| (&part.layers[layer][which], *pictures))
                    .collect();
                join(&parts)
            })
        };
        Self::new((0..layers).map(layer).collect())
    }

    /// The shape of the first keys.
    pub(super) fn shape(&self) -> Shape {
        self.layers[0][0].shape()
    }

    /// Are these the same keys and values in the same place?
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layers, &other.layers)
    }

    /// Keys and values of one layer.
    pub(super) fn of_layer(&self, layer: usize) -> &[Tensor<B>; 2] {
        &self.layers[layer]
    }
}
