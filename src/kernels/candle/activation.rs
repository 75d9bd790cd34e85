//! SiLU and GEGLU with their gradients, in f32.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use candle_core::{Result, Tensor};

use super::buffer::Buffer;
use super::dtype;

/// Returns 1 / (1 + exp(-x)).
pub(super) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}

/// Returns the derivative of SiLU at x, where `sigmoid` is that of x: s (1 + x (1 - s)).
pub(super) fn silu_slope(x: &Tensor, sigmoid: &Tensor) -> Result<Tensor> {
    let rest = sigmoid.affine(-1.0, 1.0)?;
    sigmoid * ((x * rest)? + 1.0)?
}

pub(super) fn silu(x: &Buffer, y: &mut Buffer) {
    y.set(
        x.device()
            .run(|| x.in_f32(x.len())?.silu()?.to_dtype(dtype(x.format()))),
    );
}

pub(super) fn silu_backward(x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
    dx.set(x.device().run(|| {
        let x32 = x.in_f32(x.len())?;
        let slope = silu_slope(&x32, &sigmoid(&x32)?)?;
        (dy.in_f32(x.len())? * slope)?.to_dtype(dtype(x.format()))
    }));
}

/// Returns the halves (rows, channels) of x (rows, 2 * channels), in f32.
fn halves(channels: usize, x: &Buffer) -> Result<[Tensor; 2]> {
    let x = x.in_f32(((), 2 * channels))?;
    let [h, gate] = [0, channels].map(|first| x.narrow(1, first, channels)?.contiguous());
    Ok([h?, gate?])
}

/// Returns the normal distribution's cumulative distribution function, (1 + erf(x / sqrt 2)) / 2.
fn normal_cdf(x: &Tensor) -> Result<Tensor> {
    (x * FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)
}

/// y = h * GELU(gate), with x (rows, 2 * channels) = (h, gate).
pub(super) fn geglu(channels: usize, x: &Buffer, y: &mut Buffer) {
    y.set(x.device().run(|| {
        let [h, gate] = halves(channels, x)?;
        let gelu = (&gate * normal_cdf(&gate)?)?;
        (h * gelu)?.to_dtype(dtype(x.format()))
    }));
}

/// dh = dy GELU(gate); dgate = dy h (cdf(gate) + gate pdf(gate)).
pub(super) fn geglu_backward(channels: usize, x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
    dx.set(x.device().run(|| {
        let [h, gate] = halves(channels, x)?;
        let dy = dy.in_f32(((), channels))?;
        let cdf = normal_cdf(&gate)?;
        let pdf = (gate.sqr()?.affine(-0.5, 0.0)?.exp()? * (1.0 / (2.0 * PI).sqrt()))?;
        let dh = (&dy * (&gate * &cdf)?)?;
        let slope = (cdf + (gate * pdf)?)?;
        let dgate = ((dy * h)? * slope)?;
        Tensor::cat(&[dh, dgate], 1)?.to_dtype(dtype(x.format()))
    }));
}
