//! Index tables by which rows of a feature map are gathered: the patches of a convolution, those of its gradient, and the pixels of a resize.
//!
//! A gathered tensor has `taps` rows of the map for every row of the result. An index of `u32::MAX` selects a row of zeros; candle's
//! `index_select` does so on every device.

use std::collections::HashMap;
use std::ops::Range;

use candle_core::{Result, Tensor};

use super::device::CandleDevice;
use crate::kernels::ConvShape;

/// The index of a row of zeros.
const ZEROS: u32 = u32::MAX;

/// Index tables that were uploaded.
pub(super) type GatherTables = HashMap<GatherTable, Tensor>;

/// What an index table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum GatherTable {
    /// For every output pixel of a convolution, the input pixels under its kernel.
    Patches(Window),
    /// For every input pixel of a convolution, the output pixels whose kernel covers it, by tap.
    Covering(Window),
    /// For every pixel of a resized map, its source.
    Sources(Resize),
    /// The copies of every pixel in a resized map: for every copy, in turn, a table of all pixels.
    Copies(Resize),
}

/// The pixels of a convolution; channels do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Window {
    batch: usize,
    from: [usize; 2],
    to: [usize; 2],
    kernel: usize,
    stride: usize,
    pad: usize,
}

impl Window {
    pub(super) fn of(shape: &ConvShape) -> Self {
        let ([height, width, _], [out_height, out_width, _]) = (shape.input, shape.output);
        Self {
            batch: shape.batch,
            from: [height, width],
            to: [out_height, out_width],
            kernel: shape.kernel,
            stride: shape.stride,
            pad: shape.pad,
        }
    }
}

/// The pixels of a resize of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Resize {
    pub(super) from: [usize; 2],
    pub(super) to: [usize; 2],
}

impl Resize {
    /// Returns the source of every pixel of the result.
    fn sources(&self) -> impl Iterator<Item = usize> {
        let Self { from, to } = *self;
        (0..to[0] * to[1]).map(move |at| {
            let [row, column] = [at / to[1] * from[0] / to[0], at % to[1] * from[1] / to[1]];
            row * from[1] + column
        })
    }

    /// Returns the largest number of copies that a pixel has.
    pub(super) fn most_copies(&self) -> usize {
        let mut counts = vec![0; self.from[0] * self.from[1]];
        for source in self.sources() {
            counts[source] += 1;
        }
        counts.into_iter().max().unwrap_or(0)
    }
}

impl GatherTable {
    /// Computes the table.
    pub(super) fn indices(&self) -> Vec<u32> {
        match self {
            Self::Patches(window) => {
                window.rows(window.to, window.from, |[row, column], [down, right]| {
                    let Window {
                        from, stride, pad, ..
                    } = *window;
                    let place = |at: usize, tap: usize, size: usize| {
                        (at * stride + tap).checked_sub(pad).filter(|at| *at < size)
                    };
                    let row = place(row, down, from[0])?;
                    Some(row * from[1] + place(column, right, from[1])?)
                })
            }
            Self::Covering(window) => {
                window.rows(window.from, window.to, |[row, column], [down, right]| {
                    let Window {
                        to, stride, pad, ..
                    } = *window;
                    let place = |at: usize, tap: usize, size: usize| {
                        let at = (at + pad).checked_sub(tap)?;
                        (at % stride == 0 && at / stride < size).then_some(at / stride)
                    };
                    let row = place(row, down, to[0])?;
                    Some(row * to[1] + place(column, right, to[1])?)
                })
            }
            Self::Sources(resize) => resize.sources().map(|source| source as u32).collect(),
            Self::Copies(resize) => {
                let pixels = resize.from[0] * resize.from[1];
                let mut table = vec![ZEROS; resize.most_copies() * pixels];
                let mut copies = vec![0; pixels];
                for (at, source) in resize.sources().enumerate() {
                    table[copies[source] * pixels + source] = at as u32;
                    copies[source] += 1;
                }
                table
            }
        }
    }
}

impl Window {
    /// Returns, for every pixel of a batch of maps of size `of`, the index of each tap in a batch of maps of size `among`. `pixel` returns it
    /// within one picture.
    fn rows(
        &self,
        of: [usize; 2],
        among: [usize; 2],
        pixel: impl Fn([usize; 2], [usize; 2]) -> Option<usize>,
    ) -> Vec<u32> {
        let (pixels, taps) = (of[0] * of[1], self.kernel * self.kernel);
        let mut table = Vec::with_capacity(self.batch * pixels * taps);
        for picture in 0..self.batch {
            let first = picture * among[0] * among[1];
            for at in 0..pixels {
                for tap in 0..taps {
                    let index = pixel(
                        [at / of[1], at % of[1]],
                        [tap / self.kernel, tap % self.kernel],
                    );
                    table.push(index.map_or(ZEROS, |index| (first + index) as u32));
                }
            }
        }
        table
    }
}

/// Gathers rows of `map` (pixels, channels): for each of `rows` of the result, `taps` rows of the map side by side, as (rows, taps * channels).
pub(super) fn gather(
    device: &CandleDevice,
    table: GatherTable,
    taps: usize,
    rows: Range<usize>,
    map: &Tensor,
) -> Result<Tensor> {
    let channels = map.dim(1)?;
    let indices = device
        .table(table)?
        .narrow(0, rows.start * taps, rows.len() * taps)?;
    map.index_select(&indices, 0)?
        .reshape((rows.len(), taps * channels))
}
