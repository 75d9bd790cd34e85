//! The forward pass: softmax(q k^T / sqrt(head size)) v, with an online softmax over blocks of keys.

mod task;

use std::f32::consts::LOG2_E;

use rayon::prelude::*;

use super::panels::{lanes, pack, pack_transposed};
use super::{TASKS, head, part, scale};
use crate::kernels::AttentionShape;
use crate::kernels::cpu::buffer::Buffer;
use crate::kernels::cpu::gemm::GRAIN;
use crate::kernels::cpu::shared::SharedSlice;
use crate::kernels::cpu::vector::dispatch;
use task::{Scratch, Task};

/// Queries of a task, which share a block of keys in the L2 cache.
const QUERIES: usize = 192;
/// Queries that are processed at once: their scores with a block of keys stay in the L1 cache.
const STRIP: usize = 24;
/// Maximum number of keys of a block; large heads have fewer.
const KEYS: usize = 512;
/// Maximum number of values of a block of keys: with the same size of v, half of the L2 cache.
const KEY_VALUES: usize = 1 << 15;

/// The blocks of keys. A block is stored as k^T in panels of two vectors, followed by v in panels.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    /// Keys of a block; the last block may have fewer.
    keys: usize,
    count: usize,
    /// Vectors per head.
    vectors: usize,
    /// Length of k^T of a block, and of a block.
    k_len: usize,
    len: usize,
}

impl Blocks {
    fn new(shape: &AttentionShape) -> Self {
        let lanes = lanes();
        let most = (KEY_VALUES / shape.head_size).clamp(64, KEYS);
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

    /// Returns the keys of block `index`, if there are `keys` in all.
    fn rows(&self, index: usize, keys: usize) -> usize {
        self.keys.min(keys - index * self.keys)
    }
}

pub(in super::super) fn attention(
    shape: &AttentionShape,
    sources: &[usize],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    o: &mut [f32],
    stats: &mut [f32],
) {
    let (channels, heads) = (shape.channels(), shape.batch * shape.heads);
    assert_eq!(
        q.len(),
        shape.batch * shape.queries * channels,
        "the queries have the shape's size"
    );
    assert_eq!(o.len(), q.len(), "the outputs have the queries' size");
    assert_eq!(
        stats.len(),
        heads * shape.queries,
        "a statistic per query and head"
    );
    assert_eq!(k.len(), v.len(), "keys and values have one size");
    assert_eq!(sources.len(), shape.batch, "a source per picture");
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
        (shape.queries * heads)
            .div_ceil(TASKS)
            .clamp(STRIP, QUERIES),
        6,
    );
    let across = shape.queries.div_ceil(queries);
    let (o, stats) = (SharedSlice::new(o), SharedSlice::new(stats));
    let task_work = 2 * queries * shape.keys * shape.head_size;
    (0..heads * across)
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
                    // SAFETY: no two tasks have the same picture, head and queries.
                    stats: unsafe { stats.slice_mut(above * shape.queries + first, rows) },
                    scratch,
                });
            },
        );
}

/// Copies keys and values of the pictures that are read into blocks: (pictures, heads, blocks, block length).
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
        "the sources exist"
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
