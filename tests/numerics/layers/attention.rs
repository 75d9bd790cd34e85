//! Self-attention and cross-attention, with and without adapters.

use super::super::reference::{self, wide};
use super::linear::Dense;
use super::{FORWARD, assert_close, assert_gradient, buffer, run, tensor};
use crate::bench::numbers::Numbers;
use dragnext::kernels::{AttentionShape, Backend};
use dragnext::nn::{Attention, Shape};

/// Returns the projections of an attention, and the parameters of their adapters of rank 2 if `adapted`.
fn projections(
    numbers: &mut Numbers,
    channels: usize,
    context: usize,
    adapted: bool,
) -> ([Dense; 4], Vec<f32>) {
    let mut dense = [
        (channels, false),
        (context, false),
        (context, false),
        (channels, true),
    ]
    .map(|(inputs, bias)| Dense::new(numbers, inputs, channels, bias));
    let mut end = 0;
    if adapted {
        for dense in &mut dense {
            end = dense.adapt(end, 2);
        }
    }
    (dense, numbers.scaled(end, 0.5))
}

fn attention_reference(
    shape: &AttentionShape,
    dense: &[Dense; 4],
    x: &[f64],
    context: &[f64],
    parameters: &[f64],
) -> Vec<f64> {
    let [to_q, to_k, to_v, to_out] = dense;
    let [q, k, v] = [(to_q, x), (to_k, context), (to_v, context)]
        .map(|(dense, input)| dense.reference(input, parameters));
    let sources: Vec<usize> = (0..shape.batch).collect();
    to_out.reference(
        &reference::attention(shape, &sources, &q, &k, &v),
        parameters,
    )
}

fn self_attention<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(5);
    // 70 queries are two blocks; 300 queries are five blocks in three tasks.
    for (batch, height, width, heads, adapted) in [
        (2, 2, 3, 1, false),
        (1, 3, 3, 2, true),
        (1, 7, 10, 4, true),
        (2, 15, 20, 2, true),
    ] {
        let what = format!("{batch} x {height} x {width}, {heads} heads, adapters {adapted}");
        let channels = 8;
        let (dense, parameters) = projections(&mut numbers, channels, channels, adapted);
        let x = numbers.normal(batch * height * width * channels);
        let pixels = height * width;
        let shape = AttentionShape {
            batch,
            heads,
            queries: pixels,
            keys: pixels,
            head_size: channels / heads,
        };
        let layer = Attention::new(
            dense
                .each_ref()
                .map(|dense| dense.layer(backend, &parameters)),
            heads,
        );
        let function =
            |x: &[f64], parameters: &[f64]| attention_reference(&shape, &dense, x, x, parameters);
        let input = tensor(backend, Shape::new(batch, height, width, channels), &x);
        let run = run(
            &input,
            &parameters,
            |x, pass| layer.forward_self(x, 0, None, pass),
            |dy, pass| layer.backward_self(dy, pass),
        );
        assert_close(
            &what,
            &run.y,
            &function(&wide(&x), &wide(&parameters)),
            FORWARD,
        );
        assert_gradient(&what, &x, &run.w, &run.dx, |x| {
            function(x, &wide(&parameters))
        });
        if adapted && pixels < 200 {
            assert_gradient(
                &format!("{what}, adapters"),
                &parameters,
                &run.w,
                &run.d_parameters,
                |p| function(&wide(&x), p),
            );
        }
    }
}

fn cross_attention<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(6);
    for (batch, height, width, heads, adapted) in
        [(2, 2, 3, 2, false), (2, 2, 3, 1, true), (1, 10, 9, 2, true)]
    {
        let what = format!("{batch} x {height} x {width}, {heads} heads, adapters {adapted}");
        let (channels, context_channels, tokens) = (8, 6, 5);
        let (dense, parameters) = projections(&mut numbers, channels, context_channels, adapted);
        let (x, context) = (
            numbers.normal(batch * height * width * channels),
            numbers.normal(batch * tokens * context_channels),
        );
        let shape = AttentionShape {
            batch,
            heads,
            queries: height * width,
            keys: tokens,
            head_size: channels / heads,
        };
        let layer = Attention::new(
            dense
                .each_ref()
                .map(|dense| dense.layer(backend, &parameters)),
            heads,
        );
        let function = |x: &[f64], parameters: &[f64]| {
            attention_reference(&shape, &dense, x, &wide(&context), parameters)
        };
        let input = tensor(backend, Shape::new(batch, height, width, channels), &x);
        let tokens = tensor(
            backend,
            Shape::new(batch, 1, tokens, context_channels),
            &context,
        );
        let run = run(
            &input,
            &parameters,
            |x, pass| layer.forward_cross(x, &tokens, None, pass),
            |dy, pass| layer.backward_cross(dy, pass),
        );
        assert_close(
            &what,
            &run.y,
            &function(&wide(&x), &wide(&parameters)),
            FORWARD,
        );
        assert_gradient(&what, &x, &run.w, &run.dx, |x| {
            function(x, &wide(&parameters))
        });
        if adapted {
            assert_gradient(
                &format!("{what}, adapters"),
                &parameters,
                &run.w,
                &run.d_parameters,
                |p| function(&wide(&x), p),
            );
        }
    }
}

fn attention_to_keys_of_other_pictures<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(8);
    let shape = AttentionShape {
        batch: 3,
        heads: 2,
        queries: 70,
        keys: 9,
        head_size: 4,
    };
    let (q, k, v) = (
        numbers.normal(3 * 70 * 8),
        numbers.normal(3 * 9 * 8),
        numbers.normal(3 * 9 * 8),
    );
    for sources in [[0, 1, 2], [0, 0, 1], [2, 2, 2]] {
        let mut o = buffer(backend, &vec![f32::NAN; q.len()]);
        backend.attention(
            &shape,
            &sources,
            &buffer(backend, &q),
            &buffer(backend, &k),
            &buffer(backend, &v),
            &mut backend.uninit(3 * 2 * 70),
            &mut o,
        );
        assert_close(
            &format!("{sources:?}"),
            &backend.download(&o),
            &reference::attention(&shape, &sources, &wide(&q), &wide(&k), &wide(&v)),
            FORWARD,
        );
    }
}

fn attention_with_scores_beyond_the_range_of_exp<B: Backend>(backend: &B) {
    let shape = AttentionShape {
        batch: 1,
        heads: 1,
        queries: 1,
        keys: 2,
        head_size: 1,
    };
    let mut o = backend.uninit(1);
    backend.attention(
        &shape,
        &[0],
        &buffer(backend, &[100.0]),
        &buffer(backend, &[100.0, -100.0]),
        &buffer(backend, &[3.0, 5.0]),
        &mut backend.uninit(1),
        &mut o,
    );
    assert_eq!(backend.download(&o), [3.0]);
}

on_backends!(
    self_attention,
    cross_attention,
    attention_to_keys_of_other_pictures,
    attention_with_scores_beyond_the_range_of_exp
);
