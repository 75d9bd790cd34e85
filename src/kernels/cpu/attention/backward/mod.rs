//! The backward pass. With P the probabilities, S the scaled scores and D = rowsum(dO O):
//! dV = P^T dO, dP = dO V^T, dS = P (dP - D), dQ = dS K scale, dK = dS^T Q scale.

mod task;

use rayon::prelude::*;

use super::panels::{lanes, pack, pack_transposed};
use super::{TASKS, head, part, scale};
use crate::kernels::AttentionShape;
use crate::kernels::cpu::buffer::Buffer;
use crate::kernels::cpu::gemm::GRAIN;
use crate::kernels::cpu::shared::SharedSlice;
use crate::kernels::cpu::vector::dispatch;
use task::{Scratch, Task};

/// Maximum number of queries that are processed with a block of keys at once.
const QUERIES: usize = 96;
/// Maximum number of keys of a block; large heads have fewer.
const KEYS: usize = 256;
/// Maximum number of values of a block of keys.
const KEY_VALUES: usize = 1 << 14;
/// Maximum number of parts of the queries. Each part has its own sums of key and value gradients.
const PARTS: usize = 8;
/// Maximum number of values of these sums, if there are more than four parts.
const PART_VALUES: usize = 1 << 23;

/// The blocks of a head. A block of keys is stored as k^T and v^T in panels of two vectors, followed by k in panels.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    /// Keys of a block; the last block may have fewer.
    keys: usize,
    count: usize,
    /// Queries of a block, and of a part (a whole number of blocks).
    queries: usize,
    part: usize,
    parts: usize,
    /// Values of a head, padded to whole vectors.
    width: usize,
    /// Length of k^T of a block, and of a block.
    transposed: usize,
    len: usize,
}

impl Blocks {
    fn new(shape: &AttentionShape, needs_dkv: bool) -> Self {
        let lanes = lanes();
        let most = (KEY_VALUES / shape.head_size).clamp(64, KEYS);
        let keys = part(shape.keys, most, 2 * lanes);
        let width = shape.head_size.next_multiple_of(lanes);
        let transposed = keys * shape.head_size;
        let above = shape.batch * shape.heads;
        let parts = if needs_dkv {
            let most = PART_VALUES / (2 * above * shape.keys * width);
            TASKS.div_ceil(above).min(most.clamp(4, PARTS))
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
            "the queries have the shape's size"
        );
    }
    for x in dkv.iter().flat_map(|(dk, dv)| [&**dk, &**dv]) {
        assert_eq!(
            x.len(),
            shape.batch * shape.keys * channels,
            "the gradients have the keys' size"
        );
    }
    let pictures = if k.len() == shape.keys * channels {
        1
    } else {
        shape.batch
    };
    for x in [k, v] {
        assert_eq!(
            x.len(),
            pictures * shape.keys * channels,
            "keys and values have the shape's size"
        );
    }
    assert_eq!(
        stats.len(),
        above * shape.queries,
        "a statistic per query and head"
    );
    if q.is_empty() || k.is_empty() {
        dq.fill(0.0);
        return dkv
            .into_iter()
            .for_each(|(dk, dv)| [dk, dv].into_iter().for_each(|x| x.fill(0.0)));
    }
    let blocks = Blocks::new(shape, dkv.is_some());
    let packed = packed(shape, &blocks, pictures, k, v);
    // dk and dv of every part, added up by `add_parts`.
    let gradient_len = shape.keys * blocks.width;
    let mut gradients = Buffer::uninit(if dkv.is_some() {
        2 * above * blocks.parts * gradient_len
    } else {
        0
    });
    let (shared, dq) = (SharedSlice::new(&mut gradients), SharedSlice::new(dq));
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
                let gradients = dkv.is_some().then(|| {
                    // SAFETY: every task has its own gradients.
                    unsafe { shared.slice_mut(2 * index * gradient_len, 2 * gradient_len) }
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
                    packed: &packed[above % (pictures * shape.heads) * blocks.count * blocks.len..]
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

/// Copies keys and values into blocks: (pictures, heads, blocks, block length).
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

/// Adds the gradients of the parts, in the order of the parts, and writes them to dk and dv.
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
