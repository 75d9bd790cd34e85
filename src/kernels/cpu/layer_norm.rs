//! Layer normalisation, forward and backward.

use pulp::Simd;
use rayon::prelude::*;

use super::chunks_per_task;
use super::vector::{Vector, map, sums, update, vectorised};

/// Returns the mean of a row, and 1 / sqrt(variance + eps).
#[expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]
#[inline(always)]
fn row_stats<S: Simd>(simd: S, x: &[f32], eps: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sums(simd, [x], |[x]| [x])[0] / count;
    let variance = sums(simd, [x], |[x]| [(x - mean) * (x - mean)])[0] / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

vectorised! {
    /// [`layer_norm`] of some rows.
    fn normalise<'a>(simd, eps: f32, x: &'a [f32], weight: &'a [f32], bias: &'a [f32], y: &'a mut [f32]) {
        let channels = weight.len();
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            let (mean, inverse) = row_stats(simd, x, eps);
            map(simd, [x, weight, bias], [y], |[x, weight, bias]| [(x - mean) * inverse * weight + bias]);
        }
    }
}

pub(super) fn layer_norm(
    channels: usize,
    eps: f32,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) {
    let chunk = chunks_per_task(channels) * channels;
    let tasks = x.par_chunks(chunk).zip(y.par_chunks_mut(chunk));
    tasks.for_each(|(x, y)| normalise(eps, x, weight, bias, y));
}

vectorised! {
    /// [`layer_norm_backward`] of some rows.
    fn input_gradient<'a>(simd, eps: f32, x: &'a [f32], weight: &'a [f32], dy: &'a [f32], residual: Option<&'a [f32]>, dx: &'a mut [f32]) {
        let (channels, count) = (weight.len(), weight.len() as f32);
        for ((x, dy), dx) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels)) {
            let (mean, inverse) = row_stats(simd, x, eps);
            let terms = |[x, dy, weight]: [Vector<S>; 3]| [dy * weight, dy * weight * (x - mean) * inverse];
            let [plain, with_normal] = sums(simd, [x, dy, weight], terms).map(|sum| sum / count);
            map(simd, [x, dy, weight], [dx], |[x, dy, weight]| [(dy * weight - plain - (x - mean) * (inverse * with_normal)) * inverse]);
        }
        if let Some(residual) = residual {
            update(simd, [residual], [dx], |[dx], [residual]| [dx + residual]);
        }
    }
}

/// With n = (x - mean) * inverse the normalised x and means over a row:
/// dx = inverse * (w dy - mean(w dy) - n mean(w dy n)) + residual.
pub(super) fn layer_norm_backward(
    channels: usize,
    eps: f32,
    [x, dy]: [&[f32]; 2],
    weight: &[f32],
    residual: Option<&[f32]>,
    dx: &mut [f32],
) {
    let chunk = chunks_per_task(channels) * channels;
    let tasks = x
        .par_chunks(chunk)
        .zip(dy.par_chunks(chunk))
        .zip(dx.par_chunks_mut(chunk))
        .enumerate();
    tasks.for_each(|(task, ((x, dy), dx))| {
        let residual = residual.map(|residual| &residual[task * chunk..][..dx.len()]);
        input_gradient(eps, x, weight, dy, residual, dx);
    });
}
