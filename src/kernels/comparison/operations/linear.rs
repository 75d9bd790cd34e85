//! Linear layers and matrix products.

use super::super::Precision::{Exact, Product};
use super::super::recorder::Recorder;
use crate::kernels::{Backend, Matrix};

/// Rank of the LoRA that is merged.
const RANK: usize = 2;
/// Most rows of a layer in f32, which the embedding of the timestep has.
const ROWS_OF_F32: usize = 2;

/// Returns a matrix of `rows` x `inner` from its values, or from those of its transpose.
fn left<T>(a: &T, [rows, inner]: [usize; 2], is_transposed: bool) -> Matrix<'_, T> {
    if is_transposed {
        Matrix::dense(a, 0, inner, rows).transposed()
    } else {
        Matrix::dense(a, 0, rows, inner)
    }
}

/// Products of dense and transposed matrices in the backend's format; and products that are added to a part of a buffer of f32, of factors in
/// f32 and in the format, as for the gradients of a LoRA.
pub(super) fn matmul<B: Backend>(r: &mut Recorder<B>, [rows, inner, cols]: [usize; 3]) {
    let [a, b] = [rows * inner, inner * cols].map(|len| r.compact(len));
    let [full_a, full_b] = [rows * inner, inner * cols].map(|len| r.full(len));
    let factor = 1.0 / inner as f32;
    for [of_a, of_b] in [[false, false], [true, false], [false, true]] {
        let (a, b) = (left(&a, [rows, inner], of_a), left(&b, [inner, cols], of_b));
        r.write(
            "matrix product",
            Product,
            a.buffer,
            rows * cols,
            |backend, c| {
                backend.matmul(factor, a, b, false, c, 0);
            },
        );
    }
    let offset = 5;
    for (a, b) in [(&a, &b), (&full_a, &b), (&a, &full_b), (&full_a, &full_b)] {
        let mut c = r.full(rows * cols + offset + 3);
        let (a, b) = (
            left(a, [rows, inner], true),
            Matrix::dense(b, 0, inner, cols),
        );
        r.backend.matmul(factor, a, b, true, &mut c, offset);
        r.push_f32("matrix product added to f32", Product, &c);
    }
}

pub(super) fn linear<B: Backend>(
    r: &mut Recorder<B>,
    all: usize,
    [inputs, outputs]: [usize; 2],
    compared: Option<usize>,
) {
    let backend = r.backend;
    let rows = r.part(all, compared);
    let values = r.weights(outputs * inputs, inputs);
    let weight = backend.linear_weight(outputs, inputs, &values);
    let bias = r.full(outputs);
    let [x, dx] = [(); 2].map(|()| r.compact(rows * inputs));
    let [residual, dy, kept] = [(); 3].map(|()| r.compact(rows * outputs));
    let len = rows * outputs;
    for (operation, bias, residual) in [
        ("linear", None, None),
        ("linear with bias", Some(&bias), None),
        ("linear with residual", None, Some(&residual)),
        (
            "linear with bias and residual",
            Some(&bias),
            Some(&residual),
        ),
    ] {
        r.write(operation, Product, &x, len, |backend, y| {
            backend.linear(0..rows, &x, &weight, bias, residual, y);
        });
    }
    r.write(
        "linear backward",
        Product,
        &x,
        rows * inputs,
        |backend, dx| {
            backend.linear_backward(0..rows, &dy, &weight, false, dx);
        },
    );
    let mut dx = dx;
    backend.linear_backward(0..rows, &dy, &weight, true, &mut dx);
    r.push("linear backward, added", Product, &dx);
    // Their product is about as large as the weights.
    let (up, down) = (r.full(outputs * RANK), r.weights(RANK * inputs, inputs));
    let (up, down) = (
        Matrix::dense(&up, 0, outputs, RANK),
        Matrix::dense(&down, 0, RANK, inputs),
    );
    let merged = backend.merged(&weight, up, down);
    r.write(
        "linear with a merged LoRA",
        Product,
        &x,
        len,
        |backend, y| {
            backend.linear(0..rows, &x, &merged, None, None, y);
        },
    );
    if compared.is_some() {
        return;
    }
    // Other rows stay as they are.
    let some = rows / 3..rows - rows / 4;
    let mut y = kept;
    backend.linear(some.clone(), &x, &weight, Some(&bias), None, &mut y);
    r.push("linear of some rows", Product, &y);
    let mut dx = r.compact(rows * inputs);
    backend.linear_backward(some.clone(), &dy, &weight, false, &mut dx);
    r.push("linear backward of some rows", Product, &dx);
    let outside = (0..rows).filter(|row| !some.contains(row));
    let downloaded = backend.download(&y);
    let outside = outside.flat_map(|row| downloaded[row * outputs..][..outputs].to_vec());
    r.values("linear of some rows", Exact, outside.collect());
    let few = rows.min(ROWS_OF_F32);
    let x = r.full(few * inputs);
    let mut y = backend.uninit(few * outputs);
    backend.linear(0..few, &x, &weight, Some(&bias), None, &mut y);
    r.push_f32("linear of f32", Product, &y);
}
