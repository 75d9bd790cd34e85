//! One task of the forward pass: scores, online softmax and outputs of some queries of one head.

use std::f32::consts::LN_2;

use pulp::{Simd, WithSimd};

use super::super::panels::{Tokens, lanes};
use super::super::product::{Finish, Left, Right, Store, multiply};
use super::{Blocks, STRIP};
use crate::kernels::cpu::buffer::Buffer;
use crate::kernels::cpu::shared::SharedSlice;
use crate::kernels::cpu::vector::exp2;

/// How far (as a power of two) probabilities may grow above 1 before the sums and outputs so far are rescaled.
const SLACK: f32 = 8.0;
/// Largest magnitude of a score; larger ones are clamped, so that differences of scores are finite.
const LARGEST: f32 = 1e37;

/// Intermediate results of a task.
pub(super) struct Scratch {
    /// Scores of a strip, later its probabilities. The stride has two extra vectors so that rows do not map to the same cache sets.
    scores: Buffer,
    score_stride: usize,
    /// Per row, a vector of the largest scores of a strip, and of the sums of the probabilities: one value per lane.
    largest: Buffer,
    sums: Buffer,
    /// Per row, what is subtracted from the scores before the exponential.
    shifts: Buffer,
    /// Outputs before the division by the sums: (queries, vectors).
    o: Buffer,
}

impl Scratch {
    pub(super) fn new(queries: usize, blocks: &Blocks) -> Self {
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

/// Some queries of one head with all keys.
pub(super) struct Task<'a> {
    pub(super) blocks: &'a Blocks,
    pub(super) keys: usize,
    /// Scale of the scores times log2(e), so that the softmax uses exp2.
    pub(super) scale: f32,
    pub(super) q: Tokens<'a>,
    pub(super) packed: &'a [f32],
    pub(super) o: SharedSlice<'a>,
    pub(super) o_first: usize,
    pub(super) stats: &'a mut [f32],
    pub(super) scratch: &'a mut Scratch,
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
    /// Computes the scores of queries `first..first + rows` with a block of keys, and the largest of each row.
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

    /// Replaces the scores of row `at` of the strip (row `row` of the task) by probabilities, up to a factor that all blocks of keys
    /// share.
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
            largest = clamp(scores);
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
        // Subtract before scaling: the difference of two close scores is exact, so a score equal to the shift gives exactly 1. A score may exceed
        // the shift by up to SLACK after scaling.
        let (whole, partial) = S::as_mut_simd_f32s(scores).0.split_at_mut(keys / lanes);
        let mut total = *sum;
        for score in whole {
            *score = exp2(simd, simd.mul_f32s(simd.sub_f32s(*score, shift), scale));
            total = simd.add_f32s(total, *score);
        }
        for score in partial {
            *score = exp2(simd, simd.mul_f32s(simd.sub_f32s(*score, shift), scale));
            // The lanes past the last key hold copies of its score, which must not be summed. The product with v ignores them.
            let counted = simd.mask_between_m32s(0, (keys % lanes) as u32).mask();
            total = simd.add_f32s(
                total,
                simd.select_f32s(counted, *score, simd.splat_f32s(0.0)),
            );
        }
        *sum = total;
    }

    /// Writes the outputs, divided by the sums, and the statistics.
    #[inline(always)]
    fn outputs<S: Simd>(self, simd: S) {
        let (lanes, size) = (S::F32_LANES, self.q.cols);
        for (row, stat) in self.stats.iter_mut().enumerate() {
            let sum = simd
                .reduce_sum_f32s(S::as_simd_f32s(&self.scratch.sums[row * lanes..][..lanes]).0[0]);
            *stat = self.scratch.shifts[row] * self.scale * LN_2 + sum.ln();
            let inverse = 1.0 / sum;
            // SAFETY: no two tasks share batch element, head and queries, so their outputs do not overlap.
            let to = unsafe { self.o.slice_mut(self.o_first + row * self.q.stride, size) };
            to.iter_mut()
                .zip(&self.scratch.o[row * self.blocks.vectors * lanes..])
                .for_each(|(to, o)| *to = o * inverse);
        }
    }
}

/// Clamps scores to the range in which differences are finite, and returns the largest.
#[cold]
fn clamp(scores: &mut [f32]) -> f32 {
    for score in &mut *scores {
        *score = score.clamp(-LARGEST, LARGEST);
    }
    scores.iter().copied().fold(-LARGEST, f32::max)
}

/// Stores scores, and updates the largest of every row and lane.
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
        // SAFETY: the caller guarantees that row and vectors lie inside a product for which `fits` returned true.
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
