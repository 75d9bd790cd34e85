//! Nearest-neighbour resizes, and copies of columns.

use candle_core::{Result, Tensor};

use super::buffer::Buffer;
use super::dtype;
use super::gather::{GatherTable, Resize};

/// y = the nearest-neighbour resize of x (batch, from height, from width, channels).
pub(super) fn upsample(channels: usize, resize: Resize, x: &Buffer, y: &mut Buffer) {
    let pixels = resize.from[0] * resize.from[1];
    y.set(x.device().run(|| {
        let sources = x.device().table(GatherTable::Sources(resize))?;
        x.shaped(((), pixels, channels))?.index_select(&sources, 1)
    }));
}

/// Computes dx of [`upsample`]: the sum of the copies of every pixel, in f32.
pub(super) fn upsample_backward(channels: usize, resize: Resize, dy: &Buffer, dx: &mut Buffer) {
    let Resize { from, to } = resize;
    let pixels = from[0] * from[1];
    dx.set(dy.device().run(|| {
        let copies = dy.device().table(GatherTable::Copies(resize))?;
        let dy32 = dy.in_f32(((), to[0] * to[1], channels))?;
        let copy = |index: usize| {
            let indices = copies.narrow(0, index * pixels, pixels)?;
            dy32.index_select(&indices, 1)
        };
        let mut sum = copy(0)?;
        for index in 1..copies.dim(0)? / pixels {
            sum = (sum + copy(index)?)?;
        }
        sum.to_dtype(dtype(dy.format()))
    }));
}

/// Copies columns `from..from + count` of x to columns `to..to + count` of y, in the rows that both have.
pub(super) fn copy_columns(
    count: usize,
    x: &Buffer,
    [x_channels, from]: [usize; 2],
    y: &mut Buffer,
    [y_channels, to]: [usize; 2],
) {
    let rows = (x.len() / x_channels).min(y.len() / y_channels);
    if rows == 0 || count == 0 {
        return;
    }
    let columns = || -> Result<Tensor> {
        x.shaped(((), x_channels))?
            .narrow(0, 0, rows)?
            .narrow(1, from, count)?
            .contiguous()
    };
    let columns = x.device().run(columns);
    y.write(|y| {
        y.narrow(0, 0, rows * y_channels)?
            .reshape((rows, y_channels))?
            .slice_set(&columns, 1, to)
    });
}
