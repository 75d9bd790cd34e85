//! Convolutions of NHWC pictures: pixels are laid out as rows of a column matrix by copying runs of channels,
//! then one matrix product writes the output in place.

use rayon::prelude::*;

use super::gemm::{gemm, parallel_gemm};
use crate::kernels::{ConvShape, Matrix};

/// Numbers in one task's column matrix: small enough for a core's cache.
const TASK_COLUMNS: usize = 1 << 17;

pub(super) fn conv(shape: &ConvShape, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let ConvShape { input: [in_height, in_width, in_channels], output: [out_height, out_width, out_channels], kernel, .. } = *shape;
    let depth = kernel * kernel * in_channels;
    let weight = Matrix::dense(weight, 0, out_channels, depth).transposed();
    let lines = (TASK_COLUMNS / (depth * out_width)).clamp(1, out_height);
    let tasks = shape.batch * out_height.div_ceil(lines);
    if tasks >= 4 {
        let picture = out_height * out_width * out_channels;
        y.par_chunks_mut(picture).zip(x.par_chunks(in_height * in_width * in_channels)).for_each(|(y, x)| {
            y.par_chunks_mut(lines * out_width * out_channels).enumerate().for_each_init(Vec::new, |columns, (index, y)| {
                let rows = y.len() / out_channels;
                lay_out(shape, x, index * lines, rows / out_width, columns);
                set_rows(y, bias);
                gemm(1.0, Matrix::dense(columns, 0, rows, depth), weight, beta_of(bias), y, out_channels);
            });
        });
    } else {
        // A small map with many channels: the weights are the large operand, so all threads share one column matrix.
        let mut columns = Vec::new();
        for (x, y) in x.chunks(in_height * in_width * in_channels).zip(y.chunks_mut(out_height * out_width * out_channels)) {
            lay_out(shape, x, 0, out_height, &mut columns);
            set_rows(y, bias);
            parallel_gemm(1.0, Matrix::dense(&columns, 0, out_height * out_width, depth), weight, beta_of(bias), y, out_channels);
        }
    }
}

/// The product is added to the bias, which already stands in the output.
fn beta_of(bias: Option<&[f32]>) -> f32 {
    if bias.is_some() { 1.0 } else { 0.0 }
}

fn set_rows(y: &mut [f32], bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        y.chunks_exact_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
    }
}

/// Column matrix (lines * out width, kernel * kernel * in channels) of the output lines from `first`.
fn lay_out(shape: &ConvShape, x: &[f32], first: usize, lines: usize, columns: &mut Vec<f32>) {
    let ConvShape { input: [height, width, channels], output: [_, out_width, _], kernel, stride, pad, .. } = *shape;
    let depth = kernel * kernel * channels;
    columns.resize(lines * out_width * depth, 0.0);
    for (index, row) in columns.chunks_exact_mut(depth).enumerate() {
        let (top, left) = ((first + index / out_width) * stride, index % out_width * stride);
        for (tap, run) in row.chunks_exact_mut(kernel * channels).enumerate() {
            let Some(line) = (top + tap).checked_sub(pad).filter(|line| *line < height) else {
                run.fill(0.0);
                continue;
            };
            let line = &x[line * width * channels..(line + 1) * width * channels];
            // Columns left - pad .. left - pad + kernel of this line; those outside the picture are zero.
            let before = pad.saturating_sub(left).min(kernel);
            let start = (left + before).saturating_sub(pad);
            let inside = width.saturating_sub(start).min(kernel - before);
            run[..before * channels].fill(0.0);
            run[before * channels..(before + inside) * channels].copy_from_slice(&line[start * channels..(start + inside) * channels]);
            run[(before + inside) * channels..].fill(0.0);
        }
    }
}

pub(super) fn flip_kernel(shape: &ConvShape, weight: &[f32]) -> Vec<f32> {
    let (taps, inputs, outputs) = (shape.kernel * shape.kernel, shape.input[2], shape.output[2]);
    let mut flipped = vec![0.0; weight.len()];
    flipped.par_chunks_mut(taps * outputs).enumerate().for_each(|(input, kernel)| {
        for (tap, run) in kernel.chunks_exact_mut(outputs).enumerate() {
            for (output, value) in run.iter_mut().enumerate() {
                *value = weight[(output * taps + taps - 1 - tap) * inputs + input];
            }
        }
    });
    flipped
}

pub(super) fn input_gradient(shape: &ConvShape, dy: &[f32], weight: &[f32], dx: &mut [f32]) {
    let ConvShape { input: [height, width, channels], output: [out_height, out_width, out_channels], kernel, stride, pad, .. } = *shape;
    let (depth, pixels) = (kernel * kernel * channels, out_height * out_width);
    let mut columns = vec![0.0; pixels * depth];
    dx.fill(0.0);
    for (dy, dx) in dy.chunks(pixels * out_channels).zip(dx.chunks_mut(height * width * channels)) {
        let weight = Matrix::dense(weight, 0, out_channels, depth);
        parallel_gemm(1.0, Matrix::dense(dy, 0, pixels, out_channels), weight, 0.0, &mut columns, depth);
        for (index, row) in columns.chunks_exact(depth).enumerate() {
            let (top, left) = (index / out_width * stride, index % out_width * stride);
            for (tap, run) in row.chunks_exact(channels).enumerate() {
                let line = (top + tap / kernel).checked_sub(pad).filter(|line| *line < height);
                let column = (left + tap % kernel).checked_sub(pad).filter(|column| *column < width);
                if let (Some(line), Some(column)) = (line, column) {
                    let start = (line * width + column) * channels;
                    dx[start..start + channels].iter_mut().zip(run).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }
}
