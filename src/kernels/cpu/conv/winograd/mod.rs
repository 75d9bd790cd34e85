//! 3x3 convolutions with stride 1 as products of transformed tiles: F(2x2, 3x3) with `N` = 4 and F(4x4, 3x3) with `N` = 6 (Lavin and Gray,
//! arXiv 1509.09308). Tasks are groups of tiles if the transformed weights are small, and groups of columns otherwise.

mod by_columns;

use super::for_each_task;
use super::target::Target;
use super::transform::{Grid, Layout, Pixels, Products};
use super::weights::Weights;
use crate::kernels::cpu::buffer::Buffer;
use crate::kernels::cpu::gemm::{Add, Left, Right, multiply_here, panel_width, panels_len};
use crate::kernels::cpu::vector::dispatch_unsafe;
use by_columns::by_columns;

/// Largest transformed weight that is computed at once, for all tasks.
const LARGEST_WHOLE: usize = 3 << 20;
/// Minimum number of tiles that are split among tasks.
const MANY_TILES: usize = 24;
/// Maximum number of channels whose products are summed in one pass.
pub(super) const SHORT_DEPTH: usize = 384;
/// Tiles of a task of [`by_tiles`]: four times the rows of a product's tile.
const TILES: usize = 24;
/// Maximum number of columns that a task of [`by_tiles`] multiplies at once.
const COLUMNS: usize = 256;

/// Returns the distance between matrices of `len` values, such that they do not map to the same cache sets.
fn apart(len: usize) -> usize {
    len.next_multiple_of(1024) + 16
}

/// Convolves by tiles of `OUT` by `OUT` outputs, which are transformed to `N` by `N` values.
pub(super) fn convolve<const N: usize, const OUT: usize>(
    grid: Grid,
    weights: Weights,
    x: &[f32],
    target: &Target,
) {
    let cached = weights.kernel.transformed::<N>(weights, grid.tiles());
    // Long sums in one pass lose digits. With very few columns, tasks can only be groups of tiles.
    let is_short = weights.depth() <= SHORT_DEPTH || weights.columns() <= panel_width();
    if is_short && grid.tiles() >= MANY_TILES && weights.transformed_len::<N>() <= LARGEST_WHOLE {
        if let Some(cached) = cached {
            return by_tiles::<N, OUT>(grid, weights, cached, x, target);
        }
        let mut whole = Buffer::uninit(weights.transformed_len::<N>());
        weights.transform::<N>(&mut whole);
        by_tiles::<N, OUT>(grid, weights, &whole, x, target);
    } else {
        by_columns::<N, OUT>(grid, weights, cached, x, target);
    }
}

/// Returns the multiplications of `tiles` tiles.
fn work<const N: usize>(tiles: usize, weights: Weights) -> usize {
    N * N * tiles * weights.depth() * weights.columns()
}

/// Convolves with small weights: each task transforms the pixels of some tiles, multiplies, and writes their outputs.
fn by_tiles<const N: usize, const OUT: usize>(
    grid: Grid,
    weights: Weights,
    u: &[f32],
    x: &[f32],
    target: &Target,
) {
    let (depth, columns, tiles, width) = (
        weights.depth(),
        weights.columns(),
        grid.tiles(),
        panel_width(),
    );
    let matrix = panels_len(depth, columns);
    let block = tiles.div_ceil(4).next_multiple_of(6).min(TILES);
    let task_columns = columns.next_multiple_of(width).min(COLUMNS);
    let (v_distance, m_distance) = (apart(block * depth), apart(block * task_columns));
    let layout = Layout {
        distance: v_distance,
        part: depth,
        part_distance: 0,
    };
    let scratch = || {
        (
            Buffer::uninit(N * N * v_distance),
            Buffer::uninit(N * N * m_distance),
        )
    };
    for_each_task(
        tiles.div_ceil(block),
        work::<N>(tiles, weights),
        scratch,
        |(v, m), index| {
            let tiles = index * block..tiles.min((index + 1) * block);
            // SAFETY: the scratch of the task has a row for every tile of a block.
            unsafe {
                dispatch_unsafe(Pixels::<N> {
                    grid,
                    x,
                    tiles: tiles.clone(),
                    v: v.as_mut_ptr(),
                    layout,
                });
            }
            for channel in (0..columns).step_by(task_columns) {
                let channels = task_columns.min(columns - channel);
                for place in 0..N * N {
                    let left = Left {
                        data: &v[place * v_distance..],
                        rows: tiles.len(),
                        stride: depth,
                    };
                    let right = Right {
                        rows: depth,
                        cols: channels,
                        data: &u[place * matrix + channel * depth..],
                    };
                    multiply_here(
                        left,
                        right,
                        Add::default(),
                        &mut m[place * m_distance..],
                        task_columns,
                    );
                }
                let tiles = tiles.clone();
                // SAFETY: no two tasks have the same tiles and channels.
                unsafe {
                    dispatch_unsafe(Products::<N, OUT> {
                        grid,
                        tiles,
                        m,
                        m_stride: task_columns,
                        distance: m_distance,
                        channel,
                        channels,
                        target,
                    });
                }
            }
        },
    );
}
