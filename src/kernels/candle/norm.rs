//! Group and layer normalisation, in f32.

use candle_core::{D, Result, Tensor};

use super::activation::{sigmoid, silu_slope};
use super::buffer::Buffer;
use super::dtype;
use crate::kernels::GroupShape;

/// Maximum rows that one product with ones sums.
const ROWS_PER_SUM: usize = 256;

/// Returns the sums (batch, channels) of x (batch, rows, channels) over its rows, as products with ones: candle's reductions over a dimension
/// other than the last read memory in strides. Many rows are summed in two steps, for accuracy.
fn column_sums(x: &Tensor) -> Result<Tensor> {
    let (batch, rows, channels) = x.dims3()?;
    // The largest power of two that divides the rows.
    let part = (1 << rows.trailing_zeros()).min(ROWS_PER_SUM);
    if part > 1 && rows > ROWS_PER_SUM {
        let parts = rows / part;
        let sums = ones_times(&x.reshape((batch * parts, part, channels))?)?;
        return column_sums(&sums.reshape((batch, parts, channels))?);
    }
    ones_times(x)
}

/// Returns ones (1, rows) times x (batch, rows, channels) as (batch, channels).
fn ones_times(x: &Tensor) -> Result<Tensor> {
    let (batch, rows, channels) = x.dims3()?;
    let ones = Tensor::ones((batch, 1, rows), x.dtype(), x.device())?;
    ones.matmul(x)?.reshape((batch, channels))
}

/// Returns the means (batch, groups) of x (batch, pixels, channels) over the pixels and channels of a group.
fn group_means(shape: &GroupShape, x: &Tensor) -> Result<Tensor> {
    let size = shape.channels / shape.groups;
    let sums = column_sums(x)?.reshape((shape.batch, shape.groups, size))?;
    sums.sum(D::Minus1)? / (shape.pixels * size) as f64
}

/// Repeats x (batch, groups) for all channels of a group, as (batch, 1, channels).
fn per_channel(shape: &GroupShape, x: &Tensor) -> Result<Tensor> {
    let size = shape.channels / shape.groups;
    x.reshape((shape.batch, shape.groups, 1))?
        .broadcast_as((shape.batch, shape.groups, size))?
        .contiguous()?
        .reshape((shape.batch, 1, shape.channels))
}

/// y = weight * (x - mean) / deviation + bias, then SiLU if `silu`. `stats` receives the mean and the inverse standard deviation of every
/// group.
pub(super) fn group_norm(
    shape: &GroupShape,
    x: &Buffer,
    [weight, bias]: [&Buffer; 2],
    silu: bool,
    stats: &mut Buffer,
    y: &mut Buffer,
) {
    let GroupShape {
        batch,
        pixels,
        channels,
        eps,
        ..
    } = *shape;
    let [moments, output] = x.device().run(|| {
        let values = x.in_f32((batch, pixels, channels))?;
        let mean = group_means(shape, &values)?;
        let centred = values.broadcast_sub(&per_channel(shape, &mean)?)?;
        drop(values);
        let variance = group_means(shape, &centred.sqr()?)?;
        let inverse = (variance + f64::from(eps))?.sqrt()?.recip()?;
        let scale =
            per_channel(shape, &inverse)?.broadcast_mul(&weight.in_f32((1, 1, channels))?)?;
        let scaled = centred.broadcast_mul(&scale)?;
        drop(centred);
        let z = scaled.broadcast_add(&bias.in_f32((1, 1, channels))?)?;
        drop(scaled);
        let y = if silu { z.silu()? } else { z };
        Ok([
            Tensor::stack(&[mean, inverse], 2)?,
            y.to_dtype(dtype(x.format()))?,
        ])
    });
    stats.set(moments);
    y.set(output);
}

/// Computes dx of [`group_norm`], plus `residual`.
pub(super) fn group_norm_backward(
    shape: &GroupShape,
    [x, dy]: [&Buffer; 2],
    [weight, bias]: [&Buffer; 2],
    silu: bool,
    stats: &Buffer,
    residual: Option<&Buffer>,
    dx: &mut Buffer,
) {
    let GroupShape {
        batch,
        pixels,
        channels,
        groups,
        ..
    } = *shape;
    let all = (batch, pixels, channels);
    dx.set(x.device().run(|| {
        let moments = stats.shaped((batch, groups, 2))?;
        let [mean, inverse] =
            [0, 1].map(|which| per_channel(shape, &moments.narrow(2, which, 1)?.contiguous()?));
        let inverse = inverse?;
        let weight = weight.in_f32((1, 1, channels))?;
        let normalised = x
            .in_f32(all)?
            .broadcast_sub(&mean?)?
            .broadcast_mul(&inverse)?;
        let mut gradient = dy.in_f32(all)?;
        if silu {
            let z = normalised
                .broadcast_mul(&weight)?
                .broadcast_add(&bias.in_f32((1, 1, channels))?)?;
            gradient = (gradient * silu_slope(&z, &sigmoid(&z)?)?)?;
        }
        let gradient = gradient.broadcast_mul(&weight)?;
        let mean = group_means(shape, &gradient)?;
        let correlation = group_means(shape, &(&gradient * &normalised)?)?;
        let along = normalised.broadcast_mul(&per_channel(shape, &correlation)?)?;
        drop(normalised);
        let rest = (gradient - along)?.broadcast_sub(&per_channel(shape, &mean)?)?;
        let dx = rest.broadcast_mul(&inverse)?;
        drop(rest);
        plus(dx, residual)?.to_dtype(dtype(x.format()))
    }));
}

/// Returns x + residual, in f32.
fn plus(x: Tensor, residual: Option<&Buffer>) -> Result<Tensor> {
    match residual {
        Some(residual) => {
            let residual = residual.in_f32(x.dims())?;
            x + residual
        }
        None => Ok(x),
    }
}

/// Returns the means of rows.
fn row_means(x: &Tensor, channels: usize) -> Result<Tensor> {
    x.sum_keepdim(D::Minus1)? / channels as f64
}

/// Returns (x - mean) / deviation, and 1 / deviation, of rows of `channels` values.
fn normalised_rows(channels: usize, eps: f32, x: &Buffer) -> Result<[Tensor; 2]> {
    let x = x.in_f32(((), channels))?;
    let centred = x.broadcast_sub(&row_means(&x, channels)?)?;
    drop(x);
    let variance = row_means(&centred.sqr()?, channels)?;
    let inverse = (variance + f64::from(eps))?.sqrt()?.recip()?;
    Ok([centred.broadcast_mul(&inverse)?, inverse])
}

/// Normalises every row of `channels` values.
pub(super) fn layer_norm(
    channels: usize,
    eps: f32,
    x: &Buffer,
    [weight, bias]: [&Buffer; 2],
    y: &mut Buffer,
) {
    y.set(x.device().run(|| {
        let [normalised, _] = normalised_rows(channels, eps, x)?;
        normalised
            .broadcast_mul(&weight.in_f32((1, channels))?)?
            .broadcast_add(&bias.in_f32((1, channels))?)?
            .to_dtype(dtype(x.format()))
    }));
}

/// Computes dx of [`layer_norm`], plus `residual`.
pub(super) fn layer_norm_backward(
    channels: usize,
    eps: f32,
    [x, dy]: [&Buffer; 2],
    weight: &Buffer,
    residual: Option<&Buffer>,
    dx: &mut Buffer,
) {
    dx.set(x.device().run(|| {
        let [normalised, inverse] = normalised_rows(channels, eps, x)?;
        let gradient = dy
            .in_f32(((), channels))?
            .broadcast_mul(&weight.in_f32((1, channels))?)?;
        let mean = row_means(&gradient, channels)?;
        let correlation = row_means(&(&gradient * &normalised)?, channels)?;
        let along = normalised.broadcast_mul(&correlation)?;
        drop(normalised);
        let dx = (gradient - along)?
            .broadcast_sub(&mean)?
            .broadcast_mul(&inverse)?;
        plus(dx, residual)?.to_dtype(dtype(x.format()))
    }));
}
