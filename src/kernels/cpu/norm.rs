//! Group and layer normalisation, forward and backward to the input.
//!
//! Sums run over fixed chunks in a fixed order, in f64 across chunks: the same bits with any number of threads.

use rayon::prelude::*;

use super::activation::sigmoid;
use super::vector::vectorised;
use crate::kernels::GroupShape;

/// Pixels whose sums are taken together.
const CHUNK: usize = 64;

/// Sums two numbers per element over each group of one picture: `add` turns (channel, x, g) into the two terms.
fn group_sums(shape: &GroupShape, x: &[f32], g: &[f32], add: impl Fn(usize, f32, f32) -> (f32, f32) + Sync) -> Vec<(f64, f64)> {
    let size = shape.channels / shape.groups;
    let chunk = CHUNK * shape.channels;
    let partial: Vec<Vec<(f64, f64)>> = x
        .par_chunks(chunk)
        .zip(g.par_chunks(chunk))
        .map(|(x, g)| {
            let mut sums = [vec![0f32; shape.channels], vec![0f32; shape.channels]];
            vectorised(|| {
                let [first, second] = &mut sums;
                for (x, g) in x.chunks_exact(shape.channels).zip(g.chunks_exact(shape.channels)) {
                    for (channel, (((first, second), x), g)) in first.iter_mut().zip(second.iter_mut()).zip(x).zip(g).enumerate() {
                        let terms = add(channel, *x, *g);
                        *first += terms.0;
                        *second += terms.1;
                    }
                }
            });
            let [first, second] =
                sums.map(|sums| sums.chunks_exact(size).map(|group| group.iter().copied().map(f64::from).sum()).collect::<Vec<f64>>());
            first.into_iter().zip(second).collect()
        })
        .collect();
    let mut sums = vec![(0.0, 0.0); shape.groups];
    for chunk in partial {
        sums.iter_mut().zip(chunk).for_each(|(sum, part)| *sum = (sum.0 + part.0, sum.1 + part.1));
    }
    sums
}

pub(super) fn group_norm(shape: &GroupShape, x: &[f32], weight: &[f32], bias: &[f32], silu: bool, stats: &mut [f32], y: &mut [f32]) {
    let (picture, size) = (shape.pixels * shape.channels, shape.channels / shape.groups);
    let count = (shape.pixels * size) as f64;
    for ((x, y), stats) in x.chunks(picture).zip(y.chunks_mut(picture)).zip(stats.chunks_mut(2 * shape.groups)) {
        let means: Vec<f32> = group_sums(shape, x, x, |_, x, _| (x, 0.0)).iter().map(|sum| (sum.0 / count) as f32).collect();
        let squares = group_sums(shape, x, x, |channel, x, _| {
            let centred = x - means[channel / size];
            (centred * centred, 0.0)
        });
        for (group, stats) in stats.chunks_exact_mut(2).enumerate() {
            stats[0] = means[group];
            stats[1] = (1.0 / (squares[group].0 / count + f64::from(shape.eps)).sqrt()) as f32;
        }
        let (scale, shift) = scale_and_shift(size, stats, weight, bias);
        x.par_chunks(CHUNK * shape.channels).zip(y.par_chunks_mut(CHUNK * shape.channels)).for_each(|(x, y)| {
            vectorised(|| {
                for (x, y) in x.chunks_exact(shape.channels).zip(y.chunks_exact_mut(shape.channels)) {
                    for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(&scale).zip(&shift) {
                        let z = x * scale + shift;
                        *y = if silu { z * sigmoid(z) } else { z };
                    }
                }
            });
        });
    }
}

/// Per channel: normalised and weighted x is x * scale + shift.
fn scale_and_shift(size: usize, stats: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let per_channel = |channel: usize| (stats[channel / size * 2], stats[channel / size * 2 + 1]);
    let scale: Vec<f32> = weight.iter().enumerate().map(|(channel, weight)| weight * per_channel(channel).1).collect();
    let shift = bias.iter().enumerate().map(|(channel, bias)| bias - per_channel(channel).0 * scale[channel]).collect();
    (scale, shift)
}

pub(super) fn group_norm_backward(
    shape: &GroupShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    silu: bool,
    stats: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    let (picture, size) = (shape.pixels * shape.channels, shape.channels / shape.groups);
    let count = (shape.pixels * size) as f64;
    let pictures = x.chunks(picture).zip(dy.chunks(picture)).zip(dx.chunks_mut(picture)).zip(stats.chunks(2 * shape.groups));
    for (((x, dy), dx), stats) in pictures {
        let (scale, shift) = scale_and_shift(size, stats, weight, bias);
        // Gradient to the normalised x: through SiLU at z, then through the weight.
        let through = |channel: usize, x: f32, dy: f32| {
            if silu {
                let z = x * scale[channel] + shift[channel];
                let s = sigmoid(z);
                dy * s * (1.0 + z * (1.0 - s)) * weight[channel]
            } else {
                dy * weight[channel]
            }
        };
        let normal = |channel: usize, x: f32| (x - stats[channel / size * 2]) * stats[channel / size * 2 + 1];
        let sums = group_sums(shape, x, dy, |channel, x, dy| {
            let t = through(channel, x, dy);
            (t, t * normal(channel, x))
        });
        let means: Vec<[f32; 2]> = sums.iter().map(|sum| [(sum.0 / count) as f32, (sum.1 / count) as f32]).collect();
        let chunk = CHUNK * shape.channels;
        x.par_chunks(chunk).zip(dy.par_chunks(chunk)).zip(dx.par_chunks_mut(chunk)).for_each(|((x, dy), dx)| {
            let rows = x.chunks_exact(size).zip(dy.chunks_exact(size)).zip(dx.chunks_exact_mut(size));
            for (index, ((x, dy), dx)) in rows.enumerate() {
                let group = index % shape.groups;
                let (inverse, [mean, mean_normal]) = (stats[group * 2 + 1], means[group]);
                for (offset, ((dx, x), dy)) in dx.iter_mut().zip(x).zip(dy).enumerate() {
                    let channel = group * size + offset;
                    *dx = inverse * (through(channel, *x, *dy) - mean - normal(channel, *x) * mean_normal);
                }
            }
        });
    }
}

/// Mean and inverse deviation of a row.
fn row_stats(x: &[f32], eps: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = x.iter().sum::<f32>() / count;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

pub(super) fn layer_norm(channels: usize, eps: f32, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let chunk = CHUNK * channels;
    x.par_chunks(chunk).zip(y.par_chunks_mut(chunk)).for_each(|(x, y)| {
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            let (mean, inverse) = row_stats(x, eps);
            for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = (x - mean) * inverse * weight + bias;
            }
        }
    });
}

pub(super) fn layer_norm_backward(channels: usize, eps: f32, x: &[f32], weight: &[f32], dy: &[f32], dx: &mut [f32]) {
    let chunk = CHUNK * channels;
    x.par_chunks(chunk).zip(dy.par_chunks(chunk)).zip(dx.par_chunks_mut(chunk)).for_each(|((x, dy), dx)| {
        let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels));
        for ((x, dy), dx) in rows {
            let (mean, inverse) = row_stats(x, eps);
            let (mut sum, mut sum_normal) = (0.0, 0.0);
            for ((x, dy), weight) in x.iter().zip(dy).zip(weight) {
                let t = dy * weight;
                sum += t;
                sum_normal += t * (x - mean) * inverse;
            }
            let (sum, sum_normal) = (sum / channels as f32, sum_normal / channels as f32);
            for (((dx, x), dy), weight) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
                *dx = inverse * (dy * weight - sum - (x - mean) * inverse * sum_normal);
            }
        }
    });
}
