//! SiLU and GEGLU, and the functions that they consist of.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

use pulp::Simd;
use rayon::prelude::*;

use super::vector::{Vector, map, vectorised};
use super::{GRAIN, chunks_per_task};

/// Returns 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(x: Vector<S>) -> Vector<S> {
    // The exponential overflows beyond 88.
    Vector::splat(x.simd(), 1.0) / (((-x).at_most(87.0) * LOG2_E).exp2() + 1.0)
}

/// Returns the derivative of SiLU at z.
#[inline(always)]
pub(super) fn silu_derivative<S: Simd>(z: Vector<S>) -> Vector<S> {
    let s = sigmoid(z);
    s + z * s * (Vector::splat(z.simd(), 1.0) - s)
}

/// Returns the standard normal distribution function (1 + erf(x / sqrt 2)) / 2, to 3e-7 absolute in f32 (Abramowitz and Stegun, Handbook
/// of Mathematical Functions, 7.1.26), and e^(-x^2 / 2).
#[inline(always)]
fn normal_distribution<S: Simd>(x: Vector<S>) -> [Vector<S>; 2] {
    let one = Vector::splat(x.simd(), 1.0);
    let z = x.abs() * FRAC_1_SQRT_2;
    let bell = (-(z * z) * LOG2_E).exp2();
    let t = one / (z * 0.327_591_1 + 1.0);
    let mut p = Vector::splat(x.simd(), 1.061_405_4);
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = p.mul_add(t, coefficient);
    }
    let tail = t * p * bell * 0.5;
    [x.choose(0.0, tail, one - tail), bell]
}

vectorised! {
    fn silu_chunk<'a>(simd, x: &'a [f32], y: &'a mut [f32]) {
        map(simd, [x], [y], |[x]| [x * sigmoid(x)]);
    }
}

pub(super) fn silu(x: &[f32], y: &mut [f32]) {
    x.par_chunks(GRAIN)
        .zip(y.par_chunks_mut(GRAIN))
        .for_each(|(x, y)| silu_chunk(x, y));
}

vectorised! {
    fn silu_backward_chunk<'a>(simd, x: &'a [f32], dy: &'a [f32], dx: &'a mut [f32]) {
        map(simd, [x, dy], [dx], |[x, dy]| [dy * silu_derivative(x)]);
    }
}

pub(super) fn silu_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let inputs = x.par_chunks(GRAIN).zip(dy.par_chunks(GRAIN));
    inputs
        .zip(dx.par_chunks_mut(GRAIN))
        .for_each(|((x, dy), dx)| silu_backward_chunk(x, dy, dx));
}

vectorised! {
    /// [`geglu`] of some rows.
    fn geglu_rows<'a>(simd, channels: usize, x: &'a [f32], y: &'a mut [f32]) {
        for (x, y) in x.chunks_exact(2 * channels).zip(y.chunks_exact_mut(channels)) {
            let (h, gate) = x.split_at(channels);
            map(simd, [h, gate], [y], |[h, gate]| [h * gate * normal_distribution(gate)[0]]);
        }
    }
}

pub(super) fn geglu(channels: usize, x: &[f32], y: &mut [f32]) {
    let rows = chunks_per_task(channels);
    x.par_chunks(2 * channels * rows)
        .zip(y.par_chunks_mut(channels * rows))
        .for_each(|(x, y)| geglu_rows(channels, x, y));
}

vectorised! {
    /// [`geglu_backward`] of some rows.
    fn geglu_backward_rows<'a>(simd, channels: usize, x: &'a [f32], dy: &'a [f32], dx: &'a mut [f32]) {
        for ((x, dy), dx) in x.chunks_exact(2 * channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(2 * channels)) {
            let ((h, gate), (dh, dgate)) = (x.split_at(channels), dx.split_at_mut(channels));
            map(simd, [h, gate, dy], [dh, dgate], |[h, gate, dy]| {
                let [cumulative, bell] = normal_distribution(gate);
                // gelu' = Phi + x phi, with phi = e^(-x^2 / 2) / sqrt(2 pi).
                [dy * gate * cumulative, dy * h * (cumulative + gate * bell * 0.398_942_3)]
            });
        }
    }
}

pub(super) fn geglu_backward(channels: usize, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let rows = chunks_per_task(channels);
    let parts = x
        .par_chunks(2 * channels * rows)
        .zip(dy.par_chunks(channels * rows))
        .zip(dx.par_chunks_mut(2 * channels * rows));
    parts.for_each(|((x, dy), dx)| geglu_backward_rows(channels, x, dy, dx));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns x and function(x) for many x in -range..=range, after checking that NaN gives NaN.
    fn table(range: f32, function: impl Fn(&[f32], &mut [f32])) -> Vec<(f32, f32)> {
        let x: Vec<f32> = (-1000..=1000)
            .map(|i| i as f32 / 1000.0 * range)
            .chain([f32::NAN])
            .collect();
        let mut y = vec![0.0; x.len()];
        function(&x, &mut y);
        assert!(y[x.len() - 1].is_nan(), "NaN gives NaN");
        x.into_iter().zip(y).take(2001).collect()
    }

    #[test]
    fn silu_is_accurate_over_its_whole_range() {
        for (x, y) in [3.0, 30.0, 300.0]
            .into_iter()
            .flat_map(|range| table(range, silu))
        {
            let expected = f64::from(x) / (1.0 + (-f64::from(x)).exp());
            // The rounding of the exponent grows with x.
            let tolerance = 1e-7 * f64::from(x.abs()).max(10.0);
            assert!(
                (f64::from(y) - expected).abs() <= tolerance * expected.abs() + 1e-30,
                "silu({x}) = {y}, not {expected}"
            );
        }
    }

    #[test]
    fn gelu_is_accurate() {
        let gelu = |x: &[f32], y: &mut [f32]| {
            let rows: Vec<f32> = x.iter().flat_map(|x| [1.0, *x]).collect();
            geglu(1, &rows, y);
        };
        for (x, y) in table(8.0, gelu) {
            let expected = f64::from(x)
                * 0.5
                * (1.0 + libm::erf(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2));
            assert!(
                (f64::from(y) - expected).abs() < 3e-7 * f64::from(x.abs()).max(1.0),
                "gelu({x}) = {y}, not {expected}"
            );
        }
    }
}
