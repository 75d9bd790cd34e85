//! The two-dimensional transforms of Winograd's convolution, vectorised over channels.
//!
//! The pixels of a tile become `N` by `N` values; each of these `N * N` *places* has a matrix (tiles, channels). The products of these
//! matrices with the transformed weights are transformed back to outputs.

#![expect(
    clippy::needless_range_loop,
    reason = "the indices are rows and columns of a tile"
)]
#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use std::ops::Range;

use pulp::Simd;

use super::super::vector::{UnsafeWithSimd, load, store};
use super::lines;
use super::target::Target;

/// Pictures, and the tiles of `side` by `side` outputs that cover them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) batch: usize,
    /// Height, width, channels.
    pub(super) input: [usize; 3],
    pub(super) output: [usize; 3],
    /// Zero rows above and columns left of the input.
    pub(super) pad: usize,
    /// Height and width of a tile, in outputs.
    pub(super) side: usize,
}

impl Grid {
    /// Returns the tiles per line of a picture.
    pub(super) fn across(&self) -> usize {
        self.output[1].div_ceil(self.side)
    }

    /// Returns the tiles per picture.
    pub(super) fn per_picture(&self) -> usize {
        self.output[0].div_ceil(self.side) * self.across()
    }

    /// Returns the tiles of all pictures.
    pub(super) fn tiles(&self) -> usize {
        self.batch * self.per_picture()
    }

    /// Returns the picture of a tile, and its first line and column in the output.
    #[inline(always)]
    fn position(&self, tile: usize) -> [usize; 3] {
        let within = tile % self.per_picture();
        [
            tile / self.per_picture(),
            within / self.across() * self.side,
            within % self.across() * self.side,
        ]
    }
}

/// The layout of transformed pixels: for each place a matrix (parts of the channels, tiles, channels of a part), so that a product over a
/// part reads contiguous memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Distance between places.
    pub(super) distance: usize,
    /// Channels of a part, and the distance between parts.
    pub(super) part: usize,
    pub(super) part_distance: usize,
}

/// Transforms the pixels of `tiles`.
///
/// Requirements: the matrices have a row for every tile, which nothing else uses.
#[derive(Debug)]
pub(super) struct Pixels<'a, const N: usize> {
    pub(super) grid: Grid,
    pub(super) x: &'a [f32],
    pub(super) tiles: Range<usize>,
    /// The row of tile `tiles.start` at the first place.
    pub(super) v: *mut f32,
    pub(super) layout: Layout,
}

impl<const N: usize> UnsafeWithSimd for Pixels<'_, N> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S) {
        let Grid {
            batch,
            input: [height, width, channels],
            pad,
            ..
        } = self.grid;
        assert_eq!(
            self.x.len(),
            batch * height * width * channels,
            "the input has the shape's size"
        );
        assert!(self.tiles.end <= self.grid.tiles(), "the tiles exist");
        for tile in self.tiles.clone() {
            let [picture, line, column] = self.grid.position(tile);
            // Pixel (i, j) of the tile is (line + i - pad, column + j - pad) of the picture.
            let inside = |start: usize, size: usize| {
                pad.saturating_sub(start).min(N)..(size + pad).saturating_sub(start).min(N)
            };
            let (rows, cols) = (inside(line, height), inside(column, width));
            let corner = ((picture * height + line) * width + column)
                .wrapping_sub(pad * width + pad)
                .wrapping_mul(channels);
            let v = self
                .v
                .wrapping_add((tile - self.tiles.start) * self.layout.part);
            // SAFETY: only pixels in `rows` and `cols` are read, which exist; `v` has a row for the tile.
            unsafe {
                if rows == (0..N) && cols == (0..N) {
                    self.tile::<S, false>(simd, corner, rows, cols, v);
                } else {
                    self.tile::<S, true>(simd, corner, rows, cols, v);
                }
            }
        }
    }
}

impl<const N: usize> Pixels<'_, N> {
    /// Transforms a tile whose first pixel is at index `corner` of the input.
    ///
    /// # Safety
    /// The pixels (rows, cols) of the tile exist; `v` has a row in every matrix.
    #[inline(always)]
    unsafe fn tile<S: Simd, const EDGE: bool>(
        &self,
        simd: S,
        corner: usize,
        rows: Range<usize>,
        cols: Range<usize>,
        v: *mut f32,
    ) {
        let [_, width, channels] = self.grid.input;
        let Layout {
            distance,
            part,
            part_distance,
        } = self.layout;
        for channel in (0..channels).step_by(S::F32_LANES) {
            let count = S::F32_LANES.min(channels - channel);
            let zero = simd.splat_f32s(0.0);
            let mut half = [[zero; N]; N];
            let from = self.x.as_ptr().wrapping_add(corner.wrapping_add(channel));
            for j in 0..N {
                let mut d = [zero; N];
                for (i, d) in d.iter_mut().enumerate() {
                    if !EDGE || (rows.contains(&i) && cols.contains(&j)) {
                        // SAFETY: the pixel exists, and has `count` channels from this one on.
                        *d = unsafe {
                            load(simd, from.wrapping_add((i * width + j) * channels), count)
                        };
                    }
                }
                let d = lines::pixels(simd, d);
                for i in 0..N {
                    half[i][j] = d[i];
                }
            }
            let v = v.wrapping_add(channel / part * part_distance + channel % part);
            for (i, half) in half.into_iter().enumerate() {
                for (j, value) in lines::pixels(simd, half).into_iter().enumerate() {
                    // SAFETY: the row has these channels.
                    unsafe { store(simd, v.wrapping_add((i * N + j) * distance), count, value) }
                }
            }
        }
    }
}

/// Transforms products, matrices (tiles, columns) that are `distance` apart, to outputs, and stores them.
///
/// Requirements: nothing else uses these channels of the tiles' outputs.
#[derive(Debug)]
pub(super) struct Products<'a, 'b, const N: usize, const OUT: usize> {
    pub(super) grid: Grid,
    pub(super) tiles: Range<usize>,
    pub(super) m: &'a [f32],
    pub(super) m_stride: usize,
    pub(super) distance: usize,
    /// The channel of column 0, and the number of columns.
    pub(super) channel: usize,
    pub(super) channels: usize,
    pub(super) target: &'a Target<'b>,
}

impl<const N: usize, const OUT: usize> UnsafeWithSimd for Products<'_, '_, N, OUT> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S) {
        let [height, width, channels] = self.grid.output;
        assert_eq!(
            [height * width, channels],
            [self.target.pixels, self.target.channels],
            "the target is the grid's"
        );
        assert!(
            self.grid.batch * height * width * channels <= self.target.len(),
            "the pictures exist"
        );
        let padded = self.channels.next_multiple_of(S::F32_LANES);
        assert!(
            padded <= self.m_stride && self.tiles.end <= self.grid.tiles(),
            "rows are whole vectors, and the tiles exist"
        );
        assert!(
            self.tiles.is_empty()
                || (N * N - 1) * self.distance + self.tiles.len() * self.m_stride <= self.m.len(),
            "the products are complete"
        );
        assert!(
            self.channel + self.channels <= self.target.channels,
            "the channels exist"
        );
        for tile in self.tiles.clone() {
            let [picture, line, column] = self.grid.position(tile);
            let (rows, cols) = (OUT.min(height - line), OUT.min(width - column));
            let row = &self.m[(tile - self.tiles.start) * self.m_stride..];
            for channel in (0..self.channels).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(self.channels - channel);
                let mut half = [[simd.splat_f32s(0.0); N]; OUT];
                for j in 0..N {
                    let mut m = [simd.splat_f32s(0.0); N];
                    for (i, m) in m.iter_mut().enumerate() {
                        // SAFETY: the row has a whole vector, as asserted above.
                        *m = unsafe {
                            load(
                                simd,
                                row.as_ptr().add((i * N + j) * self.distance + channel),
                                S::F32_LANES,
                            )
                        };
                    }
                    let m = lines::outputs::<S, N, OUT>(simd, m);
                    for i in 0..OUT {
                        half[i][j] = m[i];
                    }
                }
                for (i, half) in half.into_iter().enumerate() {
                    let values = lines::outputs::<S, N, OUT>(simd, half);
                    for (j, value) in values.into_iter().enumerate() {
                        if i < rows && j < cols {
                            let position = [
                                picture,
                                (line + i) * width + column + j,
                                self.channel + channel,
                            ];
                            // SAFETY: the channels of the pixel exist, and nothing else uses them.
                            unsafe { self.target.store(simd, position, count, value) }
                        }
                    }
                }
            }
        }
    }
}
