//! Nearest-neighbour resize to a given size. With the size of the skip connection instead of a factor of two, the sides of latents
//! need not be divisible by the network's stride.

use super::{BackwardPass, Pass, Shape, Tensor};
use crate::kernels::Backend;

/// x (b, h, w, c) to (b, height, width, c).
pub fn upsample<B: Backend>(
    x: &Tensor<B>,
    [height, width]: [usize; 2],
    pass: &mut Pass<B>,
) -> Tensor<B> {
    let from = x.shape();
    pass.save_shape(from);
    x.build(
        Shape {
            height,
            width,
            ..from
        },
        |y| {
            x.backend().upsample(
                from.channels,
                [from.height, from.width],
                [height, width],
                x.buffer(),
                y,
            );
        },
    )
}

/// dy to dx of [`upsample`].
pub fn upsample_backward<B: Backend>(dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
    let (from, to) = (pass.take_shape(), dy.shape());
    dy.build(from, |dx| {
        dy.backend().upsample_backward(
            from.channels,
            [from.height, from.width],
            [to.height, to.width],
            dy.buffer(),
            dx,
        );
    })
}
