//! The backward pass. With P the probabilities, S the scaled scores and D = rowsum(dO O):
//! dV = P^T dO, dP = dO V^T, dS = P (dP - D), dQ = dS K scale, dK = dS^T Q scale.

use std::f32::consts::LOG2_E;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::buffer::Buffer;
use super::super::gemm::GRAIN;
use super::super::shared::Shared;
use super::super::vector::dispatch;
use super::panels::{Tokens, lanes, pack, pack_transposed};
use super::probabilities::{Probabilities, ScoreGradients};
use super::product::{Left, Right, Store, multiply};
use super::{TASKS, head, part, scale};
use crate::kernels::AttentionShape;

/// Queries that meet a block of keys at once.
const QUERIES: usize = 96;
/// A block of keys, at most; fewer where heads are large.
const KEYS: usize = 256;
/// Numbers of a block of keys, at most.
const KEY_NUMBERS: usize = 1 << 14;
/// Parts of the queries that collect key and value gradients of their own, at most, and the numbers that more than four may take.
const PARTS: usize = 8;
const PART_NUMBERS: usize = 1 << 23;

/// How a head is split into blocks, and how a block of keys is laid out: k^T and v^T in panels of two vectors, k in panels.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    /// Keys of a block; the last one may have fewer.
    keys: usize,
    count: usize,
    /// Queries of a block, and of a part.
    queries: usize,
    part: usize,
    parts: usize,
    /// Numbers of a row of the panels.
    width: usize,
    /// Numbers of k^T of a block, and of the block.
    transposed: usize,
    len: usize,
}

impl Blocks {
    fn new(shape: &AttentionShape, wanted: bool) -> Self {
        let lanes = lanes();
        let most = (KEY_NUMBERS / shape.head_size).clamp(64, KEYS);
        let keys = part(shape.keys, most, 2 * lanes);
        let width = shape.head_size.next_multiple_of(lanes);
        let transposed = keys * shape.head_size;
        let above = shape.batch * shape.heads;
        let parts = if wanted {
            let room = PART_NUMBERS / (2 * above * shape.keys * width);
            TASKS.div_ceil(above).min(room.clamp(4, PARTS))
        } else {
            TASKS.div_ceil(above)
        };
        let queries = part(
            shape.queries,
            shape.queries.div_ceil(parts).clamp(24, QUERIES),
            6,
        );
        let part = shape.queries.div_ceil(queries).div_ceil(parts) * queries;
        let parts = shape.queries.div_ceil(part);
        Self {
            keys,
            count: shape.keys.div_ceil(keys),
            queries,
            part,
            parts,
            width,
            transposed,
            len: 2 * transposed + keys * width,
        }
    }
}

/// dq, and dk and dv where they are asked for, of an attention in which every picture reads its own keys and values,
/// or, when there is one picture of them, all read that.
pub(in super::super) fn attention_backward(
    shape: &AttentionShape,
    [q, k, v, o, d_o]: [&[f32]; 5],
    stats: &[f32],
    dq: &mut [f32],
    dkv: Option<(&mut [f32], &mut [f32])>,
) {
    let (channels, above) = (shape.channels(), shape.batch * shape.heads);
    for x in [q, o, d_o, dq] {
        assert_eq!(
            x.len(),
            shape.batch * shape.queries * channels,
            "a row for every query"
        );
    }
    for x in dkv.iter().flat_map(|(dk, dv)| [&**dk, &**dv]) {
        assert_eq!(
            x.len(),
            shape.batch * shape.keys * channels,
            "a row for every key"
        );
    }
    let read = if k.len() == shape.keys * channels {
        1
    } else {
        shape.batch
    };
    for x in [k, v] {
        assert_eq!(
            x.len(),
            read * shape.keys * channels,
            "a row for every key that is read"
        );
    }
    assert_eq!(
        stats.len(),
        above * shape.queries,
        "a number for every query and head"
    );
    if q.is_empty() || k.is_empty() {
        dq.fill(0.0);
        return dkv
            .into_iter()
            .for_each(|(dk, dv)| [dk, dv].into_iter().for_each(|x| x.fill(0.0)));
    }
    let blocks = Blocks::new(shape, dkv.is_some());
    let packed = packed(shape, &blocks, read, k, v);
    // dk and dv of every part.
    let gradient_len = shape.keys * blocks.width;
    let mut gradients = Buffer::uninit(if dkv.is_some() {
        2 * above * blocks.parts * gradient_len
    } else {
        0
    });
    let (shared, dq) = (Shared::new(&mut gradients), Shared::new(dq));
    let work = 5 * blocks.part * shape.keys * shape.head_size;
    (0..above * blocks.parts)
        .into_par_iter()
        .with_min_len(GRAIN.div_ceil(work))
        .for_each_init(
            || Scratch::new(&blocks),
            |scratch, index| {
                let (above, part) = (index / blocks.parts, index % blocks.parts);
                let (picture, h) = (above / shape.heads, above % shape.heads);
                let first = part * blocks.part;
                let rows = blocks.part.min(shape.queries - first);
                let [q, o, d_o] =
                    [q, o, d_o].map(|x| head(shape, x, shape.queries, picture, h, first, rows));
                // SAFETY: every task has gradients of its own.
                let gradients = dkv.is_some().then(|| {
                    unsafe { shared.run(2 * index * gradient_len, 2 * gradient_len) }
                        .split_at_mut(gradient_len)
                });
                dispatch(Task {
                    blocks: &blocks,
                    keys: shape.keys,
                    scale: scale(shape),
                    q,
                    o,
                    d_o,
                    stats: &stats[above * shape.queries + first..][..rows],
                    packed: &packed[above % (read * shape.heads) * blocks.count * blocks.len..]
                        [..blocks.count * blocks.len],
                    dq,
                    dq_first: (picture * shape.queries + first) * channels + h * shape.head_size,
                    gradients,
                    scratch,
                });
            },
        );
    if let Some((dk, dv)) = dkv {
        add_parts(shape, &blocks, &gradients, dk, dv);
    }
}

/// Keys and values, block by block, head by head, of the pictures that are read.
fn packed(
    shape: &AttentionShape,
    blocks: &Blocks,
    pictures: usize,
    k: &[f32],
    v: &[f32],
) -> Buffer {
    let mut packed = Buffer::uninit(pictures * shape.heads * blocks.count * blocks.len);
    packed
        .par_chunks_mut(blocks.len)
        .enumerate()
        .with_min_len(GRAIN.div_ceil(4 * blocks.len))
        .for_each(|(index, to)| {
            let (above, block) = (index / blocks.count, index % blocks.count);
            let (picture, h) = (above / shape.heads, above % shape.heads);
            let first = block * blocks.keys;
            let [k, v] = [k, v].map(|x| {
                head(
                    shape,
                    x,
                    shape.keys,
                    picture,
                    h,
                    first,
                    blocks.keys.min(shape.keys - first),
                )
            });
            let (k_to, to) = to.split_at_mut(blocks.transposed);
            let (v_to, rows_to) = to.split_at_mut(blocks.transposed);
            pack_transposed(k, lanes(), k_to);
            pack_transposed(v, lanes(), v_to);
            pack(k, lanes(), rows_to);
        });
    packed
}

/// Sums of the parts' gradients, in the order of the parts.
fn add_parts(
    shape: &AttentionShape,
    blocks: &Blocks,
    gradients: &[f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let (channels, size) = (shape.channels(), shape.head_size);
    let len = shape.keys * blocks.width;
    let scale = scale(shape);
    let rows = dk
        .par_chunks_mut(channels)
        .zip(dv.par_chunks_mut(channels))
        .enumerate();
    rows.with_min_len(GRAIN.div_ceil(4 * blocks.parts * channels))
        .for_each(|(row, (dk, dv))| {
            let (picture, key) = (row / shape.keys, row % shape.keys);
            for h in 0..shape.heads {
                let first =
                    2 * (picture * shape.heads + h) * blocks.parts * len + key * blocks.width;
                for (which, to, factor) in [(0, &mut *dk, scale), (1, &mut *dv, 1.0)] {
                    let to = &mut to[h * size..][..size];
                    for part in 0..blocks.parts {
                        let from = &gradients[first + (2 * part + which) * len..][..size];
                        if part == 0 {
                            to.copy_from_slice(from);
                        } else {
                            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                        }
                    }
                    for to in to {
                        *to *= factor;
                    }
                }
            }
        });
}

/// What a task needs beside its operands.
struct Scratch {
    /// Probabilities (queries, keys of a block), later gradients of scores. Some numbers more per row keep rows out of the same
    /// places of the cache.
    scores: Buffer,
    stride: usize,
    /// q and dO in panels.
    q: Buffer,
    d_o: Buffer,
    /// D, and what is subtracted from the scores.
    products: Buffer,
    shifts: Buffer,
    /// Unscaled gradients of the queries.
    dq: Buffer,
}

impl Scratch {
    fn new(blocks: &Blocks) -> Self {
        let stride = blocks.keys + 2 * lanes();
        let [q, d_o, dq] = [0; 3].map(|_| Buffer::uninit(blocks.queries * blocks.width));
        let [products, shifts] = [0; 2].map(|_| Buffer::uninit(blocks.queries));
        Self {
            scores: Buffer::uninit(blocks.queries * stride),
            stride,
            q,
            d_o,
            products,
            shifts,
            dq,
        }
    }
}

/// A part of the queries of one head against all keys.
struct Task<'a> {
    blocks: &'a Blocks,
    keys: usize,
    scale: f32,
    q: Tokens<'a>,
    o: Tokens<'a>,
    d_o: Tokens<'a>,
    stats: &'a [f32],
    packed: &'a [f32],
    dq: Shared<'a>,
    dq_first: usize,
    gradients: Option<(&'a mut [f32], &'a mut [f32])>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let most = self.blocks.queries;
        for first in (0..self.q.rows).step_by(most) {
            let [q, o, d_o] = [self.q, self.o, self.d_o].map(|x| x.part(first, most));
            self.prepare::<S>(first, [q, o, d_o]);
            for block in 0..self.blocks.count {
                self.block(simd, block, first, q, d_o);
            }
            self.query_gradients(first, q.rows);
        }
    }
}

impl Task<'_> {
    /// What a block of queries needs with every block of keys.
    #[inline(always)]
    fn prepare<S: Simd>(&mut self, first: usize, [q, o, d_o]: [Tokens; 3]) {
        let Scratch {
            q: q_panels,
            d_o: d_o_panels,
            products,
            shifts,
            ..
        } = &mut *self.scratch;
        if self.gradients.is_some() {
            pack(q, S::F32_LANES, q_panels);
            pack(d_o, S::F32_LANES, d_o_panels);
        }
        for row in 0..q.rows {
            products[row] = dot(o.row(row), d_o.row(row));
            shifts[row] = -self.stats[first + row] * LOG2_E;
        }
    }

    /// Queries `first..` and block `block` of the keys.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, block: usize, first: usize, q: Tokens, d_o: Tokens) {
        let Blocks {
            keys,
            width,
            transposed,
            len,
            ..
        } = *self.blocks;
        let Scratch {
            scores,
            stride,
            q: q_panels,
            d_o: d_o_panels,
            products,
            shifts,
            dq,
        } = &mut *self.scratch;
        let (depth, vectors) = (q.cols, width / S::F32_LANES);
        let from = block * keys;
        let keys = keys.min(self.keys - from);
        let (k_transposed, rest) = self.packed[block * len..][..len].split_at(transposed);
        let (v_transposed, k) = rest.split_at(transposed);
        let key_vectors = keys.div_ceil(2 * S::F32_LANES) * 2;
        let stride = *stride;

        let right = Right {
            data: k_transposed,
            depth,
            vectors: key_vectors,
        };
        let mut probabilities = Probabilities {
            to: scores,
            stride,
            scale: self.scale * LOG2_E,
            shifts,
        };
        multiply::<S, _, false>(simd, q.left(), right, &mut probabilities);
        if let Some((_, dv)) = &mut self.gradients {
            let left = Left {
                data: scores,
                rows: keys,
                stride,
            };
            let mut store = Store {
                to: &mut dv[from * width..],
                stride: width,
                add: first > 0,
            };
            multiply::<S, _, true>(
                simd,
                left,
                Right {
                    data: d_o_panels,
                    depth: q.rows,
                    vectors,
                },
                &mut store,
            );
        }
        let right = Right {
            data: v_transposed,
            depth,
            vectors: key_vectors,
        };
        multiply::<S, _, false>(
            simd,
            d_o.left(),
            right,
            &mut ScoreGradients {
                to: scores,
                stride,
                products,
            },
        );
        if let Some((dk, _)) = &mut self.gradients {
            let left = Left {
                data: scores,
                rows: keys,
                stride,
            };
            let mut store = Store {
                to: &mut dk[from * width..],
                stride: width,
                add: first > 0,
            };
            multiply::<S, _, true>(
                simd,
                left,
                Right {
                    data: q_panels,
                    depth: q.rows,
                    vectors,
                },
                &mut store,
            );
        }
        let left = Left {
            data: scores,
            rows: q.rows,
            stride,
        };
        let mut store = Store {
            to: dq,
            stride: width,
            add: block > 0,
        };
        multiply::<S, _, false>(
            simd,
            left,
            Right {
                data: k,
                depth: keys,
                vectors,
            },
            &mut store,
        );
    }

    #[inline(always)]
    fn query_gradients(&self, first: usize, rows: usize) {
        for row in 0..rows {
            // SAFETY: every task has a picture, head and queries of its own.
            let to = unsafe {
                self.dq
                    .run(self.dq_first + (first + row) * self.q.stride, self.q.cols)
            };
            to.iter_mut()
                .zip(&self.scratch.dq[row * self.blocks.width..])
                .for_each(|(to, dq)| *to = dq * self.scale);
        }
    }
}

/// Sixteen lanes side by side, then the lanes: the order of additions is the same on every machine.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        lanes
            .iter_mut()
            .zip(a)
            .zip(b)
            .for_each(|((lane, a), b)| *lane += a * b);
    }
    lanes.iter().sum()
}
