//! The inner loops of a matrix product: tiles of 6 rows by two vectors, whose sums stay in registers.
//!
//! Within a part of the inner dimension, every element of a product is a chain of fused multiply-adds in the order of the inner index,
//! whatever the width of the vectors.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use std::ptr::read_unaligned;

use pulp::Simd;

use super::super::vector::{UnsafeWithSimd, load, store};

/// Rows of a full tile.
pub(super) const ROWS: usize = 6;
/// Vectors per row of a full tile, and per row of a panel.
pub(in super::super) const VECTORS: usize = 2;

/// The terms that are added to the sums of a tile before they are stored. Null pointers stand for absent terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epilogue {
    /// Whether to add the old values of the product.
    pub(super) accumulate: bool,
    /// Bias (cols).
    pub(super) bias: *const f32,
    /// A matrix of the shape of the product, and the distance between its rows.
    pub(super) residual: *const f32,
    pub(super) residual_stride: usize,
}

/// A block of rows times some panels, over a part of the inner dimension, on one thread.
///
/// Requirements: all pointers are valid for the sizes, and nothing else uses the rectangle of the product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Element (0, 0) of the left matrix; the values of a row are neighbours.
    pub(super) a: *const f32,
    pub(super) a_stride: usize,
    pub(super) rows: usize,
    /// Length of the part of the inner dimension.
    pub(super) depth: usize,
    /// Row 0 of the first panel.
    pub(super) b: *const f32,
    /// Distance between panels.
    pub(super) panel_stride: usize,
    pub(super) cols: usize,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    pub(super) epilogue: Epilogue,
}

impl UnsafeWithSimd for Block {
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S) {
        let width = VECTORS * S::F32_LANES;
        let mut col = 0;
        while col < self.cols {
            let cols = (self.cols - col).min(width);
            // SAFETY: column `col` is the first of a panel; the rest is required of the block.
            unsafe {
                let b = self.b.add(col / width * self.panel_stride);
                if cols > S::F32_LANES {
                    self.panel::<S, VECTORS>(simd, b, col, cols);
                } else {
                    self.panel::<S, 1>(simd, b, col, cols);
                }
            }
            col += cols;
        }
    }
}

impl Block {
    /// Multiplies all rows by one panel.
    ///
    /// # Safety
    /// `b` is the panel of columns `col..col + cols`; the block's pointers are valid.
    #[inline(always)]
    unsafe fn panel<S: Simd, const V: usize>(
        &self,
        simd: S,
        b: *const f32,
        col: usize,
        cols: usize,
    ) {
        let mut row = 0;
        // SAFETY: each call gets as many rows as exist from `row` on.
        unsafe {
            while row + ROWS <= self.rows {
                self.tile::<S, ROWS, V>(simd, b, row, col, cols);
                row += ROWS;
            }
            match self.rows - row {
                5 => self.tile::<S, 5, V>(simd, b, row, col, cols),
                4 => self.tile::<S, 4, V>(simd, b, row, col, cols),
                3 => self.tile::<S, 3, V>(simd, b, row, col, cols),
                2 => self.tile::<S, 2, V>(simd, b, row, col, cols),
                1 => self.tile::<S, 1, V>(simd, b, row, col, cols),
                _ => {}
            }
        }
    }

    /// Multiplies rows `row..row + R` by one panel.
    ///
    /// # Safety
    /// As for [`Block::panel`], and rows `row..row + R` exist.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        b: *const f32,
        row: usize,
        col: usize,
        cols: usize,
    ) {
        let lanes = S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        // SAFETY: the rows and the panel have `depth` values per column.
        unsafe {
            let mut a = [self.a; R];
            for (r, a) in a.iter_mut().enumerate() {
                *a = self.a.add((row + r) * self.a_stride);
            }
            for k in 0..self.depth {
                let mut right = [simd.splat_f32s(0.0); V];
                for (v, right) in right.iter_mut().enumerate() {
                    *right = read_unaligned(b.add((k * VECTORS + v) * lanes).cast());
                }
                for r in 0..R {
                    let left = simd.splat_f32s(*a[r].add(k));
                    for v in 0..V {
                        sums[r][v] = simd.mul_add_f32s(left, right[v], sums[r][v]);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let first = v * lanes;
                    self.store(simd, *sum, row + r, col + first, lanes.min(cols - first));
                }
            }
        }
    }

    /// Adds the epilogue to the first `count` lanes of `sum`, and stores them at (row, col).
    ///
    /// # Safety
    /// The block's pointers are valid for that row and those columns.
    #[inline(always)]
    unsafe fn store<S: Simd>(
        &self,
        simd: S,
        mut sum: S::f32s,
        row: usize,
        col: usize,
        count: usize,
    ) {
        let Epilogue {
            accumulate,
            bias,
            residual,
            residual_stride,
        } = self.epilogue;
        // SAFETY: the caller guarantees it.
        unsafe {
            if !bias.is_null() {
                sum = simd.add_f32s(sum, load(simd, bias.add(col), count));
            }
            if !residual.is_null() {
                sum = simd.add_f32s(
                    sum,
                    load(simd, residual.add(row * residual_stride + col), count),
                );
            }
            let c = self.c.add(row * self.c_stride + col);
            if accumulate {
                sum = simd.add_f32s(sum, load(simd, c, count));
            }
            store(simd, c, count, sum);
        }
    }
}
