//! Panels: the right matrix of a product in the order in which the inner loops read it.

use std::sync::OnceLock;

use pulp::{Simd, WithSimd};

use super::super::vector::dispatch;
use super::kernel::VECTORS;
use crate::kernels::Matrix;

/// Returns the width of a panel on this machine: two vectors.
pub(in super::super) fn width() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        fn with_simd<S: Simd>(self, _simd: S) -> usize {
            S::F32_LANES
        }
    }
    static WIDTH: OnceLock<usize> = OnceLock::new();
    *WIDTH.get_or_init(|| VECTORS * dispatch(Lanes))
}

/// Returns the number of values in the panels of a matrix (rows, cols).
pub(in super::super) fn len(rows: usize, cols: usize) -> usize {
    cols.next_multiple_of(width())
        .checked_mul(rows)
        .expect("a matrix fits into memory")
}

/// Copies `b` into panels of [`width`] columns, each row-major; the last one is padded with zeros.
pub(in super::super) fn pack(b: Matrix<[f32]>, panels: &mut [f32]) {
    let width = width();
    for (index, panel) in panels.chunks_exact_mut(b.rows * width).enumerate() {
        let first = index * width;
        let cols = width.min(b.cols - first);
        if b.col_stride == 1 {
            for (row, to) in panel.chunks_exact_mut(width).enumerate() {
                let from = &b.buffer[b.offset + row * b.row_stride + first..][..cols];
                to[..cols].copy_from_slice(from);
                to[cols..].fill(0.0);
            }
        } else {
            if cols < width {
                panel.fill(0.0);
            }
            // Eight rows at a time: the values of a column are read in sequence, and the writes of eight rows share cache lines.
            for row in (0..b.rows).step_by(8) {
                let rows = 8.min(b.rows - row);
                for col in 0..cols {
                    let start = b.offset + row * b.row_stride + (first + col) * b.col_stride;
                    if b.row_stride == 1 {
                        let from = &b.buffer[start..start + rows];
                        for (r, value) in from.iter().enumerate() {
                            panel[(row + r) * width + col] = *value;
                        }
                    } else {
                        for r in 0..rows {
                            panel[(row + r) * width + col] = b.buffer[start + r * b.row_stride];
                        }
                    }
                }
            }
        }
    }
}
