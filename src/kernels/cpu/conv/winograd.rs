//! Convolutions with kernels of three by three and stride 1 as products of transformed tiles: F(2x2, 3x3) with `N` = 4 and
//! F(4x4, 3x3) with `N` = 6. Two ways to go about it, whichever keeps the larger operand in the caches.

use super::super::buffer::Buffer;
use super::super::gemm::{Add, GRAIN, Left, Right, multiply_here, panel_width, panels_len};
use super::super::shared::Shared;
use super::super::vector::dispatch_promised;
use super::each;
use super::target::Target;
use super::transform::{Grid, Layout, Pixels, Products};
use super::weights::{Transform, Weights};

/// Transformed weights of at most so many numbers are made at once for all tasks.
const WHOLE: usize = 3 << 20;
/// Tiles from which on they are split among the tasks.
const MANY_TILES: usize = 24;
/// Channels that are summed up in one go.
pub(super) const SHORT: usize = 384;
/// Tiles of one task: four tiles of the product's rows.
const TILES: usize = 24;
/// Columns of one task, at most.
const COLUMNS: usize = 256;
/// Columns of one task that transforms its own weights, about.
const NARROW: usize = 96;
/// Channels of a piece of weights that is transformed and used at once.
const DEPTH: usize = 176;
/// Numbers of transformed pixels that are made at once for all tasks.
const PIXELS: usize = 2 << 20;

/// The transforms of a task's tiles start this far apart, so that they do not all fall on the same lines of the caches.
fn apart(numbers: usize) -> usize {
    numbers.next_multiple_of(1024) + 16
}

pub(super) fn convolve<const N: usize, const OUT: usize>(
    grid: Grid,
    weights: Weights,
    x: &[f32],
    target: &Target,
) {
    let kept = weights.kernel.kept::<N>(weights, grid.tiles());
    // Long sums in one go lose digits; but columns too few to be shared out leave no choice.
    let short = weights.depth() <= SHORT || weights.columns() <= panel_width();
    if short && grid.tiles() >= MANY_TILES && weights.transformed_len::<N>() <= WHOLE {
        if let Some(kept) = kept {
            return by_tiles::<N, OUT>(grid, weights, kept, x, target);
        }
        let mut whole = Buffer::uninit(weights.transformed_len::<N>());
        weights.transform::<N>(&mut whole);
        by_tiles::<N, OUT>(grid, weights, &whole, x, target);
    } else {
        by_columns::<N, OUT>(grid, weights, kept, x, target);
    }
}

/// Multiplications of so many tiles.
fn work<const N: usize>(tiles: usize, weights: Weights) -> usize {
    N * N * tiles * weights.depth() * weights.columns()
}

/// Few weights: each task takes some tiles from their pixels to their outputs.
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
    let narrow = columns.next_multiple_of(width).min(COLUMNS);
    let (v_distance, m_distance) = (apart(block * depth), apart(block * narrow));
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
    each(
        tiles.div_ceil(block),
        work::<N>(tiles, weights),
        scratch,
        |(v, m), index| {
            let tiles = index * block..tiles.min((index + 1) * block);
            // SAFETY: the task's own scratch has rows for as many tiles as a block has.
            unsafe {
                dispatch_promised(Pixels::<N> {
                    grid,
                    x,
                    tiles: tiles.clone(),
                    v: v.as_mut_ptr(),
                    layout,
                })
            };
            for channel in (0..columns).step_by(narrow) {
                let channels = narrow.min(columns - channel);
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
                        narrow,
                    );
                }
                let tiles = tiles.clone();
                // SAFETY: every task has tiles or channels of its own.
                unsafe {
                    dispatch_promised(Products::<N, OUT> {
                        grid,
                        tiles,
                        m,
                        m_stride: narrow,
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

/// What a task of [`by_columns`] works with.
struct Scratch {
    /// Flipped weights, and transformed ones.
    taps: Buffer,
    u: Buffer,
    m: Buffer,
}

/// Many weights: the tiles' pixels are transformed first, then each task takes some columns from their weights to their outputs.
fn by_columns<const N: usize, const OUT: usize>(
    grid: Grid,
    weights: Weights,
    kept: Option<&[f32]>,
    x: &[f32],
    target: &Target,
) {
    let (depth, columns, all, width) = (
        weights.depth(),
        weights.columns(),
        grid.tiles(),
        panel_width(),
    );
    let groups = all.div_ceil((PIXELS / (N * N * depth)).max(6));
    let group = all.div_ceil(groups).next_multiple_of(6).min(all);
    // Whole panels for all, and as equal parts of the depth as these allow. How columns are shared out changes no bit, so that it may
    // depend on the threads.
    let blocks = columns
        .div_ceil(NARROW)
        .next_multiple_of(rayon::current_num_threads().max(4));
    let narrow = columns.div_ceil(blocks).next_multiple_of(width);
    let part = if kept.is_some() {
        depth
    } else {
        depth
            .div_ceil(depth.div_ceil(DEPTH))
            .next_multiple_of(width)
    };
    let layout = Layout {
        distance: apart(group * depth.next_multiple_of(part)),
        part,
        part_distance: group * part,
    };
    let mut v = Buffer::uninit(N * N * layout.distance);
    let (m_distance, u_distance, taps_len) = (
        apart(group * narrow),
        apart(part * narrow),
        weights.taps_len(part),
    );
    for start in (0..all).step_by(group) {
        let tiles = start..all.min(start + group);
        transform_pixels::<N>(grid, x, tiles.clone(), &mut v, layout);
        let v = &v[..];
        let scratch = || Scratch {
            taps: Buffer::uninit(taps_len * narrow / width),
            u: Buffer::uninit(N * u_distance),
            m: Buffer::uninit(N * N * m_distance),
        };
        each(
            columns.div_ceil(narrow),
            work::<N>(tiles.len(), weights),
            scratch,
            |Scratch { taps, u, m }, index| {
                let channel = index * narrow;
                let channels = narrow.min(columns - channel);
                let left = |place: usize, first: usize| Left {
                    data: &v[place * layout.distance + first * group..],
                    rows: tiles.len(),
                    stride: part,
                };
                if let Some(kept) = kept {
                    let matrix = panels_len(depth, columns);
                    for place in 0..N * N {
                        let right = Right {
                            rows: depth,
                            cols: channels,
                            data: &kept[place * matrix + channel * depth..],
                        };
                        multiply_here(
                            left(place, 0),
                            right,
                            Add::default(),
                            &mut m[place * m_distance..],
                            narrow,
                        );
                    }
                } else {
                    for first in (0..depth).step_by(part) {
                        let rows = first..depth.min(first + part);
                        let flipped = |panel: usize| panel * taps_len..(panel + 1) * taps_len;
                        let panels = channel / width..(channel + channels).div_ceil(width);
                        weights.flip(panels.clone(), &rows, taps, taps_len);
                        for line in 0..N {
                            for panel in 0..panels.len() {
                                let taps = weights.taps(
                                    panels.start + panel,
                                    &rows,
                                    &taps[flipped(panel)],
                                );
                                let to = u[panel * rows.len() * width..].as_mut_ptr();
                                let lines = line..line + 1;
                                // SAFETY: the task's own scratch has room for a line of places of all panels.
                                unsafe {
                                    dispatch_promised(Transform::<N> {
                                        taps,
                                        rows: rows.len(),
                                        lines,
                                        to,
                                        distance: u_distance,
                                    })
                                };
                            }
                            for column in 0..N {
                                let place = line * N + column;
                                let right = Right {
                                    rows: rows.len(),
                                    cols: channels,
                                    data: &u[column * u_distance..],
                                };
                                let add = Add {
                                    old: first > 0,
                                    ..Add::default()
                                };
                                multiply_here(
                                    left(place, first),
                                    right,
                                    add,
                                    &mut m[place * m_distance..],
                                    narrow,
                                );
                            }
                        }
                    }
                }
                let tiles = tiles.clone();
                // SAFETY: every task has tiles or channels of its own.
                unsafe {
                    dispatch_promised(Products::<N, OUT> {
                        grid,
                        tiles,
                        m,
                        m_stride: narrow,
                        distance: m_distance,
                        channel,
                        channels,
                        target,
                    });
                }
            },
        );
    }
}

fn transform_pixels<const N: usize>(
    grid: Grid,
    x: &[f32],
    tiles: std::ops::Range<usize>,
    v: &mut [f32],
    layout: Layout,
) {
    let depth = grid.input[2];
    assert!(
        (N * N - 1) * layout.distance
            + (depth - 1) / layout.part * layout.part_distance
            + tiles.len() * layout.part
            <= v.len(),
        "a row for every tile"
    );
    let v = Shared::new(v);
    // About so many tiles are worth a task of their own.
    let block = (GRAIN / (16 * N * N * depth)).max(1);
    each(
        tiles.len().div_ceil(block),
        16 * N * N * depth * tiles.len(),
        || (),
        |(), index| {
            let first = index * block;
            let tiles = tiles.start + first..tiles.end.min(tiles.start + first + block);
            // SAFETY: as asserted above, there is a row for every tile, and every task has tiles of its own.
            unsafe {
                dispatch_promised(Pixels::<N> {
                    grid,
                    x,
                    tiles,
                    v: v.at(first * layout.part),
                    layout,
                })
            };
        },
    );
}
