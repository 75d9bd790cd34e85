//! Group and layer normalisation.

use super::super::reference::{self, wide};
use super::{FORWARD, assert_close, assert_gradient, run, tensor, vector};
use crate::bench::numbers::Numbers;
use dragnext::kernels::{Backend, GroupShape};
use dragnext::nn::{GroupNorm, LayerNorm, Shape};

fn group_normalisations<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(3);
    for (batch, height, width, channels, groups) in [
        (1, 1, 2, 4, 2),
        (2, 5, 3, 12, 4),
        (2, 11, 13, 16, 4),
        (1, 9, 8, 8, 1),
    ] {
        for silu in [false, true] {
            let what = format!(
                "{batch} x {height} x {width} x {channels} in {groups} groups, SiLU {silu}"
            );
            let shape = GroupShape {
                batch,
                pixels: height * width,
                channels,
                groups,
                eps: 1e-5,
            };
            let (weight, bias) = (numbers.normal(channels), numbers.normal(channels));
            // Deep activations have a mean far from zero.
            let x: Vec<f32> = numbers
                .normal(batch * height * width * channels)
                .iter()
                .map(|x| 2.0 * x + 3.0)
                .collect();
            let layer = GroupNorm::new(
                vector(backend, &weight),
                vector(backend, &bias),
                groups,
                shape.eps,
                silu,
            );
            let function =
                |x: &[f64]| reference::group_norm(&shape, x, &wide(&weight), &wide(&bias), silu);
            let input = tensor(backend, Shape::new(batch, height, width, channels), &x);
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
}

fn layer_normalisations<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(4);
    for (rows, channels) in [(3, 8), (130, 24)] {
        let (weight, bias) = (numbers.normal(channels), numbers.normal(channels));
        let x: Vec<f32> = numbers
            .normal(rows * channels)
            .iter()
            .map(|x| 2.0 * x - 1.0)
            .collect();
        let layer = LayerNorm::new(vector(backend, &weight), vector(backend, &bias), 1e-5);
        let function = |x: &[f64]| reference::layer_norm(1e-5, x, &wide(&weight), &wide(&bias));
        let input = tensor(backend, Shape::new(1, rows, 1, channels), &x);
        let run = run(
            &input,
            &[],
            |x, pass| layer.forward(x, pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close("layer norm", &run.y, &function(&wide(&x)), FORWARD);
        assert_gradient("layer norm", &x, &run.w, &run.dx, function);
    }
}

on_backends!(group_normalisations, layer_normalisations);
