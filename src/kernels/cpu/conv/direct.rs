//! Convolutions with any kernel and stride, and their input gradients: the patches that outputs read are unfolded into rows, and rows
//! times weights are the outputs.
//!
//! The input gradient with stride s is s * s such convolutions of the output's gradient, one per position of an input pixel modulo s.
//! Each uses the taps that read inputs at this position.

use super::super::buffer::Buffer;
use super::super::gemm::{Add, GRAIN, Left, Right, multiply_here, panel_width};
use super::super::vector::dispatch_unsafe;
use super::for_each_task;
use super::target::{StoreRows, Target};
use super::weights::Weights;

/// Maximum number of pixels of a task.
const PIXELS: usize = 96;
/// Maximum and minimum number of columns of a task.
const COLUMNS: usize = 128;
const FEWEST_COLUMNS: usize = 32;
/// Minimum number of tasks of a large convolution.
const TASKS: usize = 16;

/// The patches that the pixels of a grid read: that of pixel (i, j) is the rectangle at (i, j) * step + first of the input.
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
    /// Copies the patches of the pixels from `start` on to `rows` (pixels, lines, columns, channels), with zeros outside the input.
    fn unfold(
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
            // The columns of the rectangle that are inside the picture.
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

/// Copies a run. Short ones, of three channels, are common, and a loop is faster for them than a call of memcpy.
fn copy(from: &[f32], to: &mut [f32]) {
    if from.len() > 32 {
        to.copy_from_slice(from);
    } else {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// The positions of the pixels of a grid in the target: (i, j) is at (i, j) * step + first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Positions {
    pub(super) first: [usize; 2],
    pub(super) step: usize,
    /// Width of the target.
    pub(super) width: usize,
}

/// The taps of a convolution, in the order of its patches.
#[derive(Debug, Clone, Copy)]
pub(super) enum TapOrder {
    /// All taps, in their own order.
    Forward,
    /// Every `step`-th tap from (line, column) `last` backwards, with inputs and outputs exchanged.
    Flipped { last: [usize; 2], step: usize },
}

/// A convolution of `batch` pictures `x`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direct<'a, 'b> {
    pub(super) batch: usize,
    pub(super) input: [usize; 3],
    pub(super) window: Window,
    pub(super) positions: Positions,
    pub(super) weights: Weights<'a>,
    pub(super) order: TapOrder,
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
            return self.store_zeros();
        }
        let work = self.batch * pixels * depth * columns;
        let block = pixels
            .div_ceil(pixels.div_ceil(PIXELS).max(1))
            .next_multiple_of(6);
        let blocks = pixels.div_ceil(block.max(1));
        // Every task unfolds its own rows, which pays off only if it has many columns.
        let tasks_across = TASKS
            .min(work / GRAIN)
            .div_ceil((self.batch * blocks).max(1))
            .max(1);
        let task_columns = columns
            .div_ceil(tasks_across)
            .next_multiple_of(width)
            .clamp(FEWEST_COLUMNS.max(width), COLUMNS.max(width));
        let across = columns.div_ceil(task_columns);
        let scratch = || {
            let weights = if matches!(self.order, TapOrder::Forward) {
                0
            } else {
                depth * task_columns
            };
            (
                Buffer::uninit(block * depth),
                Buffer::uninit(block * task_columns),
                Buffer::uninit(weights),
            )
        };
        for_each_task(
            self.batch * blocks * across,
            work,
            scratch,
            |(rows, sums, flipped), index| {
                // Neighbouring tasks share their weights.
                let (channel, picture, start) = (
                    index / (self.batch * blocks) * task_columns,
                    index / blocks % self.batch,
                    index % blocks * block,
                );
                let (channels, count) = (
                    task_columns.min(columns - channel),
                    block.min(pixels - start),
                );
                let [height, width, inputs] = self.input;
                let picture_len = height * width * inputs;
                let rows = &mut rows[..count * depth];
                self.window.unfold(
                    self.input,
                    &self.x[picture * picture_len..(picture + 1) * picture_len],
                    start,
                    rows,
                );
                let right = match self.order {
                    TapOrder::Forward => Right {
                        rows: depth,
                        cols: channels,
                        data: &self.weights.kernel.panels.view().data[channel * depth..],
                    },
                    TapOrder::Flipped { last, step } => {
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
                    task_columns,
                );
                self.store(
                    [picture, start, channel],
                    count,
                    channels,
                    sums,
                    task_columns,
                );
            },
        );
    }

    /// Copies the taps of a flipped order into panels.
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

    /// Stores the sums of the pixels from `start` on at their positions, line by line.
    fn store(
        &self,
        [picture, start, channel]: [usize; 3],
        count: usize,
        channels: usize,
        sums: &[f32],
        stride: usize,
    ) {
        let Positions {
            first: [top, left],
            step,
            width,
        } = self.positions;
        let across = self.window.grid[1];
        let mut done = 0;
        while done < count {
            let (i, j) = ((start + done) / across, (start + done) % across);
            let rows = (across - j).min(count - done);
            // SAFETY: no two tasks have the same pixels and channels.
            unsafe {
                dispatch_unsafe(StoreRows {
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

    /// Stores the sums of pixels that no tap reads: zeros.
    fn store_zeros(&self) {
        let [lines, columns] = self.window.grid;
        let sums = Buffer::zeros(self.weights.columns());
        for picture in 0..self.batch {
            for pixel in 0..lines * columns {
                self.store([picture, pixel, 0], 1, sums.len(), &sums, sums.len());
            }
        }
    }
}
