//! Nearest-neighbour resize, and copies of channels.

use rayon::prelude::*;

use super::chunks_per_task;

/// Returns the source of pixel `index` when `from` pixels become `to`, rounded down as in PyTorch.
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
        .with_min_len(chunks_per_task(line))
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
        .with_min_len(chunks_per_task(line))
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
        .with_min_len(chunks_per_task(count))
        .for_each(|(x, y)| {
            y[to..to + count].copy_from_slice(&x[from..from + count]);
        });
}
