//! The forward pass: softmax(q k^T / sqrt(head size)) v, with a softmax that learns of the keys block by block.

use std::f32::consts::{LN_2, LOG2_E};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::buffer::Buffer;
use super::super::exponential::exp2;
use super::super::gemm::GRAIN;
use super::super::shared::Shared;
use super::super::vector::dispatch;
use super::panels::{Tokens, lanes, pack, pack_transposed};
use super::product::{Finish, Left, Right, Store, multiply};
use super::{TASKS, head, part, scale};
use crate::kernels::AttentionShape;

/// Queries of a task: while they last, a block of keys stays in the second cache.
const QUERIES: usize = 192;
/// Queries whose scores with a block of keys stay in the first cache.
const STRIP: usize = 24;
/// A block of keys, at most; fewer where heads are large.
const KEYS: usize = 512;
/// Numbers of a block of keys, at most: with the values, half of the second cache.
const KEY_NUMBERS: usize = 1 << 15;
/// How far (as a power of two) probabilities may grow above 1 before they are scaled down again.
const SLACK: f32 = 8.0;
/// Scores beyond are taken for this, so that differences of scores are finite.
const LARGEST: f32 = 1e37;

/// How the keys are split into blocks, and how a block is laid out: k^T in panels of two vectors, then v in panels.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    /// Keys of a block; the last one may have fewer.
    keys: usize,
    count: usize,
    /// Vectors of a head's channels.
    vectors: usize,
    /// Numbers of k^T of a block, and of the block.
    k_len: usize,
    len: usize,
}

impl Blocks {
    fn new(shape: &AttentionShape) -> Self {
        let lanes = lanes();
        let most = (KEY_NUMBERS / shape.head_size).clamp(64, KEYS);
        let keys = part(shape.keys, most, 2 * lanes);
        let vectors = shape.head_size.div_ceil(lanes);
        let k_len = keys * shape.head_size;
        Self {
            keys,
            count: shape.keys.div_ceil(keys),
            vectors,
            k_len,
            len: k_len + keys * vectors * lanes,
        }
    }

    /// Keys of block `index` of `keys`.
    fn rows(&self, index: usize, keys: usize) -> usize {
        self.keys.min(keys - index * self.keys)
    }
}

/// o = softmax(q k^T / sqrt(head size)) v per head; picture b reads the keys and values of picture `sources[b]`. `stats` (batch,
/// heads, queries) receives the logarithms of the sums of the scaled scores' exponentials.
pub(in super::super) fn attention(
    shape: &AttentionShape,
    sources: &[usize],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    o: &mut [f32],
    stats: &mut [f32],
) {
    let (channels, tasks_above) = (shape.channels(), shape.batch * shape.heads);
    assert_eq!(
        q.len(),
        shape.batch * shape.queries * channels,
        "queries for every picture"
    );
    assert_eq!(o.len(), q.len(), "an output for every query");
    assert_eq!(
        stats.len(),
        tasks_above * shape.queries,
        "a number for every query and head"
    );
    assert_eq!(k.len(), v.len(), "a value for every key");
    assert_eq!(sources.len(), shape.batch, "a source for every picture");
    if o.is_empty() {
        return;
    }
    if shape.keys == 0 {
        o.fill(0.0);
        return stats.fill(f32::NEG_INFINITY);
    }
    let blocks = Blocks::new(shape);
    let packed = packed(shape, &blocks, sources, k, v);
    let queries = part(
        shape.queries,
        (shape.queries * tasks_above)
            .div_ceil(TASKS)
            .clamp(STRIP, QUERIES),
        6,
    );
    let across = shape.queries.div_ceil(queries);
    let (o, stats) = (Shared::new(o), Shared::new(stats));
    let task_work = 2 * queries * shape.keys * shape.head_size;
    (0..tasks_above * across)
        .into_par_iter()
        .with_min_len(GRAIN.div_ceil(task_work))
        .for_each_init(
            || Scratch::new(queries, &blocks),
            |scratch, index| {
                let (above, first) = (index / across, index % across * queries);
                let (picture, h) = (above / shape.heads, above % shape.heads);
                let rows = queries.min(shape.queries - first);
                dispatch(Task {
                    blocks: &blocks,
                    keys: shape.keys,
                    scale: scale(shape) * LOG2_E,
                    q: head(shape, q, shape.queries, picture, h, first, rows),
                    packed: &packed
                        [(sources[picture] * shape.heads + h) * blocks.count * blocks.len..]
                        [..blocks.count * blocks.len],
                    o,
                    o_first: (picture * shape.queries + first) * channels + h * shape.head_size,
                    // SAFETY: every task has a picture, head and queries of its own.
                    stats: unsafe { stats.run(above * shape.queries + first, rows) },
                    scratch,
                });
            },
        );
}

/// The keys and values that are asked for, block by block, head by head.
fn packed(
    shape: &AttentionShape,
    blocks: &Blocks,
    sources: &[usize],
    k: &[f32],
    v: &[f32],
) -> Buffer {
    let pictures = k.len() / (shape.keys * shape.channels());
    assert_eq!(
        k.len(),
        pictures * shape.keys * shape.channels(),
        "whole pictures of keys"
    );
    assert!(
        sources.iter().all(|source| *source < pictures),
        "keys of every source"
    );
    let mut packed = Buffer::uninit(pictures * shape.heads * blocks.count * blocks.len);
    packed
        .par_chunks_mut(blocks.len)
        .enumerate()
        .with_min_len(GRAIN.div_ceil(4 * blocks.len))
        .for_each(|(index, to)| {
            let (above, block) = (index / blocks.count, index % blocks.count);
            let (picture, h) = (above / shape.heads, above % shape.heads);
            if sources.contains(&picture) {
                let rows = blocks.rows(block, shape.keys);
                let [k, v] = [k, v]
                    .map(|x| head(shape, x, shape.keys, picture, h, block * blocks.keys, rows));
                let (k_to, v_to) = to.split_at_mut(blocks.k_len);
                pack_transposed(k, lanes(), k_to);
                pack(v, lanes(), v_to);
            }
        });
    packed
}

/// What a task needs beside its operands.
struct Scratch {
    /// Scores of a strip, later probabilities. Two vectors more per row keep rows out of the same places of the cache.
    scores: Buffer,
    score_stride: usize,
    /// The largest scores of a strip, and the sums of probabilities of a block: a vector per row.
    largest: Buffer,
    sums: Buffer,
    /// What is subtracted from the products of each row.
    shifts: Buffer,
    /// Unscaled outputs (queries, vectors).
    o: Buffer,
}

impl Scratch {
    fn new(queries: usize, blocks: &Blocks) -> Self {
        let (lanes, score_stride) = (lanes(), blocks.keys + 2 * lanes());
        Self {
            scores: Buffer::uninit(STRIP * score_stride),
            score_stride,
            largest: Buffer::uninit(STRIP * lanes),
            sums: Buffer::uninit(queries * lanes),
            shifts: Buffer::uninit(queries),
            o: Buffer::uninit(queries * blocks.vectors * lanes),
        }
    }
}

/// Some queries of one head against all keys.
struct Task<'a> {
    blocks: &'a Blocks,
    keys: usize,
    /// From a product to the power of two.
    scale: f32,
    q: Tokens<'a>,
    packed: &'a [f32],
    o: Shared<'a>,
    o_first: usize,
    stats: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let blocks = self.blocks;
        self.scratch.sums.fill(0.0);
        for (block, packed) in self
            .packed
            .chunks_exact(blocks.len)
            .take(blocks.count)
            .enumerate()
        {
            let (k, v) = packed.split_at(blocks.k_len);
            let keys = blocks.rows(block, self.keys);
            for first in (0..self.q.rows).step_by(STRIP) {
                let rows = STRIP.min(self.q.rows - first);
                self.scores(simd, k, keys, first, rows);
                for row in first..first + rows {
                    self.softmax(simd, block == 0, keys, row - first, row);
                }
                let scratch = &mut *self.scratch;
                let stride = blocks.vectors * S::F32_LANES;
                let left = Left {
                    data: &scratch.scores,
                    rows,
                    stride: scratch.score_stride,
                };
                let right = Right {
                    data: v,
                    depth: keys,
                    vectors: blocks.vectors,
                };
                let mut store = Store {
                    to: &mut scratch.o[first * stride..],
                    stride,
                    add: block > 0,
                };
                multiply::<S, _, false>(simd, left, right, &mut store);
            }
        }
        self.outputs(simd);
    }
}

impl Task<'_> {
    /// Products of queries `first..first + rows` and a block of keys, and the largest of each row.
    #[inline(always)]
    fn scores<S: Simd>(&mut self, simd: S, k: &[f32], keys: usize, first: usize, rows: usize) {
        let scratch = &mut *self.scratch;
        scratch.largest.fill(f32::NEG_INFINITY);
        let left = self.q.part(first, rows).left();
        let right = Right {
            data: k,
            depth: self.q.cols,
            vectors: keys.div_ceil(2 * S::F32_LANES) * 2,
        };
        let mut finish = Scores {
            to: &mut scratch.scores,
            stride: scratch.score_stride,
            largest: &mut scratch.largest,
        };
        multiply::<S, _, false>(simd, left, right, &mut finish);
    }

    /// Turns row `at` of the strip, which is row `row` of the task, from scores into probabilities times a number that all blocks
    /// of keys share.
    #[inline(always)]
    fn softmax<S: Simd>(&mut self, simd: S, first_block: bool, keys: usize, at: usize, row: usize) {
        let Scratch {
            scores,
            score_stride,
            largest,
            sums,
            shifts,
            o,
        } = &mut *self.scratch;
        let lanes = S::F32_LANES;
        let scores = &mut scores[at * *score_stride..][..keys.next_multiple_of(lanes)];
        let mut largest =
            simd.reduce_max_f32s(S::as_simd_f32s(&largest[at * lanes..][..lanes]).0[0]);
        if largest.is_nan() || largest.abs() >= LARGEST {
            largest = tame(scores);
        }
        let sum = &mut S::as_mut_simd_f32s(&mut sums[row * lanes..][..lanes]).0[0];
        if first_block {
            shifts[row] = largest;
        } else if (largest - shifts[row]) * self.scale > SLACK {
            let factor = exp2(simd, simd.splat_f32s((shifts[row] - largest) * self.scale));
            shifts[row] = largest;
            *sum = simd.mul_f32s(*sum, factor);
            let stride = self.blocks.vectors * lanes;
            for o in S::as_mut_simd_f32s(&mut o[row * stride..][..stride]).0 {
                *o = simd.mul_f32s(*o, factor);
            }
        }
        let (scale, shift) = (simd.splat_f32s(self.scale), simd.splat_f32s(shifts[row]));
        // The difference first: it is exact where it is small, and never above what was found to be the largest.
        let (whole, partial) = S::as_mut_simd_f32s(scores).0.split_at_mut(keys / lanes);
        let mut total = *sum;
        for score in whole {
            *score = exp2(simd, simd.mul_f32s(simd.sub_f32s(*score, shift), scale));
            total = simd.add_f32s(total, *score);
        }
        for score in partial {
            *score = exp2(simd, simd.mul_f32s(simd.sub_f32s(*score, shift), scale));
            // Behind the last key are copies of it, which the product with v does not see.
            let counted = simd.mask_between_m32s(0, (keys % lanes) as u32).mask();
            total = simd.add_f32s(
                total,
                simd.select_f32s(counted, *score, simd.splat_f32s(0.0)),
            );
        }
        *sum = total;
    }

    /// Divides by the sums.
    #[inline(always)]
    fn outputs<S: Simd>(self, simd: S) {
        let (lanes, size) = (S::F32_LANES, self.q.cols);
        for (row, stat) in self.stats.iter_mut().enumerate() {
            let sum = simd
                .reduce_sum_f32s(S::as_simd_f32s(&self.scratch.sums[row * lanes..][..lanes]).0[0]);
            *stat = self.scratch.shifts[row] * self.scale * LN_2 + sum.ln();
            let inverse = 1.0 / sum;
            // SAFETY: every task has a picture, head and queries of its own.
            let to = unsafe { self.o.run(self.o_first + row * self.q.stride, size) };
            to.iter_mut()
                .zip(&self.scratch.o[row * self.blocks.vectors * lanes..])
                .for_each(|(to, o)| *to = o * inverse);
        }
    }
}

/// Limits scores that are too large for differences, and returns the largest.
#[cold]
fn tame(scores: &mut [f32]) -> f32 {
    for score in &mut *scores {
        *score = score.clamp(-LARGEST, LARGEST);
    }
    scores.iter().copied().fold(-LARGEST, f32::max)
}

/// Stores scores and keeps the largest of every row and lane.
struct Scores<'a> {
    to: &'a mut [f32],
    stride: usize,
    largest: &'a mut [f32],
}

impl<S: Simd> Finish<S> for Scores<'_> {
    #[inline(always)]
    fn fits(&self, rows: usize, vectors: usize) -> bool {
        let lanes = S::F32_LANES;
        self.stride >= vectors * lanes
            && rows * self.stride <= self.to.len()
            && rows * lanes <= self.largest.len()
    }

    #[inline(always)]
    unsafe fn finish<const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        vector: usize,
        sums: [S::f32s; V],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let largest = self
                .largest
                .as_mut_ptr()
                .add(row * S::F32_LANES)
                .cast::<S::f32s>();
            let to = self
                .to
                .as_mut_ptr()
                .add(row * self.stride + vector * S::F32_LANES)
                .cast::<S::f32s>();
            let mut most = largest.read_unaligned();
            for (v, sum) in sums.into_iter().enumerate() {
                most = simd.max_f32s(most, sum);
                to.add(v).write_unaligned(sum);
            }
            largest.write_unaligned(most);
        }
    }
}
