//! Convolutions.

use super::super::Precision::Product;
use super::super::recorder::Recorder;
use crate::kernels::{Added, Backend, ConvShape};

/// Lines beyond those that are compared which the reference computes: the last line of a part lacks the line below it.
const MARGIN: usize = 2;

pub(super) fn conv<B: Backend>(r: &mut Recorder<B>, all: &ConvShape, compared: Option<usize>) {
    let backend = r.backend;
    let (mut shape, mut kept) = (*all, usize::MAX);
    if let Some(lines) = compared {
        let part = r.part(all.input[0], Some(lines + MARGIN));
        (shape.input[0], shape.output[0]) = (part, part);
        kept = lines * all.input[1];
    }
    let [inputs, outputs] =
        [shape.input, shape.output].map(|size| shape.batch * size.iter().product::<usize>());
    let [from, to] = [shape.input[2], shape.output[2]];
    let patch = shape.kernel * shape.kernel * from;
    let values = r.weights(to * patch, patch);
    let weight = backend.conv_weight(&shape, &values);
    let bias = r.full(to);
    let x = r.compact(inputs);
    let [dy, residual] = [(); 2].map(|()| r.compact(outputs));
    let per_picture = r.compact(shape.batch * to);
    let none = Added::default();
    let with_bias = Added {
        bias: Some(&bias),
        ..none
    };
    let with_residual = Added {
        residual: Some(&residual),
        ..with_bias
    };
    // As the first convolution of a block with a timestep.
    let with_shift = Added {
        per_picture: Some(&per_picture),
        ..with_bias
    };
    let with_all = Added {
        per_picture: Some(&per_picture),
        ..with_residual
    };
    for (operation, added) in [
        ("convolution", none),
        ("convolution with bias", with_bias),
        ("convolution with bias and residual", with_residual),
        ("convolution with bias and a term per picture", with_shift),
        ("convolution with all terms", with_all),
    ] {
        let mut y = backend.uninit_like(&x, outputs);
        backend.conv(&shape, &x, &weight, added, &mut y);
        let mut values = backend.download(&y);
        values.truncate(kept.saturating_mul(to));
        r.compact_values(operation, Product, values);
    }
    let mut dx = backend.uninit_like(&x, inputs);
    backend.conv_backward(&shape, &dy, &weight, &mut dx);
    let mut values = backend.download(&dx);
    values.truncate(kept.saturating_mul(from));
    r.compact_values("convolution backward", Product, values);
}
