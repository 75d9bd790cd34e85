//! Matrix products in f32.
//!
//! The right matrix is copied into panels, in the order in which the inner loops read it; weights are copied once, when they are loaded.
//! The product is split into rectangles, one per task, whose sizes depend on the shape alone, so that the result does not depend on the
//! number of threads.

#![allow(unsafe_code)]

mod kernel;
mod panels;

use std::ptr::null;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::shared::SharedSlice;
use super::vector::dispatch_unsafe;
use crate::kernels::Matrix;
pub(super) use kernel::VECTORS;
use kernel::{Block, Epilogue};
use panels::pack;
pub(super) use panels::{len as panels_len, width as panel_width};

/// Largest part of the inner dimension that is processed at once: a panel of it stays in the L1 cache.
const DEPTH: usize = 640;
/// Rows of a task's rectangle: 20 tiles, which stay in the L2 cache.
const ROWS: usize = 120;
/// Minimum number of tasks of a large product.
const TASKS: usize = 16;
/// Multiplications of one task. Smaller tasks cost more to start than they save.
pub(super) const GRAIN: usize = 1 << 17;

/// A right matrix (rows, cols), stored in panels.
#[derive(Debug)]
pub(super) struct Panels {
    pub(super) rows: usize,
    pub(super) cols: usize,
    data: Buffer,
}

impl Panels {
    /// Copies `b` into panels.
    pub(super) fn new(b: Matrix<[f32]>) -> Self {
        let (width, stride) = (panel_width(), b.rows * panel_width());
        let mut data = Buffer::uninit(panels_len(b.rows, b.cols));
        if stride > 0 {
            data.par_chunks_mut(stride)
                .enumerate()
                .with_min_len((GRAIN / stride).max(1))
                .for_each(|(index, panel)| {
                    let first = index * width;
                    pack(
                        Matrix {
                            offset: b.offset + first * b.col_stride,
                            cols: width.min(b.cols - first),
                            ..b
                        },
                        panel,
                    );
                });
        }
        Self {
            rows: b.rows,
            cols: b.cols,
            data,
        }
    }

    /// Adds a matrix of the same shape.
    pub(super) fn add(&mut self, other: &Self) {
        assert_eq!(
            (self.rows, self.cols),
            (other.rows, other.cols),
            "the matrices have one shape"
        );
        self.data
            .par_chunks_mut(GRAIN)
            .zip(other.data.par_chunks(GRAIN))
            .for_each(|(sums, values)| {
                sums.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value);
            });
    }

    /// Returns the panels of the transpose.
    pub(super) fn transposed(&self) -> Self {
        let (width, rows, cols) = (panel_width(), self.cols, self.rows);
        let mut data = Buffer::uninit(panels_len(rows, cols));
        data.par_chunks_mut((rows * width).max(1))
            .enumerate()
            .with_min_len((GRAIN / (rows * width).max(1)).max(1))
            .for_each(|(index, to)| {
                let first = index * width;
                for (block, to) in to.chunks_mut(width * width).enumerate() {
                    // Square (index, block) of this matrix becomes square (block, index) of the transpose.
                    let from = &self.data[block * self.rows * width + first * width..]
                        [..width.min(cols - first) * width];
                    for (row, to) in to.chunks_exact_mut(width).enumerate() {
                        let (inside, padding) = to.split_at_mut(from.len() / width);
                        inside
                            .iter_mut()
                            .zip(from[row..].iter().step_by(width))
                            .for_each(|(to, from)| *to = *from);
                        padding.fill(0.0);
                    }
                }
            });
        Self { rows, cols, data }
    }

    /// Returns a view of the matrix, for [`multiply`].
    pub(super) fn view(&self) -> Right<'_> {
        Right {
            rows: self.rows,
            cols: self.cols,
            data: &self.data,
        }
    }
}

/// A view of a right matrix in panels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) data: &'a [f32],
}

/// A left matrix: the values of a row are neighbours, and rows are `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) stride: usize,
}

/// The terms that are added to a product.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Add<'a> {
    /// Whether to add the old values of the output.
    pub(super) accumulate: bool,
    /// Bias (cols).
    pub(super) bias: Option<&'a [f32]>,
    /// A matrix of the shape of the product, and the distance between its rows.
    pub(super) residual: Option<(&'a [f32], usize)>,
}

/// A product with its operands, checked, of which tasks compute rectangles.
#[derive(Debug, Clone, Copy)]
struct Product<'a> {
    a: Left<'a>,
    b: Right<'a>,
    add: Add<'a>,
    c: SharedSlice<'a>,
    c_stride: usize,
}

/// c = a b + the terms of `add`, on the calling thread; rows of c are `c_stride` apart.
pub(super) fn multiply_here(a: Left, b: Right, add: Add, c: &mut [f32], c_stride: usize) {
    let product = Product::new(a, b, add, c, c_stride);
    // SAFETY: the rectangle is the whole product, and `c` is borrowed mutably.
    unsafe { product.rectangle([0, a.rows], [0, b.cols]) }
}

/// As [`multiply_here`], on all threads.
pub(super) fn multiply(a: Left, b: Right, add: Add, c: &mut [f32], c_stride: usize) {
    let product = Product::new(a, b, add, c, c_stride);
    let [rows, cols] = split(a.rows, b.rows, b.cols);
    let [down, across] = [a.rows.div_ceil(rows), b.cols.div_ceil(cols)];
    if down * across <= 1 {
        // SAFETY: as in `multiply_here`.
        return unsafe { product.rectangle([0, a.rows], [0, b.cols]) };
    }
    (0..down * across).into_par_iter().for_each(|index| {
        // Neighbouring tasks share a part of `b`, which stays in the L3 cache.
        let (row, col) = (index % down * rows, index / down * cols);
        // SAFETY: the rectangles of different tasks do not overlap, and lie inside the product.
        unsafe { product.rectangle([row, a.rows.min(row + rows)], [col, b.cols.min(col + cols)]) }
    });
}

/// Returns rows and columns (whole panels) of a task's rectangle.
fn split(rows: usize, depth: usize, cols: usize) -> [usize; 2] {
    let work = rows * depth * cols;
    if work < 2 * GRAIN {
        return [rows.max(1), cols.max(1)];
    }
    let tasks = TASKS.min(work / GRAIN);
    let down = rows.div_ceil(ROWS);
    // Tall products are split by rows alone, in whole tiles; flat ones by columns too, so that every thread reads its own part of `b`.
    let across = tasks.div_ceil(down).min(cols.div_ceil(panel_width()));
    [
        rows.div_ceil(down).next_multiple_of(6),
        cols.div_ceil(across).next_multiple_of(panel_width()),
    ]
}

impl<'a> Product<'a> {
    fn new(a: Left<'a>, b: Right<'a>, add: Add<'a>, c: &'a mut [f32], c_stride: usize) -> Self {
        let fits = |len: usize, stride: usize, cols: usize| {
            let last = || (a.rows - 1).checked_mul(stride)?.checked_add(cols);
            a.rows == 0 || cols == 0 || (stride >= cols && last().is_some_and(|last| last <= len))
        };
        // If the inner dimension is 0, the left matrix is never read, and its stride may be anything.
        let a = Left {
            stride: if b.rows == 0 { 0 } else { a.stride },
            ..a
        };
        assert!(
            fits(a.data.len(), a.stride, b.rows),
            "the left matrix lies inside its buffer"
        );
        assert!(
            fits(c.len(), c_stride, b.cols),
            "the product lies inside its buffer"
        );
        assert!(
            b.data.len() >= panels_len(b.rows, b.cols),
            "the panels are complete"
        );
        assert!(
            add.bias.is_none_or(|bias| bias.len() >= b.cols),
            "the bias has a value per column"
        );
        assert!(
            add.residual
                .is_none_or(|(residual, stride)| fits(residual.len(), stride, b.cols)),
            "the residual has the product's shape"
        );
        Self {
            a,
            b,
            add,
            c: SharedSlice::new(c),
            c_stride,
        }
    }

    /// Computes rows `top..bottom` and columns `left..right`, where `left` is the first column of a panel.
    ///
    /// # Safety
    /// The rectangle lies inside the product, and nothing else uses it.
    unsafe fn rectangle(&self, [top, bottom]: [usize; 2], [left, right]: [usize; 2]) {
        let Self {
            a,
            b,
            add,
            c,
            c_stride,
        } = *self;
        let width = panel_width();
        let parts = b.rows.div_ceil(DEPTH).max(1);
        let depth = b.rows.div_ceil(parts);
        for part in 0..parts {
            let (first, last) = (part * depth, part + 1 == parts);
            // SAFETY: `new` checked that the product lies inside the slices, and so do all offsets below.
            let block = unsafe {
                Block {
                    a: a.data.as_ptr().add(top * a.stride + first),
                    a_stride: a.stride,
                    rows: bottom - top,
                    depth: depth.min(b.rows - first),
                    b: b.data
                        .as_ptr()
                        .add(left / width * b.rows * width + first * width),
                    panel_stride: b.rows * width,
                    cols: right - left,
                    c: c.ptr(top * c_stride + left),
                    c_stride,
                    epilogue: Epilogue {
                        accumulate: add.accumulate || part > 0,
                        bias: add
                            .bias
                            .filter(|_| last)
                            .map_or(null(), |bias| bias.as_ptr().add(left)),
                        residual: add
                            .residual
                            .filter(|_| last)
                            .map_or(null(), |(data, stride)| {
                                data.as_ptr().add(top * stride + left)
                            }),
                        residual_stride: add.residual.map_or(0, |(_, stride)| stride),
                    },
                }
            };
            // SAFETY: the block lies inside the operands, and nothing else uses its rectangle.
            unsafe { dispatch_unsafe(block) };
        }
    }
}
