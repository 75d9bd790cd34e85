//! Linear layers of one shape with the same input, which a device may compute in one call.

use std::array;

use super::super::Precision::{Product, Products};
use super::super::recorder::Recorder;
use crate::kernels::{Backend, Factors, Matrix};

/// Layers, as a self-attention has projections.
const LAYERS: usize = 3;
/// Rank of the adapters.
const RANK: usize = 4;

/// Layers with these rows, inputs and outputs. Where only some rows are compared, the products that sum over all rows are left out.
pub(super) fn of_one_shape<B: Backend>(
    r: &mut Recorder<B>,
    all: usize,
    [inputs, outputs]: [usize; 2],
    compared: Option<usize>,
) {
    let backend = r.backend;
    let sizes = [r.part(all, compared), inputs, outputs];
    let weights: [B::LinearWeight; LAYERS] = array::from_fn(|_| {
        let values = r.weights(outputs * inputs, inputs);
        backend.linear_weight(outputs, inputs, &values)
    });
    forward(r, "layers of one shape", &weights, sizes);
    // A network keeps its weights so where the device has a layout for such layers.
    let stacked = backend.stacked_weights(weights.each_ref());
    let weights = stacked.unwrap_or(weights);
    forward(r, "layers of one shape, stacked weights", &weights, sizes);
    backward(r, &weights, sizes, compared.is_none());

    // The matrices of all adapters follow each other, as in the list that is trained: down and up of each. The product of an up and a
    // down is about as large as the weights.
    let of_each = RANK * (inputs + outputs);
    let mut parameters = Vec::with_capacity(LAYERS * of_each);
    for _ in 0..LAYERS {
        let down = r.weights(RANK * inputs, inputs);
        parameters.extend(backend.download(&down));
        parameters.extend(r.numbers(RANK * outputs, 0.5));
    }
    let parameters = backend.upload(parameters);
    let adapters: [Factors<B::Buffer>; LAYERS] = array::from_fn(|index| {
        let down = index * of_each;
        let up = Matrix::dense(&parameters, down + RANK * inputs, outputs, RANK);
        (up, Matrix::dense(&parameters, down, RANK, inputs))
    });
    let merged = backend.merged_all(weights.each_ref(), adapters);
    forward(r, "layers of one shape, merged LoRAs", &merged, sizes);
    products(r, &adapters, sizes, compared.map(|rows| rows.min(all)));
    if compared.is_none() {
        sums_over_rows(r, sizes);
    }
}

/// Records the results of all layers. Each call has an input of its own, so that memory of an earlier call does not hold the expected results.
fn forward<B: Backend>(
    r: &mut Recorder<B>,
    operation: &'static str,
    weights: &[B::LinearWeight; LAYERS],
    [rows, inputs, outputs]: [usize; 3],
) {
    let x = r.compact(rows * inputs);
    let mut ys = r.backend.uninit_planes(&x, rows * outputs);
    r.backend
        .linears(0..rows, &x, weights.each_ref(), ys.each_mut());
    for y in &ys {
        r.push(operation, Product, y);
    }
}

/// Records the sum of the gradients of all layers; of some rows too, if all are compared.
fn backward<B: Backend>(
    r: &mut Recorder<B>,
    weights: &[B::LinearWeight; LAYERS],
    [rows, inputs, outputs]: [usize; 3],
    are_all_compared: bool,
) {
    let backend = r.backend;
    let dy = r.compact(rows * LAYERS * outputs);
    let mut dx = r.compact(rows * inputs);
    backend.linears_backward(0..rows, outputs, &dy, weights.each_ref(), &mut dx);
    r.push("layers of one shape backward", Products, &dx);
    if are_all_compared {
        let some = rows / 3..rows - rows / 4;
        let mut dx = r.compact(rows * inputs);
        backend.linears_backward(some, outputs, &dy, weights.each_ref(), &mut dx);
        r.push("layers of one shape backward, some rows", Products, &dx);
    }
}

/// Records the products of an input with the downs of all adapters, in the format.
fn products<B: Backend>(
    r: &mut Recorder<B>,
    adapters: &[Factors<B::Buffer>; LAYERS],
    [rows, inputs, _]: [usize; 3],
    compared: Option<usize>,
) {
    let backend = r.backend;
    let x = r.compact(rows * inputs);
    let of_x = Matrix::dense(&x, 0, rows, inputs);
    let products = adapters.map(|(_, down)| (of_x, down.transposed()));
    let len = rows * RANK;
    let offsets = array::from_fn(|index| index * len);
    let mut c = backend.uninit_like(&x, LAYERS * len);
    backend.matmuls(1.0, products, false, &mut c, offsets);
    let kept = compared.unwrap_or(rows) * RANK;
    let values = backend.download(&c);
    let of_layers = values.chunks(len).flat_map(|layer| &layer[..kept]);
    let values = of_layers.copied().collect();
    r.compact_values("matrix products of one shape", Product, values);
}

/// Records the gradients of the ups of all adapters, which sum over rows and are added to the list of all gradients in f32.
fn sums_over_rows<B: Backend>(r: &mut Recorder<B>, [rows, inputs, outputs]: [usize; 3]) {
    let (len, of_each) = (rows * RANK, RANK * (inputs + outputs));
    let dy = r.compact(rows * LAYERS * outputs);
    let inner = r.compact(LAYERS * len);
    let products: [Factors<B::Buffer>; LAYERS] = array::from_fn(|index| {
        // The gradients of the layers are side by side.
        let dy = Matrix {
            offset: index * outputs,
            cols: outputs,
            ..Matrix::dense(&dy, 0, rows, LAYERS * outputs)
        };
        let inner = Matrix::dense(&inner, index * len, rows, RANK);
        (dy.transposed(), inner)
    });
    let offsets = array::from_fn(|index| index * of_each + RANK * inputs);
    let mut gradient = r.full(LAYERS * of_each);
    let factor = 1.0 / rows as f32;
    r.backend
        .matmuls(factor, products, true, &mut gradient, offsets);
    let operation = "matrix products of one shape added to f32";
    r.push_f32(operation, Product, &gradient);
}
