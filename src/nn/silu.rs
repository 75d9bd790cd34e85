//! SiLU, x * sigmoid(x) (Elfwing et al., arXiv 1702.03118), where no normalisation precedes it that includes it.

use super::{BackwardPass, Pass, Tensor};
use crate::kernels::Backend;

/// x to y of the same shape.
pub fn silu<B: Backend>(x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
    pass.save(x);
    x.build(x.shape(), |y| x.backend().silu(x.buffer(), y))
}

/// dy to dx of [`silu`].
pub fn silu_backward<B: Backend>(dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
    let x = pass.take();
    x.build(x.shape(), |dx| {
        x.backend().silu_backward(x.buffer(), dy.buffer(), dx);
    })
}
