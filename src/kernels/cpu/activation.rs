//! SiLU, GEGLU and the functions under them, written without branches so that the compiler can vectorise them.

#![expect(clippy::inline_always, reason = "a loop has the instruction set of the function it is inlined into")]

use rayon::prelude::*;

use super::vector::vectorised;

/// Numbers per task.
const CHUNK: usize = 1 << 14;

/// e^x to about 2 units in the last place for -87 <= x <= 88; outside, the value at the nearer end, or 0 below.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // x = n ln 2 + r with |r| <= ln 2 / 2; e^r by the Taylor series to the seventh power.
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the lowest bits.
    const MAGIC: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0))))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { p * power }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The distribution function of the normal distribution, (1 + erf(x / sqrt 2)) / 2, to 3e-7 absolute in f32
/// (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26), and e^(-x^2 / 2).
#[inline(always)]
fn normal_distribution(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let bell = exp(-z * z);
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let tail = 0.5 * t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4)))) * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

pub(super) fn silu(x: &[f32], y: &mut [f32]) {
    x.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK)).for_each(|(x, y)| {
        vectorised(|| x.iter().zip(y).for_each(|(x, y)| *y = x * sigmoid(*x)));
    });
}

pub(super) fn geglu(channels: usize, x: &[f32], y: &mut [f32]) {
    x.par_chunks(2 * channels).zip(y.par_chunks_mut(channels)).with_min_len(32).for_each(|(x, y)| {
        let (h, gate) = x.split_at(channels);
        vectorised(|| y.iter_mut().zip(h).zip(gate).for_each(|((y, h), gate)| *y = h * gate * normal_distribution(*gate).0));
    });
}

pub(super) fn geglu_backward(channels: usize, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let rows = x.par_chunks(2 * channels).zip(dy.par_chunks(channels)).zip(dx.par_chunks_mut(2 * channels));
    rows.with_min_len(32).for_each(|((x, dy), dx)| {
        let ((h, gate), (dh, dgate)) = (x.split_at(channels), dx.split_at_mut(channels));
        vectorised(|| {
            for ((((dh, dgate), h), gate), dy) in dh.iter_mut().zip(dgate).zip(h).zip(gate).zip(dy) {
                let (cumulative, bell) = normal_distribution(*gate);
                *dh = dy * gate * cumulative;
                // gelu' = Phi + x phi, with phi = e^(-x^2 / 2) / sqrt(2 pi).
                *dgate = dy * h * (cumulative + gate * bell * 0.398_942_3);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_its_whole_range() {
        for i in -8800..=8800 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            if x >= -87.0 {
                assert!((f64::from(exp(x)) / expected - 1.0).abs() < 5e-7, "exp({x}) = {}", exp(x));
            } else {
                assert_eq!(exp(x), 0.0);
            }
        }
        assert!(exp(f32::NAN).is_nan() && exp(f32::NEG_INFINITY) == 0.0);
    }

    #[test]
    fn normal_distribution_is_close() {
        for i in -800..=800 {
            let x = i as f32 / 100.0;
            let expected = 0.5 * (1.0 + libm::erf(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2));
            assert!((f64::from(normal_distribution(x).0) - expected).abs() < 3e-7, "at {x}");
        }
    }
}
