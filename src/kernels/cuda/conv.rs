//! Convolutions: by the library where it can, else as products of unfolded patches.

use super::driver::{
    Address, Convolution, ConvolutionData, Convolved, Direction, Format, Product, Stored,
};
use super::gpu::Gpu;
use super::linear::dense;
use super::memory::Buffer;
use crate::kernels::{Added, ConvShape};

/// Bytes of patches that are unfolded at once.
const UNFOLDED: usize = 64 << 20;

/// The weights (out, kernel, kernel, in) of a convolution.
#[derive(Debug)]
pub struct ConvWeight {
    numbers: Buffer,
}

impl ConvWeight {
    pub(super) fn new(weight: &Buffer, format: Format) -> Self {
        Self {
            numbers: weight.converted(format, 1.0),
        }
    }
}

fn described(shape: &ConvShape, direction: Direction, format: Format) -> Convolution {
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

fn convolution(gpu: &Gpu, shape: &Convolution, data: &ConvolutionData) -> Convolved {
    gpu.call(|driver| driver.convolution(shape, data))
}

/// y = convolution of x, plus what is added.
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
        weight.numbers.format(),
        "one format for pictures and weights"
    );
    let Added {
        bias,
        per_picture,
        residual,
    } = added;
    // What differs from picture to picture is more than a library adds; then one pass adds all.
    let fused = per_picture.is_none();
    let fused_bias = bias
        .filter(|_| fused)
        .map(|bias| bias.stored_as(y.format()).address());
    let fused_residual = residual.filter(|_| fused);
    let data = ConvolutionData {
        from: x.address(),
        weight: weight.numbers.address(),
        to: y.address(),
        bias: fused_bias,
        residual: fused_residual.map(Buffer::address),
    };
    let convolved = match convolution(
        gpu,
        &described(shape, Direction::Forward, x.format()),
        &data,
    ) {
        Convolved::Not => {
            unfolded(shape, x, weight, [fused_bias, data.residual], y);
            Convolved::Whole
        }
        convolved => convolved,
    };
    if !fused || convolved == Convolved::Bare {
        let channels = shape.output[2];
        let pixels = shape.output[0] * shape.output[1];
        let [bias, per_picture] =
            [bias, per_picture].map(|given| given.map(|given| given.stored_as(Format::F32)));
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
            gpu.spread(&format!("add_{}", y.format().name()), len, &arguments);
        }
    }
}

/// The convolution as products of patches with the weights, as many rows at a time as memory allows.
fn unfolded(
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
    let all = shape.batch * out_pixels;
    let at_once = (UNFOLDED / (patch * format.bytes())).clamp(1, all);
    let columns = Buffer::uninit(gpu, format, at_once * patch);
    for first in (0..all).step_by(at_once) {
        let rows = at_once.min(all - first);
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
        gpu.spread(
            &format!("unfold_{}", format.name()),
            rows * patch,
            &arguments,
        );
        let c = Stored {
            address: y.at(first * outputs),
            ..dense(y, outputs)
        };
        gpu.product(&Product {
            rows,
            cols: outputs,
            inner: patch,
            batch: 1,
            alpha: 1.0,
            a: dense(&columns, patch),
            a_transposed: false,
            b: dense(&weight.numbers, patch),
            b_transposed: true,
            c,
            add: residual.map(|residual| {
                (
                    Stored {
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

/// dx of [`conv`].
pub(super) fn conv_backward(shape: &ConvShape, dy: &Buffer, weight: &ConvWeight, dx: &mut Buffer) {
    let gpu = dy.gpu();
    let data = ConvolutionData {
        from: dy.address(),
        weight: weight.numbers.address(),
        to: dx.address(),
        bias: None,
        residual: None,
    };
    if convolution(
        gpu,
        &described(shape, Direction::Backward, dy.format()),
        &data,
    ) == Convolved::Not
    {
        folded(shape, dy, weight, dx);
    }
}

/// The gradients of all patches by one product, and their sums.
fn folded(shape: &ConvShape, dy: &Buffer, weight: &ConvWeight, dx: &mut Buffer) {
    let ([height, width, channels], [out_height, out_width, outputs]) = (shape.input, shape.output);
    let (gpu, format, patch) = (
        dy.gpu(),
        dy.format(),
        shape.kernel * shape.kernel * channels,
    );
    let rows = shape.batch * out_height * out_width;
    let columns = Buffer::uninit(gpu, format, rows * patch);
    gpu.product(&Product {
        rows,
        cols: patch,
        inner: outputs,
        batch: 1,
        alpha: 1.0,
        a: dense(dy, outputs),
        a_transposed: false,
        b: dense(&weight.numbers, patch),
        b_transposed: false,
        c: dense(&columns, patch),
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
    gpu.spread(&format!("fold_{}", format.name()), len, &arguments);
}
