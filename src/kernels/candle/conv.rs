//! Convolutions as matrix products of gathered patches, some rows at a time.
//!
//! candle's own convolutions are not used: they want another layout, in f16 cuDNN adds in f16, their input gradient on CUDA is a naive kernel,
//! and on the CPU they have no bf16.

use std::sync::OnceLock;

use candle_core::{Result, Tensor};

use super::buffer::Buffer;
use super::dtype;
use super::gather::{GatherTable, Window, gather};
use crate::kernels::{Added, ConvShape, Format};

/// Weights (out, kernel, kernel, in) of a convolution.
#[derive(Debug)]
pub struct ConvWeight {
    values: Buffer,
    outputs: usize,
    taps: usize,
    inputs: usize,
    /// The weights as (kernel * kernel * out, in), made by the first backward pass.
    backward: OnceLock<Tensor>,
}

impl ConvWeight {
    pub(super) fn new(shape: &ConvShape, weight: &Buffer, format: Format) -> Self {
        let [outputs, inputs] = [shape.output[2], shape.input[2]];
        let taps = shape.kernel * shape.kernel;
        assert_eq!(
            weight.len(),
            outputs * taps * inputs,
            "one weight per output, tap and input"
        );
        Self {
            values: weight.converted(format, 1.0),
            outputs,
            taps,
            inputs,
            backward: OnceLock::new(),
        }
    }

    /// Returns the weights as (kernel * kernel * in, out).
    fn forward(&self) -> Result<Tensor> {
        self.values
            .shaped((self.outputs, self.taps * self.inputs))?
            .t()
    }

    /// Returns the weights as (kernel * kernel * out, in).
    fn backward(&self) -> Result<Tensor> {
        if let Some(weight) = self.backward.get() {
            return Ok(weight.clone());
        }
        let weight = self
            .values
            .shaped((self.outputs, self.taps, self.inputs))?
            .transpose(0, 1)?
            .contiguous()?
            .reshape((self.taps * self.outputs, self.inputs))?;
        Ok(self.backward.get_or_init(|| weight).clone())
    }
}

/// Whether every output pixel is a product of the input pixel at its place.
fn is_pointwise(shape: &ConvShape) -> bool {
    (shape.kernel, shape.stride, shape.pad) == (1, 1, 0)
}

/// Returns the product of the patches of `map` (pixels, channels) and `weight` (taps * channels, outputs).
fn patches_times(
    map: &Buffer,
    channels: usize,
    table: GatherTable,
    [rows, taps]: [usize; 2],
    weight: &Tensor,
) -> Result<Tensor> {
    let device = map.device();
    let map = map.shaped(((), channels))?;
    let at_once = device.values_per_chunk(taps * channels * map.dtype().size_in_bytes());
    let at_once = at_once.clamp(1, rows);
    let products = (0..rows).step_by(at_once).map(|first| {
        let last = rows.min(first + at_once);
        gather(device, table, taps, first..last, &map)?.matmul(weight)
    });
    let products = products.collect::<Result<Vec<Tensor>>>()?;
    Tensor::cat(&products, 0)
}

/// Computes y = convolution of x, plus `added`.
pub(super) fn conv(
    shape: &ConvShape,
    x: &Buffer,
    weight: &ConvWeight,
    added: Added<Buffer>,
    y: &mut Buffer,
) {
    let ([_, _, inputs], [height, width, outputs]) = (shape.input, shape.output);
    let rows = shape.batch * height * width;
    assert_eq!(
        weight.taps,
        shape.kernel * shape.kernel,
        "the weight has the kernel's size"
    );
    y.set(x.device().run(|| {
        let weight = weight.forward()?;
        let product = if is_pointwise(shape) {
            x.shaped((rows, inputs))?.matmul(&weight)?
        } else {
            let table = GatherTable::Patches(Window::of(shape));
            let taps = shape.kernel * shape.kernel;
            patches_times(x, inputs, table, [rows, taps], &weight)?
        };
        let mut y = product.reshape((shape.batch, height * width, outputs))?;
        if let Some(terms) = terms_per_picture(shape, added)? {
            y = y.broadcast_add(&terms.to_dtype(dtype(x.format()))?)?;
        }
        if let Some(residual) = added.residual {
            y = (y + residual.shaped((shape.batch, height * width, outputs))?)?;
        }
        Ok(y)
    }));
}

/// Returns bias + bias per picture as f32 (batch or 1, 1, channels).
fn terms_per_picture(shape: &ConvShape, added: Added<Buffer>) -> Result<Option<Tensor>> {
    let outputs = shape.output[2];
    let bias = added.bias.map(|bias| bias.in_f32((1, 1, outputs)));
    let per_picture = added
        .per_picture
        .map(|per_picture| per_picture.in_f32((shape.batch, 1, outputs)));
    Ok(match (bias.transpose()?, per_picture.transpose()?) {
        (Some(bias), Some(per_picture)) => Some(per_picture.broadcast_add(&bias)?),
        (bias, per_picture) => bias.or(per_picture),
    })
}

/// Computes dx of [`conv`].
pub(super) fn conv_backward(shape: &ConvShape, dy: &Buffer, weight: &ConvWeight, dx: &mut Buffer) {
    let ([height, width, inputs], outputs) = (shape.input, shape.output[2]);
    let rows = shape.batch * height * width;
    dx.set(dy.device().run(|| {
        if is_pointwise(shape) {
            let weight = weight.values.shaped((outputs, inputs))?;
            return dy.shaped((rows, outputs))?.matmul(&weight);
        }
        let table = GatherTable::Covering(Window::of(shape));
        let taps = shape.kernel * shape.kernel;
        patches_times(dy, outputs, table, [rows, taps], &weight.backward()?)
    }));
}
