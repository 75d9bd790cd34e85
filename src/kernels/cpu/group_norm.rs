//! Group normalisation with an optional SiLU, forward and backward.
//!
//! Sums run over chunks of a fixed size, and are added across chunks in a fixed order in f64, so results do not depend on the number of
//! threads.

use rayon::prelude::*;

use super::activation::{sigmoid, silu_derivative};
use super::chunks_per_task;
use super::vector::{map, update, vectorised};
use crate::kernels::GroupShape;

/// Pixels of a chunk.
const CHUNK: usize = 64;

/// Count, mean, and sum of squared differences from the mean, of a part of a group.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Returns the moments of both parts together (Chan, Golub and `LeVeque`, "Updating formulae and a pairwise algorithm for computing
    /// sample variances", 1979).
    fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        let difference = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + difference * other.count / count,
            squares: self.squares
                + other.squares
                + difference * difference * self.count * other.count / count,
        }
    }
}

vectorised! {
    /// Sums, per channel, the differences of the pixels of a chunk from its first pixel, and their squares.
    fn differences<'a>(simd, x: &'a [f32], first: &'a mut [f32], second: &'a mut [f32]) {
        let channels = first.len();
        let (start, rest) = x.split_at(channels);
        first.fill(0.0);
        second.fill(0.0);
        for x in rest.chunks_exact(channels) {
            update(simd, [x, start], [&mut *first, &mut *second], |[first, second], [x, start]| {
                let difference = x - start;
                [first + difference, second + difference * difference]
            });
        }
    }
}

/// Returns the moments of every group of one picture. One pass over x suffices: differences from a pixel of the same chunk are small, so
/// their squares lose no digits to cancellation.
fn moments(shape: &GroupShape, x: &[f32]) -> Vec<Moments> {
    let (channels, size) = (shape.channels, shape.channels / shape.groups);
    let chunk = CHUNK * channels;
    let mut parts = vec![Moments::default(); x.len().div_ceil(chunk) * shape.groups];
    let tasks = x
        .par_chunks(chunk)
        .zip(parts.par_chunks_mut(shape.groups))
        .with_min_len(chunks_per_task(chunk));
    tasks.for_each_init(
        || vec![0f32; 2 * channels],
        |sums, (x, parts)| {
            let (first, second) = sums.split_at_mut(channels);
            differences(x, first, second);
            let count = (x.len() / channels) as f64;
            for (group, part) in parts.iter_mut().enumerate() {
                // All relative to the first pixel of the group's first channel.
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
                // An overflow must not pass for a large variance.
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
            .for_each(|(all, part)| *all = all.merge(*part));
    }
    parts.truncate(shape.groups);
    parts
}

vectorised! {
    /// [`group_norm`] of some pixels.
    fn normalise<'a>(simd, x: &'a [f32], scale: &'a [f32], shift: &'a [f32], silu: bool, y: &'a mut [f32]) {
        let channels = scale.len();
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            if silu {
                map(simd, [x, scale, shift], [y], |[x, scale, shift]| {
                    let z = x * scale + shift;
                    [z * sigmoid(z)]
                });
            } else {
                map(simd, [x, scale, shift], [y], |[x, scale, shift]| [x * scale + shift]);
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
            .with_min_len(chunks_per_task(chunk));
        tasks.for_each(|(x, y)| normalise(x, &scale, &shift, silu, y));
    }
}

/// Returns, per channel, scale and shift of the normalisation: z = x * scale + shift.
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

/// What the backward pass reads per channel.
#[derive(Debug, Clone, Copy)]
struct PerChannel<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    mean: &'a [f32],
}

vectorised! {
    /// For some pixels: g = dy * silu'(z), and per channel the sums of g and of g * (x - mean).
    fn silu_backward_sums<'a>(simd, x: &'a [f32], dy: &'a [f32], per: PerChannel<'a>, silu: bool, g: &'a mut [f32], sums: &'a mut [f32]) {
        let channels = per.scale.len();
        let (first, second) = sums.split_at_mut(channels);
        for ((x, dy), g) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(g.chunks_exact_mut(channels)) {
            if silu {
                map(simd, [x, dy, per.scale, per.shift], [g], |[x, dy, scale, shift]| [dy * silu_derivative(x * scale + shift)]);
            } else {
                g.copy_from_slice(dy);
            }
            update(simd, [g, x, per.mean], [&mut *first, &mut *second], |[first, second], [g, x, mean]| {
                [first + g, second + g * (x - mean)]
            });
        }
    }
}

vectorised! {
    /// For some pixels: dx = g * scale - x * factor - offset + residual, where dx holds g.
    fn input_gradient<'a>(simd, x: &'a [f32], scale: &'a [f32], factor: &'a [f32], offset: &'a [f32], residual: Option<&'a [f32]>, dx: &'a mut [f32]) {
        let channels = scale.len();
        for (x, dx) in x.chunks_exact(channels).zip(dx.chunks_exact_mut(channels)) {
            update(simd, [x, scale, factor, offset], [dx], |[g], [x, scale, factor, offset]| [g * scale - x * factor - offset]);
        }
        if let Some(residual) = residual {
            update(simd, [residual], [dx], |[dx], [residual]| [dx + residual]);
        }
    }
}

/// With n = (x - mean) * inverse the normalised x, g = dy * silu'(z), w the weight and means over a group:
/// dx = inverse * (w g - mean(w g) - n mean(w g n)) + residual.
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
        let mean: Vec<f32> = (0..channels)
            .map(|channel| stats[channel / size * 2])
            .collect();
        let per = PerChannel {
            scale: &scale,
            shift: &shift,
            mean: &mean,
        };
        // dx holds g until the sums over the whole group are known.
        let mut parts = vec![0f32; picture.div_ceil(chunk) * 2 * channels];
        let tasks = x
            .par_chunks(chunk)
            .zip(dy.par_chunks(chunk))
            .zip(dx.par_chunks_mut(chunk))
            .zip(parts.par_chunks_mut(2 * channels));
        tasks
            .with_min_len(chunks_per_task(chunk))
            .for_each(|(((x, dy), g), sums)| silu_backward_sums(x, dy, per, silu, g, sums));
        let mut totals = vec![0f64; 2 * channels];
        for sums in parts.chunks_exact(2 * channels) {
            totals
                .iter_mut()
                .zip(sums)
                .for_each(|(total, sum)| *total += f64::from(*sum));
        }
        let (mut factor, mut offset) = (vec![0f32; channels], vec![0f32; channels]);
        for group in 0..shape.groups {
            let (mean, inverse) = (f64::from(stats[group * 2]), f64::from(stats[group * 2 + 1]));
            let members = group * size..(group + 1) * size;
            let mean_of = |first: usize| {
                members
                    .clone()
                    .map(|channel| f64::from(weight[channel]) * totals[first + channel])
                    .sum::<f64>()
                    / count
            };
            let (plain, with_normal) = (mean_of(0), mean_of(channels) * inverse);
            for channel in members {
                factor[channel] = (inverse * inverse * with_normal) as f32;
                offset[channel] = (inverse * (plain - mean * inverse * with_normal)) as f32;
            }
        }
        let tasks = x
            .par_chunks(chunk)
            .zip(dx.par_chunks_mut(chunk))
            .enumerate()
            .with_min_len(chunks_per_task(chunk));
        tasks.for_each(|(task, (x, dx))| {
            let residual = residual.map(|residual| &residual[task * chunk..][..dx.len()]);
            input_gradient(x, &scale, &factor, &offset, residual, dx);
        });
    }
}
