//! The epilogues of the backward pass: scores to probabilities, and gradients of probabilities to gradients of scores.

use pulp::Simd;

use super::super::vector::exp2;
use super::product::Finish;

/// Stores the probabilities 2^min(scale * score + shift, 0).
pub(super) struct Probabilities<'a> {
    pub(super) to: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) scale: f32,
    pub(super) shifts: &'a [f32],
}

impl<S: Simd> Finish<S> for Probabilities<'_> {
    #[inline(always)]
    fn fits(&self, rows: usize, vectors: usize) -> bool {
        self.stride >= vectors * S::F32_LANES
            && rows * self.stride <= self.to.len()
            && rows <= self.shifts.len()
    }

    #[inline(always)]
    unsafe fn finish<const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        vector: usize,
        sums: [S::f32s; V],
    ) {
        let zero = simd.splat_f32s(0.0);
        // SAFETY: the caller guarantees it.
        unsafe {
            let shift = simd.splat_f32s(*self.shifts.get_unchecked(row));
            let to = self
                .to
                .as_mut_ptr()
                .add(row * self.stride + vector * S::F32_LANES)
                .cast::<S::f32s>();
            for (v, sum) in sums.into_iter().enumerate() {
                let power = simd.mul_add_f32s(sum, simd.splat_f32s(self.scale), shift);
                // Powers above 0 are rounding errors, which are large if scores are huge.
                let power = simd.select_f32s(simd.greater_than_f32s(power, zero), zero, power);
                to.add(v).write_unaligned(exp2(simd, power));
            }
        }
    }
}

/// Replaces the stored probabilities P by the gradients of the scores P (dP - D), where dP are the sums of the product.
pub(super) struct ScoreGradients<'a> {
    pub(super) to: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) products: &'a [f32],
}

impl<S: Simd> Finish<S> for ScoreGradients<'_> {
    #[inline(always)]
    fn fits(&self, rows: usize, vectors: usize) -> bool {
        self.stride >= vectors * S::F32_LANES
            && rows * self.stride <= self.to.len()
            && rows <= self.products.len()
    }

    #[inline(always)]
    unsafe fn finish<const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        vector: usize,
        sums: [S::f32s; V],
    ) {
        // SAFETY: the caller guarantees it.
        unsafe {
            let product = simd.splat_f32s(*self.products.get_unchecked(row));
            let to = self
                .to
                .as_mut_ptr()
                .add(row * self.stride + vector * S::F32_LANES)
                .cast::<S::f32s>();
            for (v, sum) in sums.into_iter().enumerate() {
                let to = to.add(v);
                to.write_unaligned(simd.mul_f32s(to.read_unaligned(), simd.sub_f32s(sum, product)));
            }
        }
    }
}
