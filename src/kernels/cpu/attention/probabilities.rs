//! From scores to probabilities once more, and from the probabilities' gradients to those of the scores, as products leave the registers.

use pulp::Simd;

use super::super::exponential::exp2;
use super::product::Finish;

/// Stores 2^(scale * score + shift), at most 1.
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
        // SAFETY: the caller's promise.
        unsafe {
            let shift = simd.splat_f32s(*self.shifts.get_unchecked(row));
            let to = self
                .to
                .as_mut_ptr()
                .add(row * self.stride + vector * S::F32_LANES)
                .cast::<S::f32s>();
            for (v, sum) in sums.into_iter().enumerate() {
                let power = simd.mul_add_f32s(sum, simd.splat_f32s(self.scale), shift);
                // Above zero by rounding alone, which is much where scores are huge.
                let power = simd.select_f32s(simd.greater_than_f32s(power, zero), zero, power);
                to.add(v).write_unaligned(exp2(simd, power));
            }
        }
    }
}

/// Turns probabilities into gradients of scores, from the gradients of the probabilities.
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
        // SAFETY: the caller's promise.
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
