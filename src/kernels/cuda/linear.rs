//! Linear layers and other matrix products.

use std::ops::Range;

use super::driver::{Address, Format, Gemm, MatrixView};
use super::gpu::THREADS;
use super::memory::{Buffer, Planes};
use crate::kernels::Matrix;

/// Rows of f32 input up to which a kernel replaces the library call. The timestep embedding has so
/// few.
const MAX_KERNEL_ROWS: usize = 8;

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

    /// Copies weights of one shape into one allocation.
    pub(super) fn stacked<const N: usize>(weights: [&Self; N]) -> [Self; N] {
        let first = &weights[0].values;
        let planes = Planes::uninit(first.gpu(), first.format(), first.len(), N);
        std::array::from_fn(|index| {
            let copy = weights[index].with(planes.plane(index));
            weights[index].values.copy_to(&copy.values);
            copy
        })
    }

    /// Returns a layer of the same shape with other weights.
    pub(super) fn with(&self, values: Buffer) -> Self {
        assert_eq!(values.len(), self.values.len(), "as many weights");
        Self { values, ..*self }
    }

    /// Returns the weights (out, in).
    pub(super) fn values(&self) -> &Buffer {
        &self.values
    }

    /// Views the weights as a matrix (out, in).
    pub(super) fn view(&self) -> MatrixView {
        row_major(&self.values, self.inputs)
    }

    /// Returns W + up down. The product is summed in f32 and rounded once.
    pub(super) fn merged(&self, up: Matrix<Buffer>, down: Matrix<Buffer>) -> Self {
        let format = self.values.format();
        let merged = Buffer::uninit(self.values.gpu(), format, self.values.len());
        let c = row_major(&merged, self.inputs);
        let product = product(1.0, up, down, Some((self.view(), 1.0)), format, c);
        merged.gpu().gemm(&product);
        self.with(merged)
    }
}

/// Views a whole buffer as a matrix with rows of `cols` values.
pub(super) fn row_major(buffer: &Buffer, cols: usize) -> MatrixView {
    MatrixView {
        address: buffer.address(),
        format: buffer.format(),
        stride: cols,
        batch_stride: 0,
    }
}

/// Views the rows of a buffer from `first` on as a matrix with rows of `cols` values.
fn rows_from(buffer: &Buffer, first: usize, cols: usize) -> MatrixView {
    MatrixView {
        address: buffer.address_of(first * cols),
        ..row_major(buffer, cols)
    }
}

/// Computes these rows of y (.., out) = x W^T + bias + residual.
pub(super) fn linear(
    rows: Range<usize>,
    x: &Buffer,
    weight: &LinearWeight,
    bias: Option<&Buffer>,
    residual: Option<&Buffer>,
    y: &mut Buffer,
) {
    let LinearWeight {
        values,
        outputs,
        inputs,
    } = weight;
    let gpu = x.gpu();
    if needs_kernel(&rows, x, weight) {
        let (first, rows) = (rows.start, rows.len());
        let kernel = format!("linear_rows_{}", values.format().name());
        let bias = bias.map(|bias| bias.as_format(Format::F32));
        let residual = residual.map_or(Address::NULL, |residual| {
            residual.as_format(Format::F32).address_of(first * outputs)
        });
        assert!(
            [x.format(), y.format()] == [Format::F32; 2],
            "this kernel reads and writes f32"
        );
        let blocks = gpu.grid_size(rows * outputs, THREADS as usize / 32);
        let arguments = [
            x.address_of(first * inputs).into(),
            values.into(),
            bias.into(),
            residual.into(),
            y.address_of(first * outputs).into(),
            rows.into(),
            (*inputs).into(),
            (*outputs).into(),
        ];
        return gpu.launch(&kernel, [blocks, 1, 1], &arguments);
    }
    gpu.gemm(&linear_product(&rows, x, weight, bias, residual, y));
}

/// Returns whether a kernel computes [`linear`] instead of the library.
pub(super) fn needs_kernel(rows: &Range<usize>, x: &Buffer, weight: &LinearWeight) -> bool {
    x.format() != weight.values.format()
        || x.format() == Format::F32 && rows.len() <= MAX_KERNEL_ROWS
}

/// Returns the product of [`linear`].
pub(super) fn linear_product(
    rows: &Range<usize>,
    x: &Buffer,
    weight: &LinearWeight,
    bias: Option<&Buffer>,
    residual: Option<&Buffer>,
    y: &Buffer,
) -> Gemm {
    let LinearWeight {
        outputs, inputs, ..
    } = *weight;
    let first = rows.start;
    assert!(
        rows.end * inputs <= x.len() && rows.end * outputs <= y.len(),
        "x and y have these rows"
    );
    Gemm {
        rows: rows.len(),
        cols: outputs,
        inner: inputs,
        batch: 1,
        alpha: 1.0,
        a: rows_from(x, first, inputs),
        a_transposed: false,
        b: weight.view(),
        b_transposed: true,
        c: rows_from(y, first, outputs),
        add: residual.map(|residual| (rows_from(residual, first, outputs), 1.0)),
        bias: bias.map(|bias| bias.as_format(y.format()).address()),
    }
}

/// Computes these rows of dx (.., in) = dy W, plus dx if `add`.
pub(super) fn linear_backward(
    rows: Range<usize>,
    dy: &Buffer,
    weight: &LinearWeight,
    add: bool,
    dx: &mut Buffer,
) {
    let LinearWeight {
        values,
        outputs,
        inputs,
    } = weight;
    assert!(
        rows.end * outputs <= dy.len() && rows.end * inputs <= dx.len(),
        "dy and dx have these rows"
    );
    let c = rows_from(dx, rows.start, *inputs);
    dy.gpu().gemm(&Gemm {
        rows: rows.len(),
        cols: *inputs,
        inner: *outputs,
        batch: 1,
        alpha: 1.0,
        a: rows_from(dy, rows.start, *outputs),
        a_transposed: false,
        b: row_major(values, *inputs),
        b_transposed: false,
        c,
        add: add.then_some((c, 1.0)),
        bias: None,
    });
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
    a.buffer
        .gpu()
        .gemm(&matrix_product(factor, a, b, add, c, offset));
}

/// Returns the product of [`matmul`].
pub(super) fn matrix_product(
    factor: f32,
    a: Matrix<Buffer>,
    b: Matrix<Buffer>,
    add: bool,
    c: &Buffer,
    offset: usize,
) -> Gemm {
    let to = MatrixView {
        address: c.address_of(offset),
        ..row_major(c, b.cols)
    };
    product(
        factor,
        a,
        b,
        add.then_some((to, 1.0)),
        common_format(a, b),
        to,
    )
}

/// Returns the format in which a and b are multiplied: the shorter one, which is that of activations.
pub(super) fn common_format(a: Matrix<Buffer>, b: Matrix<Buffer>) -> Format {
    let short = [a.buffer.format(), b.buffer.format()]
        .into_iter()
        .find(|format| *format != Format::F32);
    short.unwrap_or(Format::F32)
}

/// Returns the product c = factor * a b + c0, with a and b converted to `format`.
pub(super) fn product(
    factor: f32,
    a: Matrix<Buffer>,
    b: Matrix<Buffer>,
    add: Option<(MatrixView, f32)>,
    format: Format,
    c: MatrixView,
) -> Gemm {
    // A buffer in another format holds the matrices of all adapters: it is converted once as a whole.
    let (a_view, a_transposed) = view(&a, a.buffer.as_format(format));
    let (b_view, b_transposed) = view(&b, b.buffer.as_format(format));
    Gemm {
        rows: a.rows,
        cols: b.cols,
        inner: a.cols,
        batch: 1,
        alpha: factor,
        a: a_view,
        a_transposed,
        b: b_view,
        b_transposed,
        c,
        add,
        bias: None,
    }
}

/// Returns the view of a matrix in `buffer`, which holds the values of the matrix's buffer in some
/// format, and whether it is transposed.
fn view(matrix: &Matrix<Buffer>, buffer: &Buffer) -> (MatrixView, bool) {
    let transposed = matrix.col_stride != 1;
    let stride = if transposed {
        matrix.col_stride
    } else {
        matrix.row_stride
    };
    assert!(
        !transposed || matrix.row_stride == 1,
        "rows or columns are contiguous"
    );
    let view = MatrixView {
        address: buffer.address_of(matrix.offset),
        ..row_major(buffer, stride)
    };
    (view, transposed)
}
