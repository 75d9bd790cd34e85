//! Winograd's convolution with large weights: the pixels of a group of tiles are transformed first; then each task transforms the weights
//! of some columns, multiplies, and writes the outputs of these columns.

use std::ops::Range;

use super::{apart, work};
use crate::kernels::cpu::buffer::Buffer;
use crate::kernels::cpu::conv::for_each_task;
use crate::kernels::cpu::conv::target::Target;
use crate::kernels::cpu::conv::transform::{Grid, Layout, Pixels, Products};
use crate::kernels::cpu::conv::weights::{Transform, Weights};
use crate::kernels::cpu::gemm::{Add, GRAIN, Left, Right, multiply_here, panel_width, panels_len};
use crate::kernels::cpu::shared::SharedSlice;
use crate::kernels::cpu::vector::dispatch_unsafe;

/// Columns of a task, approximately.
const TASK_COLUMNS: usize = 96;
/// Channels of the part of the weights that a task transforms at once.
const DEPTH: usize = 176;
/// Maximum number of transformed values of pixels that exist at once.
const PIXELS: usize = 2 << 20;

/// How the work is split, and where the intermediate results of a task are.
#[derive(Debug, Clone, Copy)]
struct Split<'a> {
    weights: Weights<'a>,
    /// Tiles of a group.
    group: usize,
    /// Columns of a task, in whole panels.
    task_columns: usize,
    /// Channels of a part of the depth.
    part: usize,
    /// Length of the flipped weights of a panel.
    taps_len: usize,
    /// Distances between places in the transformed weights and in the products.
    u_distance: usize,
    m_distance: usize,
    /// The layout of the transformed pixels.
    layout: Layout,
}

/// Intermediate results of a task.
struct Scratch {
    /// Flipped weights.
    taps: Buffer,
    /// Transformed weights of one line of places.
    u: Buffer,
    /// Products.
    m: Buffer,
}

pub(super) fn by_columns<const N: usize, const OUT: usize>(
    grid: Grid,
    weights: Weights,
    cached: Option<&[f32]>,
    x: &[f32],
    target: &Target,
) {
    let (columns, all) = (weights.columns(), grid.tiles());
    let split = Split::new::<N>(weights, cached.is_some(), all);
    let Split {
        group,
        task_columns,
        layout,
        ..
    } = split;
    let mut v = Buffer::uninit(N * N * layout.distance);
    for start in (0..all).step_by(group) {
        let tiles = start..all.min(start + group);
        transform_pixels::<N>(grid, x, tiles.clone(), &mut v, layout);
        let v = &v[..];
        for_each_task(
            columns.div_ceil(task_columns),
            work::<N>(tiles.len(), weights),
            || split.scratch::<N>(),
            |scratch, index| {
                let channel = index * task_columns;
                let channels = task_columns.min(columns - channel);
                match cached {
                    Some(u) => {
                        split.multiply_cached::<N>(v, u, tiles.len(), channel, channels, scratch);
                    }
                    None => split.multiply::<N>(v, tiles.len(), channel, channels, scratch),
                }
                let tiles = tiles.clone();
                // SAFETY: no two tasks have the same tiles and channels.
                unsafe {
                    dispatch_unsafe(Products::<N, OUT> {
                        grid,
                        tiles,
                        m: &scratch.m,
                        m_stride: task_columns,
                        distance: split.m_distance,
                        channel,
                        channels,
                        target,
                    });
                }
            },
        );
    }
}

impl<'a> Split<'a> {
    fn new<const N: usize>(weights: Weights<'a>, is_cached: bool, tiles: usize) -> Self {
        let (depth, columns, width) = (weights.depth(), weights.columns(), panel_width());
        let groups = tiles.div_ceil((PIXELS / (N * N * depth)).max(6));
        let group = tiles.div_ceil(groups).next_multiple_of(6).min(tiles);
        // Columns in whole panels, and parts of the depth as equal as panels allow. The split of the columns may depend on the number of
        // threads, since it does not affect the results.
        let tasks = columns
            .div_ceil(TASK_COLUMNS)
            .next_multiple_of(rayon::current_num_threads().max(4));
        let task_columns = columns.div_ceil(tasks).next_multiple_of(width);
        let part = if is_cached {
            depth
        } else {
            depth
                .div_ceil(depth.div_ceil(DEPTH))
                .next_multiple_of(width)
        };
        Self {
            weights,
            group,
            task_columns,
            part,
            taps_len: weights.taps_len(part),
            u_distance: apart(part * task_columns),
            m_distance: apart(group * task_columns),
            layout: Layout {
                distance: apart(group * depth.next_multiple_of(part)),
                part,
                part_distance: group * part,
            },
        }
    }

    fn scratch<const N: usize>(&self) -> Scratch {
        Scratch {
            taps: Buffer::uninit(self.taps_len * self.task_columns / panel_width()),
            u: Buffer::uninit(N * self.u_distance),
            m: Buffer::uninit(N * N * self.m_distance),
        }
    }

    /// Returns the transformed pixels of `tiles` tiles at a place, for the part of the channels from `first` on.
    fn left<'v>(&self, v: &'v [f32], tiles: usize, place: usize, first: usize) -> Left<'v> {
        Left {
            data: &v[place * self.layout.distance + first * self.group..],
            rows: tiles,
            stride: self.part,
        }
    }

    /// Multiplies by the cached transforms `u` of the weights.
    fn multiply_cached<const N: usize>(
        &self,
        v: &[f32],
        u: &[f32],
        tiles: usize,
        channel: usize,
        channels: usize,
        scratch: &mut Scratch,
    ) {
        let depth = self.weights.depth();
        let matrix = panels_len(depth, self.weights.columns());
        for place in 0..N * N {
            let right = Right {
                rows: depth,
                cols: channels,
                data: &u[place * matrix + channel * depth..],
            };
            multiply_here(
                self.left(v, tiles, place, 0),
                right,
                Add::default(),
                &mut scratch.m[place * self.m_distance..],
                self.task_columns,
            );
        }
    }

    /// Transforms the weights, part by part of the depth and line by line of the places, and multiplies by them.
    fn multiply<const N: usize>(
        &self,
        v: &[f32],
        tiles: usize,
        channel: usize,
        channels: usize,
        Scratch { taps, u, m }: &mut Scratch,
    ) {
        let (depth, width) = (self.weights.depth(), panel_width());
        let panels = channel / width..(channel + channels).div_ceil(width);
        for first in (0..depth).step_by(self.part) {
            let rows = first..depth.min(first + self.part);
            let add = Add {
                accumulate: first > 0,
                ..Add::default()
            };
            self.weights
                .flip(panels.clone(), &rows, taps, self.taps_len);
            for line in 0..N {
                self.transform::<N>(&panels, &rows, line, taps, u);
                for column in 0..N {
                    let place = line * N + column;
                    let right = Right {
                        rows: rows.len(),
                        cols: channels,
                        data: &u[column * self.u_distance..],
                    };
                    multiply_here(
                        self.left(v, tiles, place, first),
                        right,
                        add,
                        &mut m[place * self.m_distance..],
                        self.task_columns,
                    );
                }
            }
        }
    }

    /// Transforms rows `rows` of some panels to the places of one line of a tile.
    fn transform<const N: usize>(
        &self,
        panels: &Range<usize>,
        rows: &Range<usize>,
        line: usize,
        taps: &[f32],
        u: &mut [f32],
    ) {
        for index in 0..panels.len() {
            let flipped = &taps[index * self.taps_len..(index + 1) * self.taps_len];
            let to = u[index * rows.len() * panel_width()..].as_mut_ptr();
            // SAFETY: the scratch of the task holds a line of places of all panels.
            unsafe {
                dispatch_unsafe(Transform::<N> {
                    taps: self.weights.taps(panels.start + index, rows, flipped),
                    rows: rows.len(),
                    lines: line..line + 1,
                    to,
                    distance: self.u_distance,
                });
            }
        }
    }
}

/// Transforms the pixels of `tiles` on all threads.
fn transform_pixels<const N: usize>(
    grid: Grid,
    x: &[f32],
    tiles: Range<usize>,
    v: &mut [f32],
    layout: Layout,
) {
    let depth = grid.input[2];
    assert!(
        (N * N - 1) * layout.distance
            + (depth - 1) / layout.part * layout.part_distance
            + tiles.len() * layout.part
            <= v.len(),
        "`v` has a row for every tile"
    );
    let v = SharedSlice::new(v);
    // Tiles of a task.
    let block = (GRAIN / (16 * N * N * depth)).max(1);
    for_each_task(
        tiles.len().div_ceil(block),
        16 * N * N * depth * tiles.len(),
        || (),
        |(), index| {
            let first = index * block;
            let tiles = tiles.start + first..tiles.end.min(tiles.start + first + block);
            // SAFETY: `v` has a row for every tile, as asserted above, and no two tasks have the same tiles.
            unsafe {
                dispatch_unsafe(Pixels::<N> {
                    grid,
                    x,
                    tiles,
                    v: v.ptr(first * layout.part),
                    layout,
                });
            }
        },
    );
}
