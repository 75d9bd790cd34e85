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
    backward: Box<dyn FnOnce(Gradients<B>) -> G + 'a>,
}

impl<'a, B: Backend, W: Want, G> Recorded<'a, B, W, G> {
    pub(super) fn new(
        want: W,
        outputs: W::Of<Tensor<B>>,
        backward: impl FnOnce(Gradients<B>) -> G + 'a,
    ) -> Self {
        Self {
            want,
            outputs,
            backward: Box::new(backward),
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
        let (noise, features) = W::into_parts(gradients);
        let features = self.want.stages().iter().copied().zip(features).collect();
        (self.backward)(Gradients {
            magnitude,
            noise,
            features,
        })
    }
}
