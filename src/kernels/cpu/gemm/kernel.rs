//! The inner loops of a matrix product: tiles of 6 rows by two vectors, whose sums stay in registers.
//!
//! Every element of a product is a chain of fused multiply-adds in the order of the inner index, one for each of its parts, whatever the
//! width of the machine's vectors.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use std::ptr::read_unaligned;

use pulp::Simd;

use super::super::vector::{Promised, load, store};

/// Rows of a full tile.
pub(super) const ROWS: usize = 6;
/// Vectors in a row of a full tile, and in a row of a panel.
pub(in super::super) const VECTORS: usize = 2;

/// What a tile's sums join before they are stored. Null pointers mean nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joins {
    /// The product's old numbers.
    pub(super) old: bool,
    /// One number per column.
    pub(super) bias: *const f32,
    /// A matrix of the product's size, and the distance of its rows.
    pub(super) residual: *const f32,
    pub(super) residual_stride: usize,
}

/// Some rows times some panels over a part of the inner index, on one thread.
///
/// Its maker promises that all pointers are valid for its sizes, and that nobody else uses the product's rectangle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Element (0, 0) of the left matrix; its columns are neighbours.
    pub(super) a: *const f32,
    pub(super) a_stride: usize,
    pub(super) rows: usize,
    /// Inner index.
    pub(super) depth: usize,
    /// Row 0 of the first panel.
    pub(super) b: *const f32,
    /// Numbers from panel to panel.
    pub(super) panel_stride: usize,
    pub(super) cols: usize,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    pub(super) joins: Joins,
}

impl Promised for Block {
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S) {
        let width = VECTORS * S::F32_LANES;
        let mut col = 0;
        while col < self.cols {
            let cols = (self.cols - col).min(width);
            // SAFETY: column `col` begins a panel, and the maker of the block promises the rest.
            unsafe {
                let b = self.b.add(col / width * self.panel_stride);
                if cols > S::F32_LANES {
                    self.panel::<S, VECTORS>(simd, b, col, cols)
                } else {
                    self.panel::<S, 1>(simd, b, col, cols)
                }
            }
            col += cols;
        }
    }
}

impl Block {
    /// All rows times one panel.
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
        // SAFETY: rows `row..` of as many as each call takes exist.
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

    /// # Safety
    /// As [`Block::panel`], and rows `row..row + R` exist.
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
        // SAFETY: the rows and the panel are as long as the block is deep.
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

    /// Joins and stores a vector of sums at (row, col), of which `count` numbers are wanted.
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
        let Joins {
            old,
            bias,
            residual,
            residual_stride,
        } = self.joins;
        // SAFETY: the caller's promise.
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
            if old {
                sum = simd.add_f32s(sum, load(simd, c, count));
            }
            store(simd, c, count, sum);
        }
    }
}
