//! SiLU as a layer of its own.

use super::super::reference::wide;
use super::{FORWARD, assert_close, assert_gradient, run, tensor};
use crate::bench::numbers::Numbers;
use dragnext::kernels::Backend;
use dragnext::nn::{Shape, silu, silu_backward};

fn silu_and_its_gradient<B: Backend>(backend: &B) {
    let function = |x: &[f64]| -> Vec<f64> { x.iter().map(|x| x / (1.0 + (-x).exp())).collect() };
    // One more value than a vector has, and more than one task has.
    for (width, channels) in [(1, 17), (3, 40), (300, 65)] {
        let mut numbers = Numbers::new(7);
        let x = numbers.scaled(width * channels, 3.0);
        let input = tensor(backend, Shape::new(1, 1, width, channels), &x);
        let run = run(&input, &[], silu, silu_backward);
        assert_close("silu", &run.y, &function(&wide(&x)), FORWARD);
        assert_gradient("silu", &x, &run.w, &run.dx, function);
    }
}

on_backends!(silu_and_its_gradient);
