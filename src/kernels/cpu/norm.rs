//! Group and layer normalisation, forward and backward to the input.
//!
//! Sums run over fixed chunks in a fixed order, in f64 across chunks: the same bits with any number of threads.

use pulp::Simd;
use rayon::prelude::*;

use super::GRAIN;
use super::activation::sigmoid;
use super::vector::{Lanes, each, sums, update, vectorised};
use crate::kernels::GroupShape;

/// Pixels whose sums are taken together.
const CHUNK: usize = 64;

/// Chunks of so many numbers that make a task.
fn at_least(chunk: usize) -> usize {
    (GRAIN / chunk).max(1)
}

/// Count, mean and sum of squared distances from the mean of a part of a group.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Of both parts together (T. Chan, G. Golub and R. `LeVeque`, 1979).
    fn join(self, other: Self) -> Self {
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + distance * other.count / count,
            squares: self.squares
                + other.squares
                + distance * distance * self.count * other.count / count,
        }
    }
}

vectorised! {
    /// Per channel, sums of the distances of some pixels from the first of them, and of their squares.
    fn distances<'a>(simd, x: &'a [f32], first: &'a mut [f32], second: &'a mut [f32]) {
        let channels = first.len();
        let (start, rest) = x.split_at(channels);
        first.fill(0.0);
        second.fill(0.0);
        for x in rest.chunks_exact(channels) {
            update(simd, [x, start], [&mut *first, &mut *second], |[first, second], [x, start]| {
                let distance = x - start;
                [first + distance, second + distance * distance]
            });
        }
    }
}

/// Moments of every group of one picture, in one reading: sums of distances from the chunk's first pixel, which cancel no digits.
fn moments(shape: &GroupShape, x: &[f32]) -> Vec<Moments> {
    let (channels, size) = (shape.channels, shape.channels / shape.groups);
    let chunk = CHUNK * channels;
    let mut parts = vec![Moments::default(); x.len().div_ceil(chunk) * shape.groups];
    let tasks = x
        .par_chunks(chunk)
        .zip(parts.par_chunks_mut(shape.groups))
        .with_min_len(at_least(chunk));
    tasks.for_each_init(
        || vec![0f32; 2 * channels],
        |sums, (x, parts)| {
            let (first, second) = sums.split_at_mut(channels);
            distances(x, first, second);
            let count = (x.len() / channels) as f64;
            for (group, part) in parts.iter_mut().enumerate() {
                // About the first pixel of the group's first channel.
                let origin = f64::from(x[group * size]);
                let (mut sum, mut squares) = (0.0, 0.0);
                for channel in group * size..(group + 1) * size {
                    let start = f64::from(x[channel]) - origin;
                    let (first, second) = (f64::from(first[channel]), f64::from(second[channel]));
                    sum += first + count * start;
                    squares += second + 2.0 * start * first + count * start * start;
                }
                let count = count * size as f64;
                let squares = squares - sum * sum / count;
                // What overflowed must not pass for a large deviation.
                let mean = if squares.is_finite() {
                    origin + sum / count
                } else {
                    f64::NAN
                };
                *part = Moments {
                    count,
                    mean,
                    squares: if squares < 0.0 { 0.0 } else { squares },
                };
            }
        },
    );
    let (all, others) = parts.split_at_mut(shape.groups);
    for parts in others.chunks_exact(shape.groups) {
        all.iter_mut()
            .zip(parts)
            .for_each(|(all, part)| *all = all.join(*part));
    }
    parts.truncate(shape.groups);
    parts
}

vectorised! {
    /// Some pixels of [`group_norm`].
    fn normalised<'a>(simd, x: &'a [f32], scale: &'a [f32], shift: &'a [f32], silu: bool, y: &'a mut [f32]) {
        let channels = scale.len();
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            if silu {
                each(simd, [x, scale, shift], [y], |[x, scale, shift]| {
                    let z = x * scale + shift;
                    [z * sigmoid(z)]
                });
            } else {
                each(simd, [x, scale, shift], [y], |[x, scale, shift]| [x * scale + shift]);
            }
        }
    }
}

pub(super) fn group_norm(
    shape: &GroupShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    silu: bool,
    stats: &mut [f32],
    y: &mut [f32],
) {
    let (picture, size, chunk) = (
        shape.pixels * shape.channels,
        shape.channels / shape.groups,
        CHUNK * shape.channels,
    );
    for ((x, y), stats) in x
        .chunks(picture)
        .zip(y.chunks_mut(picture))
        .zip(stats.chunks_mut(2 * shape.groups))
    {
        for (moments, stats) in moments(shape, x).iter().zip(stats.chunks_exact_mut(2)) {
            stats[0] = moments.mean as f32;
            stats[1] =
                (1.0 / (moments.squares / moments.count + f64::from(shape.eps)).sqrt()) as f32;
        }
        let (scale, shift) = scale_and_shift(size, stats, weight, bias);
        let tasks = x
            .par_chunks(chunk)
            .zip(y.par_chunks_mut(chunk))
            .with_min_len(at_least(chunk));
        tasks.for_each(|(x, y)| normalised(x, &scale, &shift, silu, y));
    }
}

/// Per channel: normalised and weighted x is x * scale + shift.
fn scale_and_shift(
    size: usize,
    stats: &[f32],
    weight: &[f32],
    bias: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let per_channel = |channel: usize| (stats[channel / size * 2], stats[channel / size * 2 + 1]);
    let scale: Vec<f32> = weight
        .iter()
        .enumerate()
        .map(|(channel, weight)| weight * per_channel(channel).1)
        .collect();
    let shift = bias
        .iter()
        .enumerate()
        .map(|(channel, bias)| bias - per_channel(channel).0 * scale[channel])
        .collect();
    (scale, shift)
}

/// Derivative of SiLU at z.
#[expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]
#[inline(always)]
fn silu_slope<S: Simd>(z: Lanes<S>) -> Lanes<S> {
    let s = sigmoid(z);
    s + z * s * (Lanes::splat(z.simd(), 1.0) - s)
}

/// What the way back reads per channel.
#[derive(Debug, Clone, Copy)]
struct PerChannel<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    centre: &'a [f32],
}

vectorised! {
    /// For some pixels, g = dy * slope of SiLU, and per channel the sums of g and of g times x's distance from its centre.
    fn slopes<'a>(simd, x: &'a [f32], dy: &'a [f32], per: PerChannel<'a>, silu: bool, g: &'a mut [f32], sums: &'a mut [f32]) {
        let channels = per.scale.len();
        let (first, second) = sums.split_at_mut(channels);
        for ((x, dy), g) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(g.chunks_exact_mut(channels)) {
            if silu {
                each(simd, [x, dy, per.scale, per.shift], [g], |[x, dy, scale, shift]| [dy * silu_slope(x * scale + shift)]);
            } else {
                g.copy_from_slice(dy);
            }
            update(simd, [g, x, per.centre], [&mut *first, &mut *second], |[first, second], [g, x, centre]| {
                [first + g, second + g * (x - centre)]
            });
        }
    }
}

vectorised! {
    /// For some pixels, dx = g * slope - x * tilt - level + residual, where dx holds g.
    fn tilted<'a>(simd, x: &'a [f32], slope: &'a [f32], tilt: &'a [f32], level: &'a [f32], residual: Option<&'a [f32]>, dx: &'a mut [f32]) {
        let channels = slope.len();
        for (x, dx) in x.chunks_exact(channels).zip(dx.chunks_exact_mut(channels)) {
            update(simd, [x, slope, tilt, level], [dx], |[g], [x, slope, tilt, level]| [g * slope - x * tilt - level]);
        }
        if let Some(residual) = residual {
            update(simd, [residual], [dx], |[dx], [residual]| [dx + residual]);
        }
    }
}

/// With n the normalised x, g = dy * slope of SiLU, and w the weight: dx = inverse * (w g - mean(w g) - n mean(w g n)), means over a group.
pub(super) fn group_norm_backward(
    shape: &GroupShape,
    [x, dy]: [&[f32]; 2],
    [weight, bias]: [&[f32]; 2],
    silu: bool,
    stats: &[f32],
    residual: Option<&[f32]>,
    dx: &mut [f32],
) {
    let (channels, size) = (shape.channels, shape.channels / shape.groups);
    let (picture, chunk) = (shape.pixels * channels, CHUNK * channels);
    let count = (shape.pixels * size) as f64;
    for (index, (dx, stats)) in dx
        .chunks_mut(picture)
        .zip(stats.chunks(2 * shape.groups))
        .enumerate()
    {
        let [x, dy] = [x, dy].map(|numbers| &numbers[index * picture..][..picture]);
        let residual = residual.map(|residual| &residual[index * picture..][..picture]);
        let (scale, shift) = scale_and_shift(size, stats, weight, bias);
        let centre: Vec<f32> = (0..channels)
            .map(|channel| stats[channel / size * 2])
            .collect();
        let per = PerChannel {
            scale: &scale,
            shift: &shift,
            centre: &centre,
        };
        // dx holds g until all sums are known.
        let mut parts = vec![0f32; picture.div_ceil(chunk) * 2 * channels];
        let tasks = x
            .par_chunks(chunk)
            .zip(dy.par_chunks(chunk))
            .zip(dx.par_chunks_mut(chunk))
            .zip(parts.par_chunks_mut(2 * channels));
        tasks
            .with_min_len(at_least(chunk))
            .for_each(|(((x, dy), g), sums)| slopes(x, dy, per, silu, g, sums));
        let mut totals = vec![0f64; 2 * channels];
        for sums in parts.chunks_exact(2 * channels) {
            totals
                .iter_mut()
                .zip(sums)
                .for_each(|(total, sum)| *total += f64::from(*sum));
        }
        let (mut tilt, mut level) = (vec![0f32; channels], vec![0f32; channels]);
        for group in 0..shape.groups {
            let (mean, inverse) = (f64::from(stats[group * 2]), f64::from(stats[group * 2 + 1]));
            let members = group * size..(group + 1) * size;
            let sum = |offset: usize| {
                members
                    .clone()
                    .map(|channel| f64::from(weight[channel]) * totals[offset + channel])
                    .sum::<f64>()
                    / count
            };
            let (plain, with_normal) = (sum(0), sum(channels) * inverse);
            for channel in members {
                tilt[channel] = (inverse * inverse * with_normal) as f32;
                level[channel] = (inverse * (plain - mean * inverse * with_normal)) as f32;
            }
        }
        let tasks = x
            .par_chunks(chunk)
            .zip(dx.par_chunks_mut(chunk))
            .enumerate()
            .with_min_len(at_least(chunk));
        tasks.for_each(|(task, (x, dx))| {
            let residual = residual.map(|residual| &residual[task * chunk..][..dx.len()]);
            tilted(x, &scale, &tilt, &level, residual, dx);
        });
    }
}

/// Mean and inverse deviation of a row.
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
    /// Some rows of [`layer_norm`].
    fn normalised_rows<'a>(simd, eps: f32, x: &'a [f32], weight: &'a [f32], bias: &'a [f32], y: &'a mut [f32]) {
        let channels = weight.len();
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            let (mean, inverse) = row_stats(simd, x, eps);
            each(simd, [x, weight, bias], [y], |[x, weight, bias]| [(x - mean) * inverse * weight + bias]);
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
    let chunk = at_least(channels) * channels;
    let tasks = x.par_chunks(chunk).zip(y.par_chunks_mut(chunk));
    tasks.for_each(|(x, y)| normalised_rows(eps, x, weight, bias, y));
}

vectorised! {
    /// Some rows of [`layer_norm_backward`].
    fn rows_backward<'a>(simd, eps: f32, x: &'a [f32], weight: &'a [f32], dy: &'a [f32], residual: Option<&'a [f32]>, dx: &'a mut [f32]) {
        let (channels, count) = (weight.len(), weight.len() as f32);
        for ((x, dy), dx) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels)) {
            let (mean, inverse) = row_stats(simd, x, eps);
            let terms = |[x, dy, weight]: [Lanes<S>; 3]| [dy * weight, dy * weight * (x - mean) * inverse];
            let [sum, sum_normal] = sums(simd, [x, dy, weight], terms).map(|sum| sum / count);
            each(simd, [x, dy, weight], [dx], |[x, dy, weight]| [(dy * weight - sum - (x - mean) * (inverse * sum_normal)) * inverse]);
        }
        if let Some(residual) = residual {
            update(simd, [residual], [dx], |[dx], [residual]| [dx + residual]);
        }
    }
}

pub(super) fn layer_norm_backward(
    channels: usize,
    eps: f32,
    [x, dy]: [&[f32]; 2],
    weight: &[f32],
    residual: Option<&[f32]>,
    dx: &mut [f32],
) {
    let chunk = at_least(channels) * channels;
    let tasks = x
        .par_chunks(chunk)
        .zip(dy.par_chunks(chunk))
        .zip(dx.par_chunks_mut(chunk))
        .enumerate();
    tasks.for_each(|(task, ((x, dy), dx))| {
        let residual = residual.map(|residual| &residual[task * chunk..][..dx.len()]);
        rows_backward(eps, x, weight, dy, residual, dx);
    });
}
