//! A forward pass that was recorded for its backward pass.

use super::backward_pass::Gradients;
use super::{Recordable, Want};
use crate::kernels::Backend;
use crate::nn::Tensor;

/// A recorded forward pass of a network: its outputs, and its backward pass, which returns a `G`.
///
/// It owns the activations that the backward pass needs; dropping it frees them.
pub struct Recorded<'a, B: Backend, W: Want, G = Tensor<B>> {
    want: W,
    outputs: W::Of<Tensor<B>>,
    backward: Box<dyn Backward<B, G> + 'a>,
}

/// The backward pass of a recorded forward pass.
pub(super) trait Backward<B: Backend, G> {
    /// Runs it, and frees activations as it goes.
    fn run(self: Box<Self>, gradients: Gradients<B>) -> G;
    /// Runs it, and keeps the activations for another one.
    fn run_keeping(&mut self, gradients: Gradients<B>) -> G;
}

impl<'a, B: Backend, W: Want, G> Recorded<'a, B, W, G> {
    pub(super) fn new(
        want: W,
        outputs: W::Of<Tensor<B>>,
        backward: impl Backward<B, G> + 'a,
    ) -> Self {
        Self {
            want,
            outputs,
            backward: Box::new(backward),
        }
    }

    /// Replaces the backward pass.
    #[cfg(test)]
    pub(super) fn map_backward(
        self,
        replace: impl FnOnce(Box<dyn Backward<B, G> + 'a>) -> Box<dyn Backward<B, G> + 'a>,
    ) -> Self {
        Self {
            backward: replace(self.backward),
            ..self
        }
    }

    /// What the forward pass returned.
    pub fn outputs(&self) -> &W::Of<Tensor<B>> {
        &self.outputs
    }
}

impl<B: Backend, W: Recordable, G> Recorded<'_, B, W, G> {
    /// Runs the backward pass from the gradients of a loss with respect to the outputs.
    ///
    /// `magnitude` is about the size of the larger gradients: a device with a short number format scales them by it to the
    /// middle of its range.
    pub fn backward(self, gradients: W::Of<Tensor<B>>, magnitude: f32) -> G {
        let gradients = self.of_outputs(gradients, magnitude);
        self.backward.run(gradients)
    }

    /// As [`Recorded::backward`], and keeps the activations for the backward pass of another loss of the same outputs.
    pub fn backward_keeping(&mut self, gradients: W::Of<Tensor<B>>, magnitude: f32) -> G {
        let gradients = self.of_outputs(gradients, magnitude);
        self.backward.run_keeping(gradients)
    }

    fn of_outputs(&self, gradients: W::Of<Tensor<B>>, magnitude: f32) -> Gradients<B> {
        let (noise, features) = W::into_parts(gradients);
        Gradients {
            magnitude,
            noise,
            features: self.want.stages().iter().copied().zip(features).collect(),
        }
    }
}
