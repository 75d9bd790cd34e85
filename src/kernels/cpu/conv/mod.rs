//! Convolutions of NHWC pictures with frozen weights, and their input gradients.
//!
//! Kernels of three by three with stride 1, by far the most, go Winograd's way ([`winograd`]): tiles of two by two outputs
//! take 16 multiplications instead of 36, tiles of four by four 36 instead of 144. Everything else, and what has too few
//! channels or pixels to gain from it, is laid out and multiplied ([`direct`]).

#![allow(unsafe_code)]

mod direct;
mod lines;
mod target;
#[cfg(test)]
mod tests;
mod transform;
mod weights;
mod winograd;

use std::fmt::{self, Debug, Formatter};
use std::sync::OnceLock;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::gemm::{GRAIN, Panels, panel_width};
use crate::kernels::{Added, ConvShape, Matrix};
use direct::{Direct, Meets, Places, Window};
use target::Target;
use transform::Grid;
use weights::Weights;

/// Weights up to so many numbers may be kept transformed, where few tiles would pay for their transform.
const KEPT: usize = 1 << 18;
const KEPT_TILES: usize = 512;

/// The frozen weights of one convolution.
pub struct Kernel {
    outputs: usize,
    /// Height and width.
    size: usize,
    inputs: usize,
    /// A matrix (taps * inputs, outputs).
    panels: Panels,
    /// Small weights, transformed to tiles of four and of six, forwards and backwards.
    kept: [OnceLock<Buffer>; 4],
}

impl Debug for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            outputs,
            size,
            inputs,
            ..
        } = self;
        write!(f, "Kernel({outputs}, {size}, {size}, {inputs})")
    }
}

impl Kernel {
    /// Prepares `weights` (outputs, size, size, inputs).
    ///
    /// # Panics
    /// When there are not as many as that.
    pub fn new(weights: &[f32], outputs: usize, size: usize, inputs: usize) -> Self {
        let depth = size * size * inputs;
        assert_eq!(
            weights.len(),
            outputs * depth,
            "the weights have the kernel's size"
        );
        let panels = Panels::new(Matrix::dense(weights, 0, outputs, depth).transposed());
        Self {
            outputs,
            size,
            inputs,
            panels,
            kept: [const { OnceLock::new() }; 4],
        }
    }

    fn taps(&self) -> usize {
        self.size * self.size
    }

    fn keeps(&self, weights: Weights, tiles: usize) -> bool {
        tiles <= KEPT_TILES
            && self.taps() * self.inputs * self.outputs <= KEPT
            && weights.depth() <= winograd::SHORT
    }

    /// Transformed weights, where they are kept. Large ones are not: a model's would take several times its memory.
    fn kept<const N: usize>(&self, weights: Weights, tiles: usize) -> Option<&[f32]> {
        self.keeps(weights, tiles).then(|| {
            let place = usize::from(N == 6) * 2 + usize::from(weights.backward);
            let kept = &self.kept[place];
            // Made outside the lock: a thread that waits in there may take up other work, which could want the same lock.
            let kept = kept.get().unwrap_or_else(|| {
                let mut transformed = Buffer::uninit(weights.transformed_len::<N>());
                weights.transform::<N>(&mut transformed);
                kept.get_or_init(|| transformed)
            });
            &kept[..]
        })
    }
}

fn size_of_pictures(batch: usize, [height, width, channels]: [usize; 3]) -> usize {
    target::size(&[batch, height, width, channels])
}

/// y = convolution of x, plus what is added.
pub(super) fn conv(
    shape: &ConvShape,
    x: &[f32],
    kernel: &Kernel,
    added: Added<[f32]>,
    y: &mut [f32],
) {
    let ConvShape {
        batch,
        input,
        output,
        kernel: size,
        stride,
        pad,
    } = *shape;
    assert_eq!(
        [kernel.outputs, kernel.size, kernel.inputs],
        [output[2], size, input[2]],
        "the kernel is the shape's"
    );
    assert_eq!(
        x.len(),
        size_of_pictures(batch, input),
        "the input has the shape's size"
    );
    let target = Target::new(y, [batch, output[0], output[1], output[2]], added);
    let weights = Weights {
        kernel,
        backward: false,
    };
    let window = Window {
        grid: [output[0], output[1]],
        step: stride,
        first: [-(pad as isize); 2],
        size: [size; 2],
    };
    let places = Places {
        first: [0; 2],
        step: 1,
        width: output[1],
    };
    let direct = Direct {
        batch,
        input,
        window,
        places,
        weights,
        meets: Meets::All,
        x,
        target: &target,
    };
    if stride == 1 && size == 3 {
        stride_one(
            Grid {
                batch,
                input,
                output,
                pad,
                side: 1,
            },
            direct,
        );
    } else {
        direct.run();
    }
}

/// dx = input gradient of a convolution.
pub(super) fn conv_backward(shape: &ConvShape, dy: &[f32], kernel: &Kernel, dx: &mut [f32]) {
    let ConvShape {
        batch,
        input,
        output,
        kernel: size,
        stride,
        pad,
    } = *shape;
    assert_eq!(
        [kernel.outputs, kernel.size, kernel.inputs],
        [output[2], size, input[2]],
        "the kernel is the shape's"
    );
    assert_eq!(
        dy.len(),
        size_of_pictures(batch, output),
        "the gradient has the output's size"
    );
    let target = Target::new(dx, [batch, input[0], input[1], input[2]], Added::default());
    let weights = Weights {
        kernel,
        backward: true,
    };
    for position in 0..stride * stride {
        let position = [position / stride, position % stride];
        // Tap t of output o meets input o * stride + t - pad: at these positions every stride-th tap, the last one first.
        let last = position.map(|at| {
            (0..size)
                .rev()
                .find(|tap| (at + pad + stride * size - tap).is_multiple_of(stride))
        });
        let count = last.map(|last| last.map_or(0, |last| last / stride + 1));
        let last = last.map(|last| last.unwrap_or(0));
        let first = [0, 1].map(|axis| {
            (position[axis] as isize + pad as isize - last[axis] as isize)
                .div_euclid(stride as isize)
        });
        let grid = [0, 1].map(|axis| input[axis].saturating_sub(position[axis]).div_ceil(stride));
        let direct = Direct {
            batch,
            input: output,
            window: Window {
                grid,
                step: 1,
                first,
                size: count,
            },
            places: Places {
                first: position,
                step: stride,
                width: input[1],
            },
            weights,
            meets: Meets::Flipped { last, step: stride },
            x: dy,
            target: &target,
        };
        if stride == 1 && size == 3 && pad <= 2 {
            stride_one(
                Grid {
                    batch,
                    input: output,
                    output: input,
                    pad: 2 - pad,
                    side: 1,
                },
                direct,
            );
        } else {
            direct.run();
        }
    }
}

/// A convolution of three by three with stride 1: the way that takes the fewest cycles by a rough count.
fn stride_one(grid: Grid, direct: Direct) {
    let ways = [1, 2, 4].map(|side| (cycles(Grid { side, ..grid }, direct.weights), side));
    let side = ways
        .into_iter()
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(1, |(_, side)| side);
    let grid = Grid { side, ..grid };
    match side {
        4 => winograd::convolve::<6, 4>(grid, direct.weights, direct.x, direct.target),
        2 => winograd::convolve::<4, 2>(grid, direct.weights, direct.x, direct.target),
        _ => direct.run(),
    }
}

/// Cycles of a machine with two vectors of eight lanes per cycle, on one thread.
fn cycles(grid: Grid, weights: Weights) -> f64 {
    let float = |x: usize| x as f64;
    let (tiles, depth) = (grid.tiles(), float(weights.depth()));
    let columns = float(weights.columns().next_multiple_of(panel_width() / 2));
    // Six rows at a time keep both units busy; what is left over takes as long as four rows at least.
    let rows = |rows: usize| {
        float(
            rows / 6 * 6
                + if rows.is_multiple_of(6) {
                    0
                } else {
                    (rows % 6).max(4)
                },
        )
    };
    if grid.side == 1 {
        return rows(tiles) * (9.0 * depth * columns / 16.0 + 9.0 * depth / 8.0 + columns / 2.0);
    }
    let places = float((grid.side + 2) * (grid.side + 2));
    let product = rows(tiles) * places * columns * (depth / 16.0 + 0.2);
    let pixels = float(tiles) * (depth / 8.0).ceil() * places * 2.5;
    let outputs = float(tiles) * (columns / 8.0).ceil() * places * 2.5;
    let transform = if weights.kernel.keeps(weights, tiles) {
        0.0
    } else {
        depth * columns * places * 0.25
    };
    product + pixels + outputs + transform
}

/// Calls `work` for all `tasks`, on one thread where all together have few multiplications.
fn each<T>(
    tasks: usize,
    multiplications: usize,
    scratch: impl Fn() -> T + Send + Sync,
    work: impl Fn(&mut T, usize) + Send + Sync,
) {
    let together = if multiplications < 2 * GRAIN {
        tasks
    } else {
        tasks * GRAIN / multiplications
    };
    (0..tasks)
        .into_par_iter()
        .with_min_len(together.max(1))
        .for_each_init(scratch, work);
}
