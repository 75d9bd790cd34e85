//! Linear layers and other matrix products.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::buffer::Buffer;
use super::dtype;
use crate::kernels::{Format, Matrix};

/// Weights (out, in) of a linear layer.
#[derive(Debug)]
pub struct LinearWeight {
    values: Buffer,
    outputs: usize,
    inputs: usize,
}

impl LinearWeight {
    pub(super) fn new(outputs: usize, inputs: usize, weight: &Buffer, format: Format) -> Self {
        assert_eq!(
            weight.len(),
            outputs * inputs,
            "one weight per input and output"
        );
        Self {
            values: weight.converted(format, 1.0),
            outputs,
            inputs,
        }
    }

    /// Returns W + up down, summed in f32 and rounded once.
    pub(super) fn merged(&self, up: Matrix<Buffer>, down: Matrix<Buffer>) -> Self {
        let Self {
            outputs, inputs, ..
        } = *self;
        let device = self.values.device();
        let mut values = Buffer::uninit(device, self.values.format(), self.values.len());
        values.set(device.run(|| {
            let product = view(&up)?.matmul(&view(&down)?)?;
            let sum = (self.values.in_f32((outputs, inputs))? + product)?;
            sum.to_dtype(dtype(self.values.format()))
        }));
        Self {
            values,
            outputs,
            inputs,
        }
    }

    /// Returns W (out, in) in the format of x. Activations are f32 in a compact network only where they are small.
    fn values(&self, format: DType) -> Result<Tensor> {
        self.values
            .shaped((self.outputs, self.inputs))?
            .to_dtype(format)
    }
}

/// Views a matrix with dense rows, or the transpose of one. The rows may be a part of those of a wider matrix, of which a copy is made then.
fn view(matrix: &Matrix<Buffer>) -> Result<Tensor> {
    let Matrix { buffer, offset, .. } = *matrix;
    let is_transposed = matrix.col_stride != 1;
    let [rows, cols, stride, step] = if is_transposed {
        [
            matrix.cols,
            matrix.rows,
            matrix.col_stride,
            matrix.row_stride,
        ]
    } else {
        [
            matrix.rows,
            matrix.cols,
            matrix.row_stride,
            matrix.col_stride,
        ]
    };
    assert!(
        (step == 1 || cols == 1) && (stride >= cols || rows == 1),
        "the rows of the matrix or of its transpose are dense"
    );
    let view = if stride == cols || rows == 1 {
        let values = buffer.values()?.narrow(0, offset, rows * cols)?;
        values.reshape((rows, cols))?
    } else {
        // The offset is in the first row of the wider matrix.
        let first = offset % stride;
        let wide = buffer.values()?.narrow(0, offset - first, rows * stride)?;
        let part = wide.reshape((rows, stride))?.narrow(1, first, cols)?;
        part.contiguous()?
    };
    if is_transposed { view.t() } else { Ok(view) }
}

/// Views rows of a matrix with rows of `cols` values.
fn rows_of(buffer: &Buffer, rows: &Range<usize>, cols: usize) -> Result<Tensor> {
    buffer
        .values()?
        .narrow(0, rows.start * cols, rows.len() * cols)?
        .reshape((rows.len(), cols))
}

/// Computes these rows of y (.., out) = x W^T + bias + residual.
pub(super) fn linear(
    rows: &Range<usize>,
    x: &Buffer,
    weight: &LinearWeight,
    bias: Option<&Buffer>,
    residual: Option<&Buffer>,
    y: &mut Buffer,
) {
    if rows.is_empty() {
        return;
    }
    let LinearWeight {
        outputs, inputs, ..
    } = *weight;
    let format = dtype(x.format());
    let result = x.device().run(|| {
        let x = rows_of(x, rows, inputs)?;
        let mut y = x.matmul(&weight.values(format)?.t()?)?;
        if let Some(bias) = bias {
            y = y.broadcast_add(&bias.parameter(format)?)?;
        }
        if let Some(residual) = residual {
            y = (y + rows_of(residual, rows, outputs)?)?;
        }
        Ok(y)
    });
    y.patch(rows.start * outputs, &result);
}

/// Computes these rows of dx (.., in) = dy W, plus dx if `add`.
pub(super) fn linear_backward(
    rows: &Range<usize>,
    dy: &Buffer,
    weight: &LinearWeight,
    add: bool,
    dx: &mut Buffer,
) {
    if rows.is_empty() {
        return;
    }
    let LinearWeight {
        outputs, inputs, ..
    } = *weight;
    let result = dy.device().run(|| {
        let dy = rows_of(dy, rows, outputs)?;
        let product = dy.matmul(&weight.values(dy.dtype())?)?;
        if add {
            product + rows_of(dx, rows, inputs)?
        } else {
            Ok(product)
        }
    });
    dx.patch(rows.start * inputs, &result);
}

/// Computes c = factor * a b, plus c if `add`, with c starting at value `offset` of its buffer.
pub(super) fn matmul(
    factor: f32,
    a: Matrix<Buffer>,
    b: Matrix<Buffer>,
    add: bool,
    c: &mut Buffer,
    offset: usize,
) {
    let (rows, cols) = (a.rows, b.cols);
    if rows * cols == 0 {
        return;
    }
    // Factors are rounded to the compact format if one has it. The product is f32 unless everything is compact.
    let compact = [a.buffer.format(), b.buffer.format()]
        .into_iter()
        .find(|format| *format != Format::F32);
    let product = compact.map_or(Format::F32, |_| c.format());
    let compact = compact.unwrap_or(Format::F32);
    let result = a.buffer.device().run(|| {
        let [a, b] = [view(&a)?, view(&b)?]
            .map(|matrix| matrix.to_dtype(dtype(compact))?.to_dtype(dtype(product)));
        let mut c_new = a?.matmul(&b?)?;
        if factor != 1.0 {
            c_new = c_new.affine(f64::from(factor), 0.0)?;
        }
        if add {
            let old = c.values()?.narrow(0, offset, rows * cols)?;
            c_new = (c_new + old.reshape((rows, cols))?.to_dtype(dtype(product))?)?;
        }
        c_new.to_dtype(dtype(c.format()))
    });
    c.patch(offset, &result);
}
