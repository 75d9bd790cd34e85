//! One task of the backward pass: the gradients of a part of the queries of one head.

use std::f32::consts::LOG2_E;

use pulp::{Simd, WithSimd};

use super::super::panels::{Tokens, lanes, pack};
use super::super::probabilities::{Probabilities, ScoreGradients};
use super::super::product::{Left, Right, Store, multiply};
use super::Blocks;
use crate::kernels::cpu::buffer::Buffer;
use crate::kernels::cpu::shared::SharedSlice;

/// Intermediate results of a task.
pub(super) struct Scratch {
    /// Probabilities (queries, keys of a block), later the gradients of the scores. The stride has two extra vectors so that rows do not
    /// map to the same cache sets.
    scores: Buffer,
    stride: usize,
    /// Panels of q and dO.
    q: Buffer,
    d_o: Buffer,
    /// Per row, D, and the shift of the scores: minus the logarithm of the sum, in powers of two.
    products: Buffer,
    shifts: Buffer,
    /// Gradients of the queries before scaling.
    dq: Buffer,
}

impl Scratch {
    pub(super) fn new(blocks: &Blocks) -> Self {
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

/// A part of the queries of one head with all keys.
pub(super) struct Task<'a> {
    pub(super) blocks: &'a Blocks,
    pub(super) keys: usize,
    pub(super) scale: f32,
    pub(super) q: Tokens<'a>,
    pub(super) o: Tokens<'a>,
    pub(super) d_o: Tokens<'a>,
    pub(super) stats: &'a [f32],
    pub(super) packed: &'a [f32],
    pub(super) dq: SharedSlice<'a>,
    pub(super) dq_first: usize,
    pub(super) gradients: Option<(&'a mut [f32], &'a mut [f32])>,
    pub(super) scratch: &'a mut Scratch,
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
    /// Prepares a block of queries for all blocks of keys.
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

    /// Adds the gradients of the block of queries from `first` on and block `block` of the keys.
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

        let right = |data, depth, vectors| Right {
            data,
            depth,
            vectors,
        };
        let mut probabilities = Probabilities {
            to: scores,
            stride,
            scale: self.scale * LOG2_E,
            shifts,
        };
        let k_transposed = right(k_transposed, depth, key_vectors);
        multiply::<S, _, false>(simd, q.left(), k_transposed, &mut probabilities);
        if let Some((_, dv)) = &mut self.gradients {
            let mut store = Store {
                to: &mut dv[from * width..],
                stride: width,
                add: first > 0,
            };
            let left = Left {
                data: scores,
                rows: keys,
                stride,
            };
            multiply::<S, _, true>(simd, left, right(d_o_panels, q.rows, vectors), &mut store);
        }
        let mut score_gradients = ScoreGradients {
            to: scores,
            stride,
            products,
        };
        let v_transposed = right(v_transposed, depth, key_vectors);
        multiply::<S, _, false>(simd, d_o.left(), v_transposed, &mut score_gradients);
        if let Some((dk, _)) = &mut self.gradients {
            let mut store = Store {
                to: &mut dk[from * width..],
                stride: width,
                add: first > 0,
            };
            let left = Left {
                data: scores,
                rows: keys,
                stride,
            };
            multiply::<S, _, true>(simd, left, right(q_panels, q.rows, vectors), &mut store);
        }
        let mut store = Store {
            to: dq,
            stride: width,
            add: block > 0,
        };
        let left = Left {
            data: scores,
            rows: q.rows,
            stride,
        };
        multiply::<S, _, false>(simd, left, right(k, keys, vectors), &mut store);
    }

    /// Writes the gradients of the block of queries from `first` on.
    #[inline(always)]
    fn query_gradients(&self, first: usize, rows: usize) {
        for row in 0..rows {
            // SAFETY: no two tasks have the same picture, head and queries.
            let to = unsafe {
                self.dq
                    .slice_mut(self.dq_first + (first + row) * self.q.stride, self.q.cols)
            };
            to.iter_mut()
                .zip(&self.scratch.dq[row * self.blocks.width..])
                .for_each(|(to, dq)| *to = dq * self.scale);
        }
    }
}

/// Returns the dot product, summed in sixteen lanes whatever the width of the vectors.
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
