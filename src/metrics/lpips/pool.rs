//! AlexNet's max pooling: windows of 3 x 3 with stride 2, without padding.

use rayon::prelude::*;

use crate::nn::Shape;

const WINDOW: usize = 3;
const STRIDE: usize = 2;

/// Returns the shape and the values of x (batch, height, width, channels) after pooling.
pub(super) fn max_pool(shape: Shape, x: &[f32]) -> (Shape, Vec<f32>) {
    let side = |side: usize| (side - WINDOW) / STRIDE + 1;
    let channels = shape.channels;
    let pooled = Shape::new(shape.batch, side(shape.height), side(shape.width), channels);
    let mut y = vec![f32::NEG_INFINITY; pooled.len()];
    y.par_chunks_exact_mut(pooled.width * channels)
        .enumerate()
        .for_each(|(line, y)| {
            let (picture, row) = (line / pooled.height, line % pooled.height);
            for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                for from_row in row * STRIDE..row * STRIDE + WINDOW {
                    let start = ((picture * shape.height + from_row) * shape.width
                        + column * STRIDE)
                        * channels;
                    for pixel in x[start..start + WINDOW * channels].chunks_exact(channels) {
                        for (y, x) in y.iter_mut().zip(pixel) {
                            // A NaN must reach the result, where it is reported.
                            *y = if *x > *y || x.is_nan() { *x } else { *y };
                        }
                    }
                }
            }
        });
    (pooled, y)
}
