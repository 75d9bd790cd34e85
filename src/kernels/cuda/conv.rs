//! Convolutions: by cuDNN where it supports them, otherwise as matrix products of unfolded patches.

use super::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Direction, Format, Gemm, MatrixView,
};
use super::linear::row_major;
use super::memory::Buffer;
use crate::kernels::{Added, ConvShape};

/// Maximum bytes of unfolded patches in memory at once.
const UNFOLD_BYTES: usize = 64 << 20;

/// Weights (out, kernel, kernel, in) of a convolution.
#[derive(Debug)]
pub struct ConvWeight {
    values: Buffer,
}

impl ConvWeight {
    pub(super) fn new(weight: &Buffer, format: Format) -> Self {
        Self {
            values: weight.converted(format, 1.0),
        }
    }
}

fn describe(shape: &ConvShape, direction: Direction, format: Format) -> Convolution {
    let ConvShape {
        batch,
        input,
        output,
        kernel,
        stride,
        pad,
    } = *shape;
    Convolution {
        direction,
        format,
        batch,
        input,
        output,
        kernel,
        stride,
        pad,
    }
}

/// Computes y = convolution of x, plus `added`.
pub(super) fn conv(
    shape: &ConvShape,
    x: &Buffer,
    weight: &ConvWeight,
    added: Added<Buffer>,
    y: &mut Buffer,
) {
    let gpu = x.gpu();
    assert_eq!(
        x.format(),
        weight.values.format(),
        "x and the weights have the same format"
    );
    let Added {
        bias,
        per_picture,
        residual,
    } = added;
    // cuDNN cannot add a term per picture; one kernel then adds all terms.
    let fused = per_picture.is_none();
    let fused_bias = bias
        .filter(|_| fused)
        .map(|bias| bias.as_format(y.format()).address());
    let fused_residual = residual.filter(|_| fused);
    let data = ConvolutionData {
        from: x.address(),
        weight: weight.values.address(),
        to: y.address(),
        bias: fused_bias,
        residual: fused_residual.map(Buffer::address),
    };
    let outcome = match gpu.convolution(&describe(shape, Direction::Forward, x.format()), &data) {
        ConvolutionOutcome::Unsupported => {
            conv_by_unfolding(shape, x, weight, [fused_bias, data.residual], y);
            ConvolutionOutcome::Full
        }
        outcome => outcome,
    };
    if !fused || outcome == ConvolutionOutcome::Partial {
        let channels = shape.output[2];
        let pixels = shape.output[0] * shape.output[1];
        let [bias, per_picture] =
            [bias, per_picture].map(|given| given.map(|given| given.as_format(Format::F32)));
        let len = y.len();
        let arguments = [
            (&*y).into(),
            bias.into(),
            per_picture.into(),
            residual.into(),
            channels.into(),
            pixels.into(),
            len.into(),
        ];
        if bias.is_some() || per_picture.is_some() || residual.is_some() {
            gpu.launch_elementwise(&format!("add_{}", y.format().name()), len, &arguments);
        }
    }
}

/// Multiplies patches by the weights, as many rows at a time as [`UNFOLD_BYTES`] allows.
fn conv_by_unfolding(
    shape: &ConvShape,
    x: &Buffer,
    weight: &ConvWeight,
    [bias, residual]: [Option<Address>; 2],
    y: &Buffer,
) {
    let ([height, width, channels], [out_height, out_width, outputs]) = (shape.input, shape.output);
    let (gpu, format) = (x.gpu(), x.format());
    let (patch, out_pixels) = (
        shape.kernel * shape.kernel * channels,
        out_height * out_width,
    );
    let all_rows = shape.batch * out_pixels;
    let rows_at_once = (UNFOLD_BYTES / (patch * format.bytes())).clamp(1, all_rows);
    let columns = Buffer::uninit(gpu, format, rows_at_once * patch);
    for first in (0..all_rows).step_by(rows_at_once) {
        let rows = rows_at_once.min(all_rows - first);
        let arguments = [
            x.into(),
            (&columns).into(),
            channels.into(),
            height.into(),
            width.into(),
            out_width.into(),
            shape.kernel.into(),
            shape.stride.into(),
            shape.pad.into(),
            out_pixels.into(),
            first.into(),
            rows.into(),
        ];
        gpu.launch_elementwise(
            &format!("unfold_{}", format.name()),
            rows * patch,
            &arguments,
        );
        let c = MatrixView {
            address: y.address_of(first * outputs),
            ..row_major(y, outputs)
        };
        gpu.gemm(&Gemm {
            rows,
            cols: outputs,
            inner: patch,
            batch: 1,
            alpha: 1.0,
            a: row_major(&columns, patch),
            a_transposed: false,
            b: row_major(&weight.values, patch),
            b_transposed: true,
            c,
            add: residual.map(|residual| {
                (
                    MatrixView {
                        address: residual.plus(first * outputs * format.bytes()),
                        ..c
                    },
                    1.0,
                )
            }),
            bias,
        });
    }
}

/// Computes dx of [`conv`].
pub(super) fn conv_backward(shape: &ConvShape, dy: &Buffer, weight: &ConvWeight, dx: &mut Buffer) {
    let gpu = dy.gpu();
    let data = ConvolutionData {
        from: dy.address(),
        weight: weight.values.address(),
        to: dx.address(),
        bias: None,
        residual: None,
    };
    if gpu.convolution(&describe(shape, Direction::Backward, dy.format()), &data)
        == ConvolutionOutcome::Unsupported
    {
        conv_backward_by_folding(shape, dy, weight, dx);
    }
}

/// Computes the gradients of all patches with one matrix product and sums them.
fn conv_backward_by_folding(shape: &ConvShape, dy: &Buffer, weight: &ConvWeight, dx: &mut Buffer) {
    let ([height, width, channels], [out_height, out_width, outputs]) = (shape.input, shape.output);
    let (gpu, format, patch) = (
        dy.gpu(),
        dy.format(),
        shape.kernel * shape.kernel * channels,
    );
    let rows = shape.batch * out_height * out_width;
    let columns = Buffer::uninit(gpu, format, rows * patch);
    gpu.gemm(&Gemm {
        rows,
        cols: patch,
        inner: outputs,
        batch: 1,
        alpha: 1.0,
        a: row_major(dy, outputs),
        a_transposed: false,
        b: row_major(&weight.values, patch),
        b_transposed: false,
        c: row_major(&columns, patch),
        add: None,
        bias: None,
    });
    let len = dx.len();
    let arguments = [
        (&columns).into(),
        dx.into(),
        channels.into(),
        height.into(),
        width.into(),
        out_height.into(),
        out_width.into(),
        shape.kernel.into(),
        shape.stride.into(),
        shape.pad.into(),
        len.into(),
    ];
    gpu.launch_elementwise(&format!("fold_{}", format.name()), len, &arguments);
}
