//! Linear layers with LoRA adapters, and other matrix products.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::GRAIN;
use super::buffer::Buffer;
use super::elementwise::combine;
use super::gemm::{Add, Left, Panels, multiply};
use crate::kernels::Matrix;

/// Rows of a transposed left matrix that are copied at once, because their values are neighbours in memory.
const COPIED_ROWS: usize = 16;

/// Largest weight whose transpose is cached for the backward pass. Larger ones are transposed in every backward pass: caching those of
/// Stable Diffusion 1.5 would take half a gigabyte.
const LARGEST_CACHED: usize = 1 << 22;

/// The weights of a linear layer.
#[derive(Debug)]
pub struct LinearWeight {
    /// W^T (in, out).
    forward: Panels,
    /// W (out, in); computed in the first backward pass.
    backward: OnceLock<Panels>,
}

impl LinearWeight {
    /// Lays out weights (out, in), row-major.
    pub(super) fn new(outputs: usize, inputs: usize, weight: &[f32]) -> Self {
        assert_eq!(
            weight.len(),
            outputs * inputs,
            "the weights have the layer's shape"
        );
        Self {
            forward: Panels::new(Matrix::dense(weight, 0, outputs, inputs).transposed()),
            backward: OnceLock::new(),
        }
    }

    /// Returns W + up down.
    pub(super) fn merged(&self, up: Matrix<[f32]>, down: Matrix<[f32]>) -> Self {
        let mut delta = Buffer::uninit(up.rows * down.cols);
        product(up, down, false, &mut delta, down.cols);
        let mut forward =
            Panels::new(Matrix::dense(&delta[..], 0, up.rows, down.cols).transposed());
        forward.add(&self.forward);
        Self {
            forward,
            backward: OnceLock::new(),
        }
    }

    /// Calls `work` with the panels of W.
    fn with_backward<R>(&self, work: impl FnOnce(&Panels) -> R) -> R {
        if self.forward.rows * self.forward.cols > LARGEST_CACHED {
            return work(&self.forward.transposed());
        }
        // Computed outside the lock: a thread that waits for tasks while it holds the lock may pick up a task that needs the same lock.
        work(self.backward.get().unwrap_or_else(|| {
            let transposed = self.forward.transposed();
            self.backward.get_or_init(|| transposed)
        }))
    }
}

pub(super) fn linear(
    rows: Range<usize>,
    x: &[f32],
    weight: &LinearWeight,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    let (inputs, outputs) = (weight.forward.rows, weight.forward.cols);
    let (read, written) = (
        rows.start * inputs..rows.end * inputs,
        rows.start * outputs..rows.end * outputs,
    );
    let left = Left {
        data: &x[read],
        rows: rows.len(),
        stride: inputs,
    };
    let add = Add {
        accumulate: false,
        bias,
        residual: residual.map(|residual| (&residual[written.clone()], outputs)),
    };
    multiply(left, weight.forward.view(), add, &mut y[written], outputs);
}

pub(super) fn linear_backward(
    rows: Range<usize>,
    dy: &[f32],
    weight: &LinearWeight,
    add: bool,
    dx: &mut [f32],
) {
    let (inputs, outputs) = (weight.forward.rows, weight.forward.cols);
    let (read, written) = (
        rows.start * outputs..rows.end * outputs,
        rows.start * inputs..rows.end * inputs,
    );
    let left = Left {
        data: &dy[read],
        rows: rows.len(),
        stride: outputs,
    };
    let add = Add {
        accumulate: add,
        ..Add::default()
    };
    weight.with_backward(|panels| multiply(left, panels.view(), add, &mut dx[written], inputs));
}

/// c = factor * a b, or c += factor * a b if `add`, with a dense c.
pub(super) fn matmul(factor: f32, a: Matrix<[f32]>, b: Matrix<[f32]>, add: bool, c: &mut [f32]) {
    if factor == 1.0 {
        return product(a, b, add, c, b.cols);
    }
    let mut unscaled = Buffer::uninit(c.len());
    product(a, b, false, &mut unscaled, b.cols);
    if add {
        combine(1.0, c, factor, &unscaled);
    } else {
        c.iter_mut()
            .zip(&unscaled[..])
            .for_each(|(c, unscaled)| *c = factor * unscaled);
    }
}

/// c = a b, or c += a b if `add`, for matrices of any strides.
fn product(a: Matrix<[f32]>, b: Matrix<[f32]>, add: bool, c: &mut [f32], c_stride: usize) {
    assert_eq!(a.cols, b.rows, "inner dimensions of a product");
    let panels = Panels::new(b);
    let add = Add {
        accumulate: add,
        ..Add::default()
    };
    if a.col_stride == 1 {
        let left = Left {
            data: &a.buffer[a.offset..],
            rows: a.rows,
            stride: a.row_stride,
        };
        return multiply(left, panels.view(), add, c, c_stride);
    }
    let mut rows = Buffer::uninit(a.rows * a.cols);
    rows.par_chunks_mut(COPIED_ROWS * a.cols.max(1))
        .enumerate()
        .with_min_len((GRAIN / (COPIED_ROWS * a.cols.max(1))).max(1))
        .for_each(|(index, rows)| {
            let first = a.offset + index * COPIED_ROWS * a.row_stride;
            for col in 0..a.cols {
                let from = first + col * a.col_stride;
                for (row, to) in rows[col..].iter_mut().step_by(a.cols).enumerate() {
                    *to = a.buffer[from + row * a.row_stride];
                }
            }
        });
    multiply(
        Left {
            data: &rows,
            rows: a.rows,
            stride: a.cols,
        },
        panels.view(),
        add,
        c,
        c_stride,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_matrices_with_any_strides() {
        for (m, k, n) in [
            (1, 1, 1),
            (3, 5, 7),
            (130, 33, 300),
            (2000, 9, 4),
            (7, 1500, 40),
            (5, 0, 3),
        ] {
            let a: Vec<f32> = (0..m * k + 2).map(|i| (i % 13) as f32 - 6.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i % 7) as f32 - 3.0).collect();
            let start: Vec<f32> = (0..m * (n + 3)).map(|i| (i % 5) as f32).collect();
            for (row_stride, col_stride, right_row, right_col) in [(k, 1, 1, k), (1, m, n, 1)] {
                let left = Matrix {
                    buffer: &a[..],
                    offset: 2.min(a.len()),
                    rows: m,
                    cols: k,
                    row_stride,
                    col_stride,
                };
                let right = Matrix {
                    buffer: &b[..],
                    offset: 0,
                    rows: k,
                    cols: n,
                    row_stride: right_row,
                    col_stride: right_col,
                };
                for add in [false, true] {
                    let mut c = start.clone();
                    product(left, right, add, &mut c, n + 3);
                    for i in 0..m {
                        for j in 0..n + 3 {
                            let old = start[i * (n + 3) + j];
                            let term = |l: usize| {
                                a[2 + i * row_stride + l * col_stride]
                                    * b[l * right_row + j * right_col]
                            };
                            let sum: f32 = if j < n { (0..k).map(term).sum() } else { 0.0 };
                            let expected = if j >= n {
                                old
                            } else {
                                sum + if add { old } else { 0.0 }
                            };
                            let got = c[i * (n + 3) + j];
                            assert!(
                                (got - expected).abs() < 1e-3,
                                "{m} x {k} x {n} at ({i}, {j}): {got} is not {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}
