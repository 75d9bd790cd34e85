//! Loops over slices, a vector at a time.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use std::slice::{from_raw_parts, from_raw_parts_mut};

use pulp::Simd;

use super::Vector;

/// Loads `count` values, at most a vector, and zeros in the remaining lanes.
///
/// # Safety
/// `count` values can be read at `from`.
#[inline(always)]
pub(in super::super) unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::f32s {
    // SAFETY: the caller guarantees it.
    unsafe {
        if count == S::F32_LANES {
            from.cast::<S::f32s>().read_unaligned()
        } else {
            simd.partial_load_f32s(from_raw_parts(from, count))
        }
    }
}

/// Stores the first `count` lanes, at most a vector.
///
/// # Safety
/// `count` values can be written at `to`.
#[inline(always)]
pub(in super::super) unsafe fn store<S: Simd>(
    simd: S,
    to: *mut f32,
    count: usize,
    values: S::f32s,
) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if count == S::F32_LANES {
            to.cast::<S::f32s>().write_unaligned(values);
        } else {
            simd.partial_store_f32s(from_raw_parts_mut(to, count), values);
        }
    }
}

/// Loads `values[at..at + count]`, at most a vector.
///
/// # Safety
/// The range lies inside `values`.
#[inline(always)]
unsafe fn vector<S: Simd>(simd: S, values: &[f32], at: usize, count: usize) -> Vector<S> {
    // SAFETY: the caller guarantees it.
    let x = unsafe { load(simd, values.as_ptr().add(at), count) };
    Vector { simd, x }
}

/// Writes `outputs` = terms(`inputs`), value by value. All slices have one length.
#[inline(always)]
pub(in super::super) fn map<S: Simd, const N: usize, const M: usize>(
    simd: S,
    inputs: [&[f32]; N],
    mut outputs: [&mut [f32]; M],
    terms: impl Fn([Vector<S>; N]) -> [Vector<S>; M],
) {
    let len = inputs[0].len();
    assert!(
        inputs.iter().all(|input| input.len() == len)
            && outputs.iter().all(|output| output.len() == len),
        "operands have one length"
    );
    for at in (0..len).step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(len - at);
        let mut x = [Vector::splat(simd, 0.0); N];
        // SAFETY: all slices have `len` values, and at + count <= len.
        unsafe {
            for (x, input) in x.iter_mut().zip(&inputs) {
                *x = vector(simd, input, at, count);
            }
            let results = terms(x);
            for (output, result) in outputs.iter_mut().zip(results) {
                store(simd, output.as_mut_ptr().add(at), count, result.x);
            }
        }
    }
}

/// Updates `outputs` = terms(`outputs`, `inputs`), value by value. All slices have one length.
#[inline(always)]
pub(in super::super) fn update<S: Simd, const N: usize, const M: usize>(
    simd: S,
    inputs: [&[f32]; N],
    mut outputs: [&mut [f32]; M],
    terms: impl Fn([Vector<S>; M], [Vector<S>; N]) -> [Vector<S>; M],
) {
    let len = inputs[0].len();
    assert!(
        inputs.iter().all(|input| input.len() == len)
            && outputs.iter().all(|output| output.len() == len),
        "operands have one length"
    );
    for at in (0..len).step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(len - at);
        let (mut y, mut x) = ([Vector::splat(simd, 0.0); M], [Vector::splat(simd, 0.0); N]);
        // SAFETY: all slices have `len` values, and at + count <= len.
        unsafe {
            for (y, output) in y.iter_mut().zip(&outputs) {
                *y = vector(simd, output, at, count);
            }
            for (x, input) in x.iter_mut().zip(&inputs) {
                *x = vector(simd, input, at, count);
            }
            let results = terms(y, x);
            for (output, result) in outputs.iter_mut().zip(results) {
                store(simd, output.as_mut_ptr().add(at), count, result.x);
            }
        }
    }
}

/// Returns the sums of terms(`inputs`) over all values. All slices have one length.
#[inline(always)]
pub(in super::super) fn sums<S: Simd, const N: usize, const M: usize>(
    simd: S,
    inputs: [&[f32]; N],
    terms: impl Fn([Vector<S>; N]) -> [Vector<S>; M],
) -> [f32; M] {
    let len = inputs[0].len();
    assert!(
        inputs.iter().all(|input| input.len() == len),
        "operands have one length"
    );
    let mut totals = [simd.splat_f32s(0.0); M];
    for at in (0..len).step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(len - at);
        let mut x = [Vector::splat(simd, 0.0); N];
        for (x, input) in x.iter_mut().zip(&inputs) {
            // SAFETY: all slices have `len` values, and at + count <= len.
            *x = unsafe { vector(simd, input, at, count) };
        }
        for (total, result) in totals.iter_mut().zip(terms(x)) {
            // Vector behind the last value do not count.
            let counted = simd.mask_between_m32s(0, count as u32).mask();
            let term = if count == S::F32_LANES {
                result.x
            } else {
                simd.select_f32s(counted, result.x, simd.splat_f32s(0.0))
            };
            *total = simd.add_f32s(*total, term);
        }
    }
    totals.map(|total| simd.reduce_sum_f32s(total))
}
