//! Linear layers with and without adapters, and the feed-forward layer.

use super::super::reference::{self, plus, wide};
use super::{FORWARD, assert_close, assert_gradient, run, tensor, vector};
use crate::bench::numbers::Numbers;
use dragnext::kernels::Backend;
use dragnext::nn::{Adapter, FeedForward, Linear, Shape};

/// The parameters of a linear layer, from which the layer and its reference are made.
pub(super) struct Dense {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    inputs: usize,
    adapter: Option<Adapter>,
}

impl Dense {
    pub(super) fn new(numbers: &mut Numbers, inputs: usize, outputs: usize, bias: bool) -> Self {
        let weight = numbers.scaled(inputs * outputs, 1.0 / (inputs as f32).sqrt());
        Self {
            weight,
            bias: bias.then(|| numbers.normal(outputs)),
            inputs,
            adapter: None,
        }
    }

    fn outputs(&self) -> usize {
        self.weight.len() / self.inputs
    }

    /// Attaches an adapter whose parameters start at `offset`; returns their end.
    pub(super) fn adapt(&mut self, offset: usize, rank: usize) -> usize {
        self.adapter = Some(Adapter { offset, rank });
        offset + rank * (self.inputs + self.outputs())
    }

    /// Returns the layer with its adapter merged into the weights.
    pub(super) fn layer<B: Backend>(&self, backend: &B, parameters: &[f32]) -> Linear<B> {
        let weight = tensor(
            backend,
            Shape::new(1, 1, self.outputs(), self.inputs),
            &self.weight,
        );
        let mut layer = Linear::new(
            &weight,
            self.bias.as_deref().map(|numbers| vector(backend, numbers)),
        );
        layer.set_adapter(0, self.adapter);
        layer.merge(0, &vector(backend, parameters));
        layer
    }

    pub(super) fn reference(&self, x: &[f64], parameters: &[f64]) -> Vec<f64> {
        let y = reference::linear(
            x,
            &wide(&self.weight),
            self.bias.as_deref().map(wide).as_deref(),
            self.inputs,
        );
        let Some(Adapter { offset, rank }) = self.adapter.filter(|_| !parameters.is_empty()) else {
            return y;
        };
        let (down, up) = parameters[offset..][..rank * (self.inputs + self.outputs())]
            .split_at(rank * self.inputs);
        plus(
            &y,
            &reference::linear(
                &reference::linear(x, down, None, self.inputs),
                up,
                None,
                rank,
            ),
        )
    }
}

fn linear_layers_and_their_adapters<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(2);
    for (rows, inputs, outputs, rank) in
        [(1, 3, 5, 0), (7, 12, 9, 0), (6, 8, 10, 2), (300, 20, 12, 4)]
    {
        let what = format!("{rows} rows, {inputs} to {outputs}, rank {rank}");
        let mut dense = Dense::new(&mut numbers, inputs, outputs, true);
        let len = if rank > 0 { dense.adapt(0, rank) } else { 0 };
        let (parameters, x) = (numbers.normal(len), numbers.normal(rows * inputs));
        let layer = dense.layer(backend, &parameters);
        let input = tensor(backend, Shape::new(1, rows, 1, inputs), &x);
        let run = run(
            &input,
            &parameters,
            |x, pass| layer.forward(x, pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close(
            &what,
            &run.y,
            &dense.reference(&wide(&x), &wide(&parameters)),
            FORWARD,
        );
        assert_gradient(&what, &x, &run.w, &run.dx, |x| {
            dense.reference(x, &wide(&parameters))
        });
        if rank > 0 {
            assert_gradient(
                &format!("{what}, adapter"),
                &parameters,
                &run.w,
                &run.d_parameters,
                |p| dense.reference(&wide(&x), p),
            );
        }
    }
}

fn feed_forward<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(9);
    for rows in [4, 150] {
        let (widen, narrow) = (
            Dense::new(&mut numbers, 6, 48, true),
            Dense::new(&mut numbers, 24, 6, true),
        );
        let x = numbers.normal(rows * 6);
        let layer = FeedForward::new(widen.layer(backend, &[]), narrow.layer(backend, &[]));
        let function =
            |x: &[f64]| narrow.reference(&reference::geglu(24, &widen.reference(x, &[])), &[]);
        let run = run(
            &tensor(backend, Shape::new(1, rows, 1, 6), &x),
            &[],
            |x, pass| layer.forward(x, None, pass),
            |dy, pass| layer.backward(dy, pass),
        );
        assert_close("feed-forward", &run.y, &function(&wide(&x)), FORWARD);
        assert_gradient("feed-forward", &x, &run.w, &run.dx, function);
    }
}

on_backends!(linear_layers_and_their_adapters, feed_forward);
