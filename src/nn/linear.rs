//! y = x W^T + b, with an optional low-rank adapter: y += (x A^T) B^T (LoRA, arXiv 2106.09685).

use super::{Pass, Tensor};
use crate::kernels::{Backend, Matrix};

/// Where an adapter's two matrices lie in the flat list of LoRA parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapter {
    /// Position of `down` (rank, in); `up` (out, rank) follows it.
    pub offset: usize,
    /// Inner size.
    pub rank: usize,
}

/// A linear layer over the channels of every pixel.
#[derive(Debug)]
pub struct Linear<B: Backend> {
    weight: Tensor<B>, // (1, 1, out, in)
    bias: Option<Tensor<B>>,
    adapter: Option<Adapter>,
    /// The weight before adapters were merged into it.
    base: Option<Tensor<B>>,
}

impl<B: Backend> Linear<B> {
    /// Weight (out, in), row-major, and bias (out).
    pub fn new(weight: Tensor<B>, bias: Option<Tensor<B>>) -> Self {
        Self { weight, bias, adapter: None, base: None }
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.weight.shape().channels
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.weight.shape().width
    }

    /// Numbers of an adapter of this rank.
    pub fn adapter_len(&self, rank: usize) -> usize {
        rank * (self.inputs() + self.outputs())
    }

    /// Gives the layer an adapter, or takes it away.
    pub fn set_adapter(&mut self, adapter: Option<Adapter>) {
        self.adapter = adapter;
    }

    /// W = W0 + up down, from the weight as it was loaded.
    pub fn merge(&mut self, parameters: &Tensor<B>) {
        let Some(adapter) = self.adapter else { return };
        let base = self.base.get_or_insert_with(|| self.weight.clone());
        let (inputs, outputs) = (self.weight.shape().channels, self.weight.shape().width);
        let mut merged = base.clone();
        let (down, up) = matrices(parameters.buffer(), adapter, inputs, outputs);
        let backend = merged.backend().clone();
        backend.matmul(1.0, up, down, 1.0, merged.buffer_mut(), 0);
        self.weight = merged;
    }

    /// W = W0, exactly as it was loaded.
    pub fn unmerge(&mut self) {
        if let Some(base) = self.base.take() {
            self.weight = base;
        }
    }

    /// x (.., in) to y (.., out).
    pub fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let (backend, rows) = (x.backend(), x.shape().rows());
        let mut y = Tensor::build(backend, x.shape().with_channels(self.outputs()), |y| {
            let input = Matrix::dense(x.buffer(), 0, rows, self.inputs());
            let weight = Matrix::dense(self.weight.buffer(), 0, self.outputs(), self.inputs());
            backend.matmul(1.0, input, weight.transposed(), 0.0, y, 0);
            if let Some(bias) = &self.bias {
                backend.add_bias(bias.buffer(), y);
            }
        });
        if let (Some(adapter), Some(parameters)) = (self.adapter, pass.adapters()) {
            let (down, up) = matrices(parameters.buffer(), adapter, self.inputs(), self.outputs());
            let inner = Tensor::build(backend, x.shape().with_channels(adapter.rank), |inner| {
                backend.matmul(1.0, Matrix::dense(x.buffer(), 0, rows, self.inputs()), down.transposed(), 0.0, inner, 0);
            });
            let left = Matrix::dense(inner.buffer(), 0, rows, adapter.rank);
            backend.matmul(1.0, left, up.transposed(), 1.0, y.buffer_mut(), 0);
            pass.keep(x);
            pass.keep(&inner);
        }
        y
    }

    /// dy to dx; adds the adapter's gradient where the pass collects it.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let inner = self.adapter_backward(dy, pass);
        let (backend, rows) = (dy.backend(), dy.shape().rows());
        Tensor::build(backend, dy.shape().with_channels(self.inputs()), |dx| {
            let weight = Matrix::dense(self.weight.buffer(), 0, self.outputs(), self.inputs());
            backend.matmul(1.0, Matrix::dense(dy.buffer(), 0, rows, self.outputs()), weight, 0.0, dx, 0);
            if let (Some(inner), Some(adapter), Some(parameters)) = (inner, self.adapter, pass.adapters()) {
                let (down, _) = matrices(parameters.buffer(), adapter, self.inputs(), self.outputs());
                backend.matmul(1.0, Matrix::dense(inner.buffer(), 0, rows, adapter.rank), down, 1.0, dx, 0);
            }
        })
    }

    /// The way back for a layer whose input needs no gradient: the adapter's own part. Returns dy up (.., rank).
    pub fn adapter_backward(&self, dy: &Tensor<B>, pass: &mut Pass<B>) -> Option<Tensor<B>> {
        let (adapter, parameters) = (self.adapter?, pass.adapters()?);
        let (inner, x) = (pass.take(), pass.take());
        let (backend, rows) = (dy.backend(), dy.shape().rows());
        let (_, up) = matrices(parameters.buffer(), adapter, self.inputs(), self.outputs());
        let outer = Matrix::dense(dy.buffer(), 0, rows, self.outputs());
        let d_inner = Tensor::build(backend, dy.shape().with_channels(adapter.rank), |d_inner| {
            backend.matmul(1.0, outer, up, 0.0, d_inner, 0);
        });
        if let Some(gradient) = pass.gradient() {
            let gradient = gradient.buffer_mut();
            let left = Matrix::dense(d_inner.buffer(), 0, rows, adapter.rank);
            backend.matmul(1.0, left.transposed(), Matrix::dense(x.buffer(), 0, rows, self.inputs()), 1.0, gradient, adapter.offset);
            let up_offset = adapter.offset + adapter.rank * self.inputs();
            backend.matmul(1.0, outer.transposed(), Matrix::dense(inner.buffer(), 0, rows, adapter.rank), 1.0, gradient, up_offset);
        }
        Some(d_inner)
    }
}

/// down (rank, in) and up (out, rank).
fn matrices<T>(parameters: &T, adapter: Adapter, inputs: usize, outputs: usize) -> (Matrix<'_, T>, Matrix<'_, T>) {
    let down = Matrix::dense(parameters, adapter.offset, adapter.rank, inputs);
    let up = Matrix::dense(parameters, adapter.offset + adapter.rank * inputs, outputs, adapter.rank);
    (down, up)
}
