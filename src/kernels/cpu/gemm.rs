//! Matrix products in f32: the `gemm` crate behind bounds checks, split over threads in tiles whose sizes depend
//! on the shape alone, so that the result does not depend on the number of threads.

#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::kernels::Matrix;

/// Rows and columns of one thread's tile.
const TILE: [usize; 2] = [128, 256];

/// The pointer of an output that tiles write to, each its own rectangle.
struct Output(*mut f32);

// SAFETY: the pointer is only used by `tile`, whose callers hand out rectangles that do not overlap.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

/// c = alpha * a b + beta * c on the calling thread; c has `c_stride` numbers from row to row.
pub(super) fn gemm(alpha: f32, a: Matrix<[f32]>, b: Matrix<[f32]>, beta: f32, c: &mut [f32], c_stride: usize) {
    check(&a, &b, c, c_stride);
    // SAFETY: `check` proved that all three matrices lie inside their slices, and `c` is borrowed mutably.
    unsafe { tile(alpha, a, b, beta, c.as_mut_ptr(), c_stride) }
}

/// The same on all threads.
pub(super) fn parallel_gemm(alpha: f32, a: Matrix<[f32]>, b: Matrix<[f32]>, beta: f32, c: &mut [f32], c_stride: usize) {
    check(&a, &b, c, c_stride);
    let [tile_rows, tile_cols] = TILE;
    let down = a.rows.div_ceil(tile_rows);
    // Few rows and a large `b`: split the columns, so that every thread reads its own part of `b`.
    let across = if down < 8 { b.cols.div_ceil(tile_cols) } else { 1 };
    if down * across <= 1 {
        // SAFETY: as in `gemm`.
        return unsafe { tile(alpha, a, b, beta, c.as_mut_ptr(), c_stride) };
    }
    let width = b.cols.div_ceil(across);
    let output = Output(c.as_mut_ptr());
    (0..down * across).into_par_iter().for_each(|index| {
        let output = &output;
        let (row, col) = (index / across * tile_rows, index % across * width);
        let (rows, cols) = (tile_rows.min(a.rows - row), width.min(b.cols.saturating_sub(col)));
        if cols == 0 {
            return;
        }
        let a = Matrix { offset: a.offset + row * a.row_stride, rows, ..a };
        let b = Matrix { offset: b.offset + col * b.col_stride, cols, ..b };
        // SAFETY: the rectangle (row.., col..) lies inside the checked c, and no two indices share one.
        unsafe { tile(alpha, a, b, beta, output.0.add(row * c_stride + col), c_stride) }
    });
}

fn check(a: &Matrix<[f32]>, b: &Matrix<[f32]>, c: &[f32], c_stride: usize) {
    let last = |m: &Matrix<[f32]>| m.offset + m.rows.saturating_sub(1) * m.row_stride + m.cols.saturating_sub(1) * m.col_stride;
    assert_eq!(a.cols, b.rows, "inner sizes of a matrix product");
    assert!(a.rows * a.cols == 0 || last(a) < a.buffer.len(), "the left matrix lies inside its buffer");
    assert!(b.rows * b.cols == 0 || last(b) < b.buffer.len(), "the right matrix lies inside its buffer");
    assert!(c_stride >= b.cols && (a.rows * b.cols == 0 || (a.rows - 1) * c_stride + b.cols <= c.len()), "the product fits its buffer");
}

/// # Safety
/// `a` and `b` lie inside their slices; c is valid for `a.rows` rows of `b.cols` numbers, `c_stride` apart, and nobody else uses them.
unsafe fn tile(alpha: f32, a: Matrix<[f32]>, b: Matrix<[f32]>, beta: f32, c: *mut f32, c_stride: usize) {
    // The crate's argument named alpha multiplies the old destination, the one named beta the product.
    // SAFETY: forwarded from the caller.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            c,
            1,
            c_stride as isize,
            beta != 0.0,
            a.buffer.as_ptr().add(a.offset),
            a.col_stride as isize,
            a.row_stride as isize,
            b.buffer.as_ptr().add(b.offset),
            b.col_stride as isize,
            b.row_stride as isize,
            beta,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition_for_any_strides() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (130, 33, 300), (2000, 9, 4), (5, 0, 3)] {
            let a: Vec<f32> = (0..m * k + 2).map(|i| (i % 13) as f32 - 6.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i % 7) as f32 - 3.0).collect();
            let start: Vec<f32> = (0..m * (n + 3)).map(|i| (i % 5) as f32).collect();
            let left = Matrix { buffer: &a[..], offset: 2.min(a.len()), rows: m, cols: k, row_stride: k, col_stride: 1 };
            let right = Matrix { buffer: &b[..], offset: 0, rows: k, cols: n, row_stride: 1, col_stride: k };
            for beta in [0.0, 0.5] {
                let mut c = start.clone();
                parallel_gemm(2.0, left, right, beta, &mut c, n + 3);
                for i in 0..m {
                    for j in 0..n + 3 {
                        let old = start[i * (n + 3) + j];
                        let product: f32 = (0..k).map(|l| a[2 + i * k + l] * if j < n { b[j * k + l] } else { 0.0 }).sum();
                        let expected = if j < n { 2.0 * product + beta * old } else { old };
                        let got = c[i * (n + 3) + j];
                        assert!((got - expected).abs() < 1e-3, "{m} x {k} x {n} at ({i}, {j}): {got} is not {expected}");
                    }
                }
            }
        }
    }
}
