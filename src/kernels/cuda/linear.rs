//! Linear layers and other products of matrices.

use std::ops::Range;

use super::driver::{Address, Format, Product, Stored};
use super::gpu::THREADS;
use super::memory::Buffer;
use crate::kernels::Matrix;

/// Rows of f32 numbers up to which a product is worth no library: the embedding of timesteps.
const FEW: usize = 8;

/// The weights (out, in) of a linear layer.
#[derive(Debug)]
pub struct LinearWeight {
    numbers: Buffer,
    outputs: usize,
    inputs: usize,
}

impl LinearWeight {
    pub(super) fn new(outputs: usize, inputs: usize, weight: &Buffer, format: Format) -> Self {
        assert_eq!(
            weight.len(),
            outputs * inputs,
            "a weight for every input of every output"
        );
        Self {
            numbers: weight.converted(format, 1.0),
            outputs,
            inputs,
        }
    }

    /// W + up down: a sum of f32 products, rounded once.
    pub(super) fn merged(&self, up: Matrix<Buffer>, down: Matrix<Buffer>) -> Self {
        let Self {
            outputs, inputs, ..
        } = *self;
        let merged = Buffer::uninit(
            self.numbers.gpu(),
            self.numbers.format(),
            self.numbers.len(),
        );
        let base = dense(&self.numbers, inputs);
        multiply(
            1.0,
            up,
            down,
            Some((base, 1.0)),
            self.numbers.format(),
            dense(&merged, inputs),
        );
        Self {
            numbers: merged,
            outputs,
            inputs,
        }
    }
}

/// The whole of a buffer as a matrix with rows of `cols` numbers.
pub(super) fn dense(buffer: &Buffer, cols: usize) -> Stored {
    Stored {
        address: buffer.address(),
        format: buffer.format(),
        stride: cols,
        batch_stride: 0,
    }
}

/// The rows of a buffer from `first` on as a matrix with rows of `cols` numbers.
fn below(buffer: &Buffer, first: usize, cols: usize) -> Stored {
    Stored {
        address: buffer.at(first * cols),
        ..dense(buffer, cols)
    }
}

/// These rows of y (.., out) = x W^T + bias + residual.
pub(super) fn linear(
    rows: Range<usize>,
    x: &Buffer,
    weight: &LinearWeight,
    bias: Option<&Buffer>,
    residual: Option<&Buffer>,
    y: &mut Buffer,
) {
    let LinearWeight {
        numbers,
        outputs,
        inputs,
    } = weight;
    let (gpu, first, last, rows) = (x.gpu(), rows.start, rows.end, rows.len());
    assert!(
        last * inputs <= x.len() && last * outputs <= y.len(),
        "rows of inputs and of outputs"
    );
    if x.format() != numbers.format() || x.format() == Format::F32 && rows <= FEW {
        let kernel = format!("linear_rows_{}", numbers.format().name());
        let bias = bias.map(|bias| bias.stored_as(Format::F32));
        let residual = residual.map_or(Address::NONE, |residual| {
            residual.stored_as(Format::F32).at(first * outputs)
        });
        assert!(
            [x.format(), y.format()] == [Format::F32; 2],
            "numbers of another format than the weights are f32"
        );
        let blocks = gpu.blocks(rows * outputs, THREADS as usize / 32);
        let arguments = [
            x.at(first * inputs).into(),
            numbers.into(),
            bias.into(),
            residual.into(),
            y.at(first * outputs).into(),
            rows.into(),
            (*inputs).into(),
            (*outputs).into(),
        ];
        return gpu.launch(&kernel, [blocks, 1, 1], &arguments);
    }
    gpu.product(&Product {
        rows,
        cols: *outputs,
        inner: *inputs,
        batch: 1,
        alpha: 1.0,
        a: below(x, first, *inputs),
        a_transposed: false,
        b: dense(numbers, *inputs),
        b_transposed: true,
        c: below(y, first, *outputs),
        add: residual.map(|residual| (below(residual, first, *outputs), 1.0)),
        bias: bias.map(|bias| bias.stored_as(y.format()).address()),
    });
}

/// These rows of dx (.., in) = dy W, plus dx if `add`.
pub(super) fn linear_backward(
    rows: Range<usize>,
    dy: &Buffer,
    weight: &LinearWeight,
    add: bool,
    dx: &mut Buffer,
) {
    let LinearWeight {
        numbers,
        outputs,
        inputs,
    } = weight;
    assert!(
        rows.end * outputs <= dy.len() && rows.end * inputs <= dx.len(),
        "rows of outputs and of inputs"
    );
    let c = below(dx, rows.start, *inputs);
    dy.gpu().product(&Product {
        rows: rows.len(),
        cols: *inputs,
        inner: *outputs,
        batch: 1,
        alpha: 1.0,
        a: below(dy, rows.start, *outputs),
        a_transposed: false,
        b: dense(numbers, *inputs),
        b_transposed: false,
        c,
        add: add.then_some((c, 1.0)),
        bias: None,
    });
}

/// c = factor * a b, plus c if `add`, at number `offset` of `c`.
pub(super) fn matmul(
    factor: f32,
    a: Matrix<Buffer>,
    b: Matrix<Buffer>,
    add: bool,
    c: &mut Buffer,
    offset: usize,
) {
    // One format for both: the shorter one, in which activations are.
    let short = [a.buffer.format(), b.buffer.format()]
        .into_iter()
        .find(|format| *format != Format::F32);
    let to = Stored {
        address: c.at(offset),
        ..dense(c, b.cols)
    };
    multiply(
        factor,
        a,
        b,
        add.then_some((to, 1.0)),
        short.unwrap_or(Format::F32),
        to,
    );
}

/// c = factor * a b + c0, with a and b read in `format`.
fn multiply(
    factor: f32,
    a: Matrix<Buffer>,
    b: Matrix<Buffer>,
    add: Option<(Stored, f32)>,
    format: Format,
    c: Stored,
) {
    let [converted_a, converted_b] = [&a, &b].map(|matrix| {
        // Matrices are dense: their numbers lie together, whichever way they are read.
        (matrix.buffer.format() != format).then(|| {
            matrix
                .buffer
                .part(matrix.offset, matrix.rows * matrix.cols, format, 1.0)
        })
    });
    let (a_stored, a_transposed) = stored(&a, converted_a.as_ref());
    let (b_stored, b_transposed) = stored(&b, converted_b.as_ref());
    a.buffer.gpu().product(&Product {
        rows: a.rows,
        cols: b.cols,
        inner: a.cols,
        batch: 1,
        alpha: factor,
        a: a_stored,
        a_transposed,
        b: b_stored,
        b_transposed,
        c,
        add,
        bias: None,
    });
}

/// Where a matrix, or its converted numbers, lie, and whether rows and columns are exchanged.
fn stored(matrix: &Matrix<Buffer>, converted: Option<&Buffer>) -> (Stored, bool) {
    let transposed = matrix.col_stride != 1;
    let stride = if transposed {
        matrix.col_stride
    } else {
        matrix.row_stride
    };
    assert!(
        !transposed || matrix.row_stride == 1,
        "a matrix is dense in one direction"
    );
    let place = match converted {
        Some(converted) => Stored {
            stride,
            ..dense(converted, stride)
        },
        None => Stored {
            address: matrix.buffer.at(matrix.offset),
            ..dense(matrix.buffer, stride)
        },
    };
    (place, transposed)
}
