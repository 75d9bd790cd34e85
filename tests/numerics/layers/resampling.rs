//! Nearest-neighbour resize, and concatenated channels.

use super::super::reference::{self, wide};
use super::{assert_close, assert_gradient, run, tensor};
use crate::bench::numbers::Numbers;
use dragnext::kernels::Backend;
use dragnext::nn::{Shape, upsample, upsample_backward};

fn upsampling<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(10);
    for (from, to) in [
        ([3, 4], [6, 8]),
        ([3, 3], [5, 6]),
        ([4, 2], [7, 3]),
        ([1, 1], [1, 2]),
    ] {
        let x = numbers.normal(2 * from[0] * from[1] * 3);
        let function = |x: &[f64]| reference::upsample(3, from, to, x);
        let input = tensor(backend, Shape::new(2, from[0], from[1], 3), &x);
        let run = run(
            &input,
            &[],
            |x, pass| upsample(x, to, pass),
            upsample_backward,
        );
        assert_close(
            &format!("{from:?} to {to:?}"),
            &run.y,
            &function(&wide(&x)),
            0.0,
        );
        assert_gradient(
            &format!("{from:?} to {to:?}"),
            &x,
            &run.w,
            &run.dx,
            function,
        );
    }
}

fn channels_are_split<B: Backend>(backend: &B) {
    let joined = Numbers::new(12).normal(2 * 300 * 8);
    let (first, second) = tensor(backend, Shape::new(2, 15, 20, 8), &joined).split(3);
    let (first, second) = (first.to_host(), second.to_host());
    for (row, (a, b)) in joined
        .chunks_exact(8)
        .zip(first.chunks_exact(3).zip(second.chunks_exact(5)))
    {
        assert_eq!((&row[..3], &row[3..]), (a, b));
    }
}

on_backends!(upsampling, channels_are_split);
