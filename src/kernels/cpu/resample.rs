//! Nearest neighbour resize, columns of channels, and bilinear samples of a feature map.

use rayon::prelude::*;

use super::GRAIN;
use super::buffer::Buffer;
use crate::kernels::BilinearPoint;

/// The source of cell `index` when `from` cells become `to` (PyTorch's rule: round down).
fn source(index: usize, from: usize, to: usize) -> usize {
    (index * from / to).min(from - 1)
}

pub(super) fn upsample(
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
    x: &[f32],
    y: &mut [f32],
) {
    let line = to[1] * channels;
    y.par_chunks_mut(line)
        .enumerate()
        .with_min_len((GRAIN / line).max(1))
        .for_each(|(index, y)| {
            let line = index / to[0] * from[0] + source(index % to[0], from[0], to[0]);
            let x = &x[line * from[1] * channels..][..from[1] * channels];
            for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                y.copy_from_slice(&x[source(column, from[1], to[1]) * channels..][..channels]);
            }
        });
}

pub(super) fn upsample_backward(
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
    dy: &[f32],
    dx: &mut [f32],
) {
    let line = from[1] * channels;
    dx.par_chunks_mut(line)
        .enumerate()
        .with_min_len((GRAIN / line).max(1))
        .for_each(|(index, dx)| {
            dx.fill(0.0);
            for line in (0..to[0]).filter(|line| source(*line, from[0], to[0]) == index % from[0]) {
                let dy =
                    &dy[(index / from[0] * to[0] + line) * to[1] * channels..][..to[1] * channels];
                for (column, dy) in dy.chunks_exact(channels).enumerate() {
                    let dx = &mut dx[source(column, from[1], to[1]) * channels..][..channels];
                    dx.iter_mut().zip(dy).for_each(|(sum, value)| *sum += value);
                }
            }
        });
}

pub(super) fn copy_columns(
    count: usize,
    x: &[f32],
    x_channels: usize,
    from: usize,
    y: &mut [f32],
    y_channels: usize,
    to: usize,
) {
    x.par_chunks(x_channels)
        .zip(y.par_chunks_mut(y_channels))
        .with_min_len((GRAIN / count.max(1)).max(1))
        .for_each(|(x, y)| {
            y[to..to + count].copy_from_slice(&x[from..from + count]);
        });
}

fn value_at(channels: usize, map: &[f32], point: &BilinearPoint, values: &mut [f32]) {
    values.fill(0.0);
    for (pixel, weight) in point.pixels.iter().zip(point.weights) {
        let row = &map[*pixel as usize * channels..][..channels];
        values
            .iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += weight * value);
    }
}

pub(super) fn sample(channels: usize, map: &[f32], points: &[BilinearPoint]) -> Buffer {
    let mut values = Buffer::uninit(points.len() * channels);
    values
        .par_chunks_mut(channels)
        .zip(points)
        .for_each(|(values, point)| value_at(channels, map, point, values));
    values
}

pub(super) fn sampled_l1(
    channels: usize,
    map: &[f32],
    points: &[BilinearPoint],
    target: &[f32],
    scale: f32,
    gradient: &mut [f32],
) -> f64 {
    let mut values = vec![0.0; channels];
    let mut sum = 0.0;
    for (point, target) in points.iter().zip(target.chunks_exact(channels)) {
        value_at(channels, map, point, &mut values);
        sum += values
            .iter()
            .zip(target)
            .map(|(value, target)| f64::from((value - target).abs()))
            .sum::<f64>();
        for (value, target) in values.iter_mut().zip(target) {
            *value = scale * sign(*value - target);
        }
        for (pixel, weight) in point.pixels.iter().zip(point.weights) {
            let row = &mut gradient[*pixel as usize * channels..][..channels];
            row.iter_mut()
                .zip(&values)
                .for_each(|(sum, value)| *sum += weight * value);
        }
    }
    sum * f64::from(scale)
}

/// The derivative of |x|: 0 at 0.
fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x * 0.0
    }
}

pub(super) fn weighted_l1(
    x: &[f32],
    reference: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
) -> f64 {
    let channels = x.len() / weight.len();
    let mut sum = 0.0;
    for (index, weight) in weight.iter().enumerate() {
        for at in index * channels..(index + 1) * channels {
            let difference = x[at] - reference[at];
            sum += f64::from(weight * difference.abs());
            gradient[at] = weight * sign(difference);
        }
    }
    sum
}
