//! Linear layers of one shape that have the same input, such as the query, key and value projections of a self-attention. A device may
//! compute them in one call.
//!
//! The results are those of the layers one by one; so are the gradients.

use std::array;
use std::sync::Arc;

use super::{Adapted, Adapter, Linear, matrices};
use crate::kernels::{Backend, Matrix};
use crate::nn::{BackwardPass, Pass, Shape, Tensor};

impl<B: Backend> Linear<B> {
    /// Lets the device lay out the weights of layers of one shape for [`Linear::forward_all`]. Adapters come later.
    pub fn stack<const N: usize>(layers: [&mut Self; N]) {
        if !Self::are_alike_without_bias(layers.each_ref().map(|layer| &**layer)) {
            return;
        }
        let weights = layers.each_ref().map(|layer| &*layer.weight);
        let Some(stacked) = layers[0].backend.stacked_weights(weights) else {
            return;
        };
        for (layer, weight) in layers.into_iter().zip(stacked) {
            layer.weight = Arc::new(weight);
        }
    }

    /// Whether the layers have one shape, and adapters all or none.
    pub fn are_alike<const N: usize>(layers: [&Self; N]) -> bool {
        let of = |layer: &Self| (layer.inputs, layer.outputs, layer.is_adapted());
        layers.iter().all(|layer| of(layer) == of(layers[0]))
    }

    /// Whether the layers are alike and have no bias.
    fn are_alike_without_bias<const N: usize>(layers: [&Self; N]) -> bool {
        Self::are_alike(layers) && layers.iter().all(|layer| layer.bias.is_none())
    }

    /// Returns the adapters of a set; `None` unless all layers have one, of one rank.
    fn adapters<const N: usize>(layers: [&Self; N], set: usize) -> Option<[Adapter; N]> {
        let first = layers[0].adapter(set)?;
        let found = layers.map(|layer| layer.adapter(set).filter(|own| own.rank == first.rank));
        let all = found.iter().all(Option::is_some);
        all.then(|| found.map(|adapter| adapter.unwrap_or(first)))
    }

    /// As [`Linear::merge`] of every layer.
    pub fn merge_all<const N: usize>(layers: [&mut Self; N], set: usize, parameters: &Tensor<B>) {
        let shared = layers.each_ref().map(|layer| &**layer);
        let adapters = Self::adapters(shared, set).filter(|_| Self::are_alike(shared));
        let Some(adapters) = adapters else {
            for layer in layers {
                layer.merge(set, parameters);
            }
            return;
        };
        let (inputs, outputs) = (layers[0].inputs, layers[0].outputs);
        let factors = adapters.map(|adapter| {
            let (down, up) = matrices(parameters.buffer(), adapter, inputs, outputs);
            (up, down)
        });
        let weights = layers.each_ref().map(|layer| &*layer.weight);
        let merged = parameters.backend().merged_all(weights, factors);
        for ((layer, adapter), weight) in layers.into_iter().zip(adapters).zip(merged) {
            layer.adapted[set] = Some(Adapted {
                adapter,
                weight: Some(Arc::new(weight)),
            });
        }
    }

    /// As [`Linear::forward`] of every layer with the same x.
    pub fn forward_all<const N: usize>(
        layers: [&Self; N],
        x: &Tensor<B>,
        pass: &mut Pass<B>,
    ) -> [Tensor<B>; N] {
        if !Self::are_alike_without_bias(layers) {
            return layers.map(|layer| layer.forward(x, pass));
        }
        for layer in layers {
            layer.save_input(x, pass);
        }
        let mut ys = x.planes(x.shape().with_channels(layers[0].outputs));
        for (rows, set) in layers[0].rows(x.shape(), pass.runs()) {
            let weights = layers.map(|layer| layer.weight(set));
            let ys = ys.each_mut().map(Tensor::buffer_mut);
            x.backend().linears(rows, x.buffer(), weights, ys);
        }
        ys
    }

    /// As [`Linear::adapter_backward`] of every layer, whose inputs were the same.
    pub fn adapter_backward_all<const N: usize>(
        layers: [&Self; N],
        dys: [&Tensor<B>; N],
        pass: &mut BackwardPass<B>,
    ) {
        if Self::are_alike(layers) {
            let (shape, outputs) = (dys[0].shape(), layers[0].outputs);
            let dys = dys.map(|dy| Matrix::dense(dy.buffer(), 0, shape.rows(), outputs));
            return Self::add_gradients_of_all(layers, shape, dys, pass);
        }
        for (layer, dy) in layers.into_iter().zip(dys).rev() {
            layer.adapter_backward(dy, pass);
        }
    }

    /// As [`Linear::backward`] of layers that [are alike](Linear::are_alike), whose inputs were the same: the sum of their dx, from dy
    /// (.., N * out), their gradients side by side.
    pub fn backward_all<const N: usize>(
        layers: [&Self; N],
        dy: &Tensor<B>,
        pass: &mut BackwardPass<B>,
    ) -> Tensor<B> {
        let (shape, inputs, outputs) = (dy.shape(), layers[0].inputs, layers[0].outputs);
        let dys = array::from_fn(|index| Matrix {
            offset: index * outputs,
            cols: outputs,
            ..Matrix::dense(dy.buffer(), 0, shape.rows(), N * outputs)
        });
        Self::add_gradients_of_all(layers, shape, dys, pass);
        dy.build(shape.with_channels(inputs), |dx| {
            for (rows, set) in layers[0].rows(shape, pass.runs()) {
                let weights = layers.map(|layer| layer.weight(set));
                let backend = dy.backend();
                backend.linears_backward(rows, outputs, dy.buffer(), weights, dx);
            }
        })
    }

    /// Adds the adapters' gradients of layers that are alike, from their dy (rows, out), where the pass learns.
    fn add_gradients_of_all<const N: usize>(
        layers: [&Self; N],
        shape: Shape,
        dys: [Matrix<B::Buffer>; N],
        pass: &mut BackwardPass<B>,
    ) {
        if !pass.learns() || !layers[0].is_adapted() {
            return;
        }
        // Every layer saved it.
        let inputs = layers.map(|_| pass.take());
        let x = &inputs[0];
        for (rows, set) in layers[0].rows(shape, pass.runs()) {
            if let Some(adapters) = Self::adapters(layers, set) {
                Self::add_gradients(layers, (set, adapters), rows, x, dys, pass);
                continue;
            }
            for (layer, dy) in layers.into_iter().zip(dys) {
                if let Some(adapter) = layer.adapter(set) {
                    Self::add_gradients([layer], (set, [adapter]), rows.clone(), x, [dy], pass);
                }
            }
        }
    }
}
