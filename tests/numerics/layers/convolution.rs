//! Convolutions.

use super::super::reference::{self, wide};
use super::{FORWARD, assert_close, assert_gradient, run, tensor, vector};
use crate::bench::numbers::Numbers;
use dragnext::kernels::{Backend, ConvShape};
use dragnext::nn::{Conv, Shape};

fn convolutions<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(1);
    // (batch, height, width, in, out, stride, padding): few and many tasks, rows that fill a task, odd and even sizes.
    let cases = [
        (1, 5, 7, 3, 4, 1, [1, 1]),
        (5, 4, 6, 2, 3, 1, [1, 1]),
        (1, 1, 1, 3, 2, 1, [1, 1]),
        (1, 40, 40, 64, 8, 1, [1, 1]),
        (2, 5, 7, 3, 4, 2, [1, 1]),
        (2, 6, 8, 3, 4, 2, [1, 1]),
        (2, 5, 6, 3, 4, 2, [0, 1]),
        (5, 6, 5, 3, 2, 2, [0, 1]),
    ];
    for (batch, height, width, inputs, outputs, stride, padding) in cases {
        let what = format!(
            "{batch} x {height} x {width} x {inputs} to {outputs}, stride {stride}, padding {padding:?}"
        );
        let out = |size: usize| (size + padding[0] + padding[1] - 3) / stride + 1;
        let output = [out(height), out(width), outputs];
        let shape = ConvShape {
            batch,
            input: [height, width, inputs],
            output,
            kernel: 3,
            stride,
            pad: padding[0],
        };
        let weight = numbers.scaled(outputs * 9 * inputs, 1.0 / (9.0 * inputs as f32).sqrt());
        let (bias, x) = (
            numbers.normal(outputs),
            numbers.normal(batch * height * width * inputs),
        );
        let layer = Conv::new(
            &tensor(backend, Shape::new(outputs, 3, 3, inputs), &weight),
            Some(vector(backend, &bias)),
            [outputs, 3, inputs],
            stride,
            padding,
        );
        let function = |x: &[f64]| reference::conv(&shape, x, &wide(&weight), &wide(&bias));
        let input = tensor(backend, Shape::new(batch, height, width, inputs), &x);
        let run = run(
            &input,
            &[],
            |x, pass| layer.forward(x, pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close(&what, &run.y, &function(&wide(&x)), FORWARD);
        assert_gradient(&what, &x, &run.w, &run.dx, function);
    }
}

on_backends!(convolutions);
