//! Convolutions of any kernel and stride, and their input gradients: the pixels that an output reads are laid out as a row
//! by copying runs of channels, and rows times weights are the outputs.
//!
//! The input gradient of stride s is s * s such convolutions of the output's gradient, one for every position of an input
//! pixel between the kernel's steps; each has the weights that meet it there.

use super::super::buffer::Buffer;
use super::super::gemm::{Add, GRAIN, Left, Right, multiply_here, panel_width};
use super::super::vector::dispatch_promised;
use super::each;
use super::target::{Rows, Target};
use super::weights::Weights;

/// Pixels of one task, at most.
const PIXELS: usize = 96;
/// Columns of one task, at most and at least.
const COLUMNS: usize = 128;
const FEWEST_COLUMNS: usize = 32;
/// Tasks that a convolution is split into at least, where it is large enough.
const TASKS: usize = 16;

/// Which input pixels the pixels of a grid read: pixel (i, j) those of a rectangle at (i, j) * step + first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Lines and columns of the grid.
    pub(super) grid: [usize; 2],
    pub(super) step: usize,
    pub(super) first: [isize; 2],
    /// Lines and columns of the rectangle.
    pub(super) size: [usize; 2],
}

impl Window {
    /// Rows (pixel, line, column, channel) of the grid's pixels from `start`.
    fn lay_out(
        &self,
        [height, width, channels]: [usize; 3],
        x: &[f32],
        start: usize,
        rows: &mut [f32],
    ) {
        let [lines, columns] = self.size;
        let run = columns * channels;
        for (index, row) in rows.chunks_exact_mut(lines * run).enumerate() {
            let (i, j) = (
                (start + index) / self.grid[1],
                (start + index) % self.grid[1],
            );
            let top = (i * self.step).wrapping_add_signed(self.first[0]);
            let left = (j * self.step) as isize + self.first[1];
            // Of the rectangle's columns, those inside the picture.
            let before = (-left).clamp(0, columns as isize) as usize;
            let inside =
                (width as isize - left).clamp(before as isize, columns as isize) as usize - before;
            for (line, run) in row.chunks_exact_mut(run).enumerate() {
                let line = top.wrapping_add(line);
                if line >= height || inside == 0 {
                    run.fill(0.0);
                    continue;
                }
                let from = (line * width).wrapping_add_signed(left + before as isize) * channels;
                run[..before * channels].fill(0.0);
                copy(
                    &x[from..from + inside * channels],
                    &mut run[before * channels..(before + inside) * channels],
                );
                run[(before + inside) * channels..].fill(0.0);
            }
        }
    }
}

/// Short runs are common (three channels), and calling for a copy takes longer than making it.
fn copy(from: &[f32], to: &mut [f32]) {
    if from.len() > 32 {
        to.copy_from_slice(from);
    } else {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// Where the grid's pixels lie in the target: (i, j) at (i, j) * step + first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) first: [usize; 2],
    pub(super) step: usize,
    /// The target's width.
    pub(super) width: usize,
}

/// Which weights a window meets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meets {
    /// All, as they are.
    All,
    /// Every `step`-th tap from (line, column) backwards, inputs and outputs exchanged.
    Flipped { last: [usize; 2], step: usize },
}

/// One convolution of `batch` pictures `x`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direct<'a, 'b> {
    pub(super) batch: usize,
    pub(super) input: [usize; 3],
    pub(super) window: Window,
    pub(super) places: Places,
    pub(super) weights: Weights<'a>,
    pub(super) meets: Meets,
    pub(super) x: &'a [f32],
    pub(super) target: &'a Target<'b>,
}

impl Direct<'_, '_> {
    fn depth(&self) -> usize {
        self.window.size[0] * self.window.size[1] * self.input[2]
    }

    pub(super) fn run(&self) {
        let (columns, depth, width) = (self.weights.columns(), self.depth(), panel_width());
        let pixels = self.window.grid[0] * self.window.grid[1];
        if depth == 0 {
            return self.zeros();
        }
        let work = self.batch * pixels * depth * columns;
        let block = pixels
            .div_ceil(pixels.div_ceil(PIXELS).max(1))
            .next_multiple_of(6);
        let blocks = pixels.div_ceil(block.max(1));
        // Each task lays out its rows anew, which pays only for a good number of columns.
        let wanted = TASKS
            .min(work / GRAIN)
            .div_ceil((self.batch * blocks).max(1))
            .max(1);
        let narrow = columns
            .div_ceil(wanted)
            .next_multiple_of(width)
            .clamp(FEWEST_COLUMNS.max(width), COLUMNS.max(width));
        let across = columns.div_ceil(narrow);
        let scratch = || {
            let weights = if matches!(self.meets, Meets::All) {
                0
            } else {
                depth * narrow
            };
            (
                Buffer::uninit(block * depth),
                Buffer::uninit(block * narrow),
                Buffer::uninit(weights),
            )
        };
        each(
            self.batch * blocks * across,
            work,
            scratch,
            |(rows, sums, flipped), index| {
                // Neighbouring tasks share their weights.
                let (channel, picture, start) = (
                    index / (self.batch * blocks) * narrow,
                    index / blocks % self.batch,
                    index % blocks * block,
                );
                let (channels, count) = (narrow.min(columns - channel), block.min(pixels - start));
                let [height, width, inputs] = self.input;
                let picture_len = height * width * inputs;
                let rows = &mut rows[..count * depth];
                self.window.lay_out(
                    self.input,
                    &self.x[picture * picture_len..(picture + 1) * picture_len],
                    start,
                    rows,
                );
                let right = match self.meets {
                    Meets::All => Right {
                        rows: depth,
                        cols: channels,
                        data: &self.weights.kernel.panels.view().data[channel * depth..],
                    },
                    Meets::Flipped { last, step } => {
                        self.flip(channel, channels, last, step, flipped);
                        Right {
                            rows: depth,
                            cols: channels,
                            data: flipped,
                        }
                    }
                };
                multiply_here(
                    Left {
                        data: rows,
                        rows: count,
                        stride: depth,
                    },
                    right,
                    Add::default(),
                    sums,
                    narrow,
                );
                self.store([picture, start, channel], count, channels, sums, narrow);
            },
        );
    }

    /// The panels of the taps that meet this window, in its order.
    fn flip(
        &self,
        channel: usize,
        channels: usize,
        last: [usize; 2],
        step: usize,
        panels: &mut [f32],
    ) {
        let (width, outputs, [lines, columns]) =
            (panel_width(), self.weights.depth(), self.window.size);
        let tap_len = outputs * width;
        for (index, panel) in panels
            .chunks_exact_mut(lines * columns * tap_len)
            .take(channels.div_ceil(width))
            .enumerate()
        {
            for (tap, to) in panel.chunks_exact_mut(tap_len).enumerate() {
                let (line, column) = (
                    last[0] - tap / columns * step,
                    last[1] - tap % columns * step,
                );
                self.weights.transpose(
                    channel / width + index,
                    line * self.weights.kernel.size + column,
                    &(0..outputs),
                    to,
                );
            }
        }
    }

    /// Sums of the grid's pixels from `start` to their places, line by line.
    fn store(
        &self,
        [picture, start, channel]: [usize; 3],
        count: usize,
        channels: usize,
        sums: &[f32],
        stride: usize,
    ) {
        let Places {
            first: [top, left],
            step,
            width,
        } = self.places;
        let across = self.window.grid[1];
        let mut done = 0;
        while done < count {
            let (i, j) = ((start + done) / across, (start + done) % across);
            let rows = (across - j).min(count - done);
            // SAFETY: every task has pixels or channels of its own.
            unsafe {
                dispatch_promised(Rows {
                    target: self.target,
                    from: &sums[done * stride..],
                    from_stride: stride,
                    count: rows,
                    picture,
                    first: (i * step + top) * width + j * step + left,
                    step,
                    channel,
                    channels,
                });
            }
            done += rows;
        }
    }

    /// No weight meets these pixels.
    fn zeros(&self) {
        let [lines, columns] = self.window.grid;
        let sums = Buffer::zeros(self.weights.columns());
        for picture in 0..self.batch {
            for pixel in 0..lines * columns {
                self.store([picture, pixel, 0], 1, sums.len(), &sums, sums.len());
            }
        }
    }
}
