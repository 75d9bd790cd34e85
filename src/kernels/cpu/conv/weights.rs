//! The weights of a convolution as right matrices of products: forward (columns are outputs), or backward (columns are inputs, and the
//! kernel is flipped); and their Winograd transforms.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::gemm::{VECTORS, panel_width, panels_len};
use super::super::shared::SharedSlice;
use super::super::vector::{UnsafeWithSimd, dispatch, dispatch_unsafe, load, store};
use super::ConvWeight;
use super::lines;

/// Rows of a panel that a task transforms.
const ROWS: usize = 256;

/// The weights of a convolution in one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) kernel: &'a ConvWeight,
    pub(super) backward: bool,
}

/// Rows of a panel: row r of tap t starts at `t * distance + r * panel_width()`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taps<'a> {
    data: &'a [f32],
    distance: usize,
}

impl Weights<'_> {
    /// Returns the channels that are summed over.
    pub(super) fn depth(&self) -> usize {
        if self.backward {
            self.kernel.outputs
        } else {
            self.kernel.inputs
        }
    }

    /// Returns the channels of the result.
    pub(super) fn columns(&self) -> usize {
        if self.backward {
            self.kernel.inputs
        } else {
            self.kernel.outputs
        }
    }

    /// Returns the length of the scratch of [`Weights::flip`] for `rows` rows of a panel.
    pub(super) fn taps_len(&self, rows: usize) -> usize {
        if self.backward {
            self.kernel.taps() * rows * panel_width()
        } else {
            0
        }
    }

    /// Copies rows `rows` of some panels of the backward direction to `flipped`, for [`Weights::taps`]; panels are `distance` apart. Does
    /// nothing in the forward direction, whose panels are stored.
    pub(super) fn flip(
        &self,
        panels: Range<usize>,
        rows: &Range<usize>,
        flipped: &mut [f32],
        distance: usize,
    ) {
        if self.backward {
            let (taps, tap_len) = (self.kernel.taps(), rows.len() * panel_width());
            // Neighbouring panels are copied from neighbouring memory.
            for tap in 0..taps {
                for start in (rows.start..rows.end).step_by(panel_width()) {
                    let block = start..rows.end.min(start + panel_width());
                    let first = tap * tap_len + (start - rows.start) * panel_width();
                    for panel in panels.clone() {
                        let to = &mut flipped[(panel - panels.start) * distance + first..]
                            [..block.len() * panel_width()];
                        self.transpose(panel, taps - 1 - tap, &block, to);
                    }
                }
            }
        }
    }

    /// Returns rows `rows` of panel `panel`, where `rows.start` is a multiple of the panel's width and `flipped` the copy of this panel
    /// that [`Weights::flip`] made.
    pub(super) fn taps<'s>(
        &'s self,
        panel: usize,
        rows: &Range<usize>,
        flipped: &'s [f32],
    ) -> Taps<'s> {
        let (width, taps, inputs) = (panel_width(), self.kernel.taps(), self.kernel.inputs);
        if self.backward {
            Taps {
                data: flipped,
                distance: rows.len() * width,
            }
        } else {
            let first = (panel * taps * inputs + rows.start) * width;
            Taps {
                data: &self.kernel.panels.view().data[first..],
                distance: inputs * width,
            }
        }
    }

    /// Copies tap `tap` for outputs `rows` and the inputs of panel `panel` to rows of a panel, padded with zeros.
    pub(super) fn transpose(&self, panel: usize, tap: usize, rows: &Range<usize>, to: &mut [f32]) {
        let (width, taps, inputs) = (panel_width(), self.kernel.taps(), self.kernel.inputs);
        let first = panel * width;
        let present = width.min(inputs - first);
        if present < width {
            to.fill(0.0);
        }
        for start in (rows.start..rows.end).step_by(width) {
            let outputs = width.min(rows.end - start);
            let from = ((start / width * taps + tap) * inputs + first) * width;
            let from = &self.kernel.panels.view().data[from..from + present * width];
            let to = &mut to[(start - rows.start) * width..][..outputs * width];
            match (
                <&[f32; 256]>::try_from(from),
                <&mut [f32; 256]>::try_from(&mut *to),
            ) {
                (Ok(from), Ok(to)) if width == 16 => {
                    dispatch(Transpose { from, to });
                }
                _ => {
                    for (column, from) in from.chunks_exact(width).enumerate() {
                        for (row, value) in to.chunks_exact_mut(width).zip(from) {
                            row[column] = *value;
                        }
                    }
                }
            }
        }
    }

    /// Returns the length of the transform of all weights to tiles of `N` by `N`.
    pub(super) fn transformed_len<const N: usize>(&self) -> usize {
        N * N * panels_len(self.depth(), self.columns())
    }

    /// Transforms all weights: for each place, the panels of a matrix (depth, columns).
    pub(super) fn transform<const N: usize>(&self, to: &mut [f32]) {
        let (width, depth) = (panel_width(), self.depth());
        let rows = ROWS
            .next_multiple_of(width)
            .min(depth.next_multiple_of(width));
        let (parts, distance) = (depth.div_ceil(rows), panels_len(depth, self.columns()));
        assert_eq!(to.len(), N * N * distance, "`to` holds all places");
        let to = SharedSlice::new(to);
        (0..self.columns().div_ceil(width) * parts)
            .into_par_iter()
            .with_min_len((ROWS / rows).max(1))
            .for_each_init(
                || vec![0.0; self.taps_len(rows)],
                |scratch, index| {
                    let (panel, first) = (index / parts, index % parts * rows);
                    let rows = first..depth.min(first + rows);
                    self.flip(panel..panel + 1, &rows, scratch, 0);
                    let taps = self.taps(panel, &rows, scratch);
                    let to = to.ptr((panel * depth + first) * width);
                    // SAFETY: no two tasks have the same rows of a panel, and all places are inside `to`, `distance` apart.
                    unsafe {
                        dispatch_unsafe(Transform::<N> {
                            taps,
                            rows: rows.len(),
                            lines: 0..N,
                            to,
                            distance,
                        });
                    }
                },
            );
    }
}

/// Transposes a matrix of 16 x 16.
struct Transpose<'a> {
    from: &'a [f32; 256],
    to: &'a mut [f32; 256],
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for row in 0..16 {
            let line: [f32; 16] = std::array::from_fn(|column| self.from[column * 16 + row]);
            self.to[row * 16..(row + 1) * 16].copy_from_slice(&line);
        }
    }
}

/// A row of a panel is two vectors, which [`Transform`] reads together.
const _: () = assert!(VECTORS == 2);

/// Transforms rows of a panel to the places of some lines of a tile; places are `distance` apart.
///
/// Requirements: all places hold the rows, and nothing else uses them.
#[derive(Debug)]
pub(super) struct Transform<'a, const N: usize> {
    pub(super) taps: Taps<'a>,
    pub(super) rows: usize,
    /// Lines of the tile, of `N` places each.
    pub(super) lines: Range<usize>,
    /// The first row at the first place of the first line.
    pub(super) to: *mut f32,
    pub(super) distance: usize,
}

impl<const N: usize> UnsafeWithSimd for Transform<'_, N> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S) {
        let Taps { data, distance } = self.taps;
        let len = self.rows * panel_width();
        assert!(8 * distance + len <= data.len(), "`data` has nine taps");
        for (index, line) in self.lines.enumerate() {
            let row = lines::weight_row::<N>(line).map(|x| simd.splat_f32s(x));
            // The distance between taps is often a multiple of a page, so that taps compete for the same sets of the L1 cache. Both vectors
            // of a row are read together, before their lines are evicted.
            for at in (0..len).step_by(2 * S::F32_LANES) {
                let mut halves = [[simd.splat_f32s(0.0); 3]; 2];
                #[expect(clippy::needless_range_loop, reason = "j is also the column of a tap")]
                for j in 0..3 {
                    // SAFETY: `data` has nine taps, as asserted above, and a row of a panel is two vectors.
                    let g = |i: usize, v: usize| unsafe {
                        load(
                            simd,
                            data.as_ptr()
                                .add((3 * i + j) * distance + at + v * S::F32_LANES),
                            S::F32_LANES,
                        )
                    };
                    let g: [[S::f32s; 2]; 3] =
                        [[g(0, 0), g(0, 1)], [g(1, 0), g(1, 1)], [g(2, 0), g(2, 1)]];
                    for v in 0..2 {
                        let sum =
                            simd.mul_add_f32s(row[2], g[2][v], simd.mul_f32s(row[0], g[0][v]));
                        halves[v][j] = simd.mul_add_f32s(row[1], g[1][v], sum);
                    }
                }
                for (v, half) in halves.into_iter().enumerate() {
                    for (j, value) in lines::weights::<S, N>(simd, half).into_iter().enumerate() {
                        let place = self
                            .to
                            .wrapping_add((index * N + j) * self.distance + at + v * S::F32_LANES);
                        // SAFETY: required of the transform.
                        unsafe { store(simd, place, S::F32_LANES, value) }
                    }
                }
            }
        }
    }
}
