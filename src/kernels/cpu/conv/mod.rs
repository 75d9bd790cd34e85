//! Convolutions of NHWC pictures with frozen weights, and their input gradients.
//!
//! Most kernels are 3x3 with stride 1 and use Winograd's algorithm ([`winograd`]): a tile of 2x2 outputs takes 16 multiplications instead
//! of 36, one of 4x4 takes 36 instead of 144. All others, and those with too few channels or pixels to gain from it, unfold patches and
//! multiply ([`direct`]).

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
use direct::{Direct, Positions, TapOrder, Window};
use target::Target;
use transform::Grid;
use weights::Weights;

/// Largest weight whose transforms are cached.
const LARGEST_CACHED: usize = 1 << 18;
/// Maximum number of tiles for which transforms are cached. With more tiles, transforming the weights again costs little.
const CACHED_TILES: usize = 512;

/// The frozen weights of a convolution.
pub struct ConvWeight {
    outputs: usize,
    /// Height and width of the kernel.
    size: usize,
    inputs: usize,
    /// The matrix (taps * inputs, outputs).
    panels: Panels,
    /// Cached transforms to tiles of 4x4 and of 6x6, each forward and backward.
    transforms: [OnceLock<Buffer>; 4],
}

impl Debug for ConvWeight {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            outputs,
            size,
            inputs,
            ..
        } = self;
        write!(f, "ConvWeight({outputs}, {size}, {size}, {inputs})")
    }
}

impl ConvWeight {
    /// Lays out `weights` (outputs, size, size, inputs).
    ///
    /// # Panics
    /// When `weights` has another size.
    pub fn new(weights: &[f32], outputs: usize, size: usize, inputs: usize) -> Self {
        let depth = size * size * inputs;
        assert_eq!(
            weights.len(),
            outputs * depth,
            "the weights have the kernel's shape"
        );
        let panels = Panels::new(Matrix::dense(weights, 0, outputs, depth).transposed());
        Self {
            outputs,
            size,
            inputs,
            panels,
            transforms: [const { OnceLock::new() }; 4],
        }
    }

    fn taps(&self) -> usize {
        self.size * self.size
    }

    fn is_cached(&self, weights: Weights, tiles: usize) -> bool {
        tiles <= CACHED_TILES
            && self.taps() * self.inputs * self.outputs <= LARGEST_CACHED
            && weights.depth() <= winograd::SHORT_DEPTH
    }

    /// Returns the transform of the weights, if it is cached. Those of large weights are not: they would take several times the memory of
    /// the model.
    fn transformed<const N: usize>(&self, weights: Weights, tiles: usize) -> Option<&[f32]> {
        self.is_cached(weights, tiles).then(|| {
            let place = usize::from(N == 6) * 2 + usize::from(weights.backward);
            let cached = &self.transforms[place];
            // Computed outside the lock: a thread that waits for tasks while it holds the lock may pick up a task that needs the same lock.
            let transformed = cached.get().unwrap_or_else(|| {
                let mut transformed = Buffer::uninit(weights.transformed_len::<N>());
                weights.transform::<N>(&mut transformed);
                cached.get_or_init(|| transformed)
            });
            &transformed[..]
        })
    }
}

fn pictures_len(batch: usize, [height, width, channels]: [usize; 3]) -> usize {
    target::size(&[batch, height, width, channels])
}

pub(super) fn conv(
    shape: &ConvShape,
    x: &[f32],
    kernel: &ConvWeight,
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
        "the weights have the shape's kernel"
    );
    assert_eq!(
        x.len(),
        pictures_len(batch, input),
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
    let positions = Positions {
        first: [0; 2],
        step: 1,
        width: output[1],
    };
    let direct = Direct {
        batch,
        input,
        window,
        positions,
        weights,
        order: TapOrder::Forward,
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

/// A gradient with stride s is s * s convolutions, one per position of an input pixel modulo s.
pub(super) fn conv_backward(shape: &ConvShape, dy: &[f32], kernel: &ConvWeight, dx: &mut [f32]) {
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
        "the weights have the shape's kernel"
    );
    assert_eq!(
        dy.len(),
        pictures_len(batch, output),
        "the gradient has the output's size"
    );
    let target = Target::new(dx, [batch, input[0], input[1], input[2]], Added::default());
    let weights = Weights {
        kernel,
        backward: true,
    };
    for position in 0..stride * stride {
        let position = [position / stride, position % stride];
        // Tap t of output o reads input o * stride + t - pad. The inputs at this position are read by every stride-th tap, the last first.
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
            positions: Positions {
                first: position,
                step: stride,
                width: input[1],
            },
            weights,
            order: TapOrder::Flipped { last, step: stride },
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

/// Runs a 3x3 convolution with stride 1 by the algorithm with the fewest estimated cycles.
fn stride_one(grid: Grid, direct: Direct) {
    let estimates = [1, 2, 4].map(|side| (cycles(Grid { side, ..grid }, direct.weights), side));
    let side = estimates
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

/// Estimates the cycles on one thread of a machine that processes two vectors of eight lanes per cycle.
fn cycles(grid: Grid, weights: Weights) -> f64 {
    let float = |x: usize| x as f64;
    let (tiles, depth) = (grid.tiles(), float(weights.depth()));
    let columns = float(weights.columns().next_multiple_of(panel_width() / 2));
    // Tiles of six rows keep both units busy; a remainder takes as long as four rows at least.
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
    let transform = if weights.kernel.is_cached(weights, tiles) {
        0.0
    } else {
        depth * columns * places * 0.25
    };
    product + pixels + outputs + transform
}

/// Runs all `tasks`, on one thread if they have few multiplications together. A thread calls `scratch` for its intermediate results.
fn for_each_task<T>(
    tasks: usize,
    multiplications: usize,
    scratch: impl Fn() -> T + Send + Sync,
    work: impl Fn(&mut T, usize) + Send + Sync,
) {
    let tasks_at_once = if multiplications < 2 * GRAIN {
        tasks
    } else {
        tasks * GRAIN / multiplications
    };
    (0..tasks)
        .into_par_iter()
        .with_min_len(tasks_at_once.max(1))
        .for_each_init(scratch, work);
}
