//! The feed-forward layer of a transformer, with a gated GELU (GEGLU, arXiv 2002.05202).

use super::{BackwardPass, Linear, Pass, Tensor};
use crate::kernels::Backend;

/// Linear, GEGLU, linear.
#[derive(Debug)]
pub struct FeedForward<B: Backend> {
    widen: Linear<B>,
    narrow: Linear<B>,
}

impl<B: Backend> FeedForward<B> {
    /// Creates the layer: `widen` returns value and gate side by side, `narrow` takes their product.
    pub fn new(widen: Linear<B>, narrow: Linear<B>) -> Self {
        Self { widen, narrow }
    }

    /// x to y + residual, all of the same shape.
    pub fn forward(
        &self,
        x: &Tensor<B>,
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let wide = self.widen.forward(x, pass);
        pass.save(&wide);
        let channels = self.narrow.inputs();
        let gated = x.build(x.shape().with_channels(channels), |y| {
            x.backend().geglu(channels, wide.buffer(), y);
        });
        self.narrow.forward_plus(&gated, residual, pass)
    }

    /// dy to dx, without the residual.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let d_gated = self.narrow.backward(dy, pass);
        let wide = pass.take();
        let d_wide = dy.build(wide.shape(), |dx| {
            dy.backend()
                .geglu_backward(self.narrow.inputs(), wide.buffer(), d_gated.buffer(), dx);
        });
        self.widen.backward(&d_wide, pass)
    }
}
