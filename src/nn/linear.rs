//! y = x W^T + b, where W may hold a low-rank adapter: W = W0 + up down (LoRA, arXiv 2106.09685).

use std::sync::Arc;

use super::{Pass, Shape, Tensor};
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
    weight: Arc<B::LinearWeight>,
    bias: Option<Tensor<B>>,
    inputs: usize,
    outputs: usize,
    adapter: Option<Adapter>,
    /// The weight before an adapter was merged into it.
    base: Option<Arc<B::LinearWeight>>,
}

impl<B: Backend> Linear<B> {
    /// Weight (1, 1, out, in) and bias (out).
    pub fn new(weight: &Tensor<B>, bias: Option<Tensor<B>>) -> Self {
        let Shape { width: outputs, channels: inputs, .. } = weight.shape();
        let weight = Arc::new(weight.backend().linear_weight(outputs, inputs, weight.buffer()));
        Self { weight, bias, inputs, outputs, adapter: None, base: None }
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Numbers of an adapter of this rank.
    pub fn adapter_len(&self, rank: usize) -> usize {
        rank * (self.inputs + self.outputs)
    }

    /// Gives the layer an adapter, or takes it away.
    pub fn set_adapter(&mut self, adapter: Option<Adapter>) {
        self.adapter = adapter;
    }

    /// W = W0 + up down, from the weight as it was loaded.
    pub fn merge(&mut self, parameters: &Tensor<B>) {
        let Some(adapter) = self.adapter else { return };
        let base = self.base.get_or_insert_with(|| Arc::clone(&self.weight));
        let (down, up) = matrices(parameters.buffer(), adapter, self.inputs, self.outputs);
        self.weight = Arc::new(parameters.backend().merged(base, up, down));
    }

    /// W = W0, exactly as it was loaded.
    pub fn unmerge(&mut self) {
        if let Some(base) = self.base.take() {
            self.weight = base;
        }
    }

    /// x (.., in) to y (.., out).
    pub fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        self.forward_plus(x, None, pass)
    }

    /// x (.., in) to y + residual (.., out).
    pub fn forward_plus(&self, x: &Tensor<B>, residual: Option<&Tensor<B>>, pass: &mut Pass<B>) -> Tensor<B> {
        if self.adapter.is_some() && pass.adapters().is_some() {
            pass.keep(x);
        }
        x.build(x.shape().with_channels(self.outputs), |y| {
            let [bias, residual] = [self.bias.as_ref(), residual].map(|tensor| tensor.map(Tensor::buffer));
            x.backend().linear(x.buffer(), &self.weight, bias, residual, y);
        })
    }

    /// dy to dx; adds the adapter's gradient where the pass collects it.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        self.adapter_backward(dy, pass);
        dy.build(dy.shape().with_channels(self.inputs), |dx| {
            dy.backend().linear_backward(dy.buffer(), &self.weight, false, dx);
        })
    }

    /// The same, added to what `dx` already holds.
    pub fn backward_onto(&self, dy: &Tensor<B>, dx: &mut Tensor<B>, pass: &mut Pass<B>) {
        self.adapter_backward(dy, pass);
        dy.backend().linear_backward(dy.buffer(), &self.weight, true, dx.buffer_mut());
    }

    /// The way back for a layer whose input needs no gradient: the adapter's own part,
    /// d down = (dy up)^T x and d up = dy^T (x down^T), or both from dy^T x where that is less work.
    pub fn adapter_backward(&self, dy: &Tensor<B>, pass: &mut Pass<B>) {
        let (Some(adapter), Some(parameters)) = (self.adapter, pass.adapters()) else { return };
        let x = pass.take();
        let unscale = 1.0 / pass.gradient_scale();
        let Some(gradient) = pass.gradient() else { return };
        let (backend, rows, Adapter { offset, rank }) = (dy.backend(), dy.shape().rows(), adapter);
        let (down, up) = matrices(parameters.buffer(), adapter, self.inputs, self.outputs);
        let [d_down, d_up] = [offset, offset + rank * self.inputs];
        let like = dy.buffer();
        let (x, dy) = (Matrix::dense(x.buffer(), 0, rows, self.inputs), Matrix::dense(like, 0, rows, self.outputs));
        let product = |a: Matrix<B::Buffer>, b: Matrix<B::Buffer>| {
            let mut c = backend.unset_like(like, a.rows * b.cols);
            backend.matmul(1.0, a, b, false, &mut c, 0);
            c
        };
        let gradient = gradient.buffer_mut();
        if (rows + 2 * rank) * self.inputs * self.outputs <= 2 * rank * rows * (self.inputs + self.outputs) {
            let whole = product(dy.transposed(), x);
            let whole = Matrix::dense(&whole, 0, self.outputs, self.inputs);
            backend.matmul(unscale, up.transposed(), whole, true, gradient, d_down);
            backend.matmul(unscale, whole, down.transposed(), true, gradient, d_up);
        } else {
            let (inner, d_inner) = (product(x, down.transposed()), product(dy, up));
            let [inner, d_inner] = [&inner, &d_inner].map(|inner| Matrix::dense(inner, 0, rows, rank));
            backend.matmul(unscale, d_inner.transposed(), x, true, gradient, d_down);
            backend.matmul(unscale, dy.transposed(), inner, true, gradient, d_up);
        }
    }
}

/// down (rank, in) and up (out, rank).
fn matrices<T>(parameters: &T, adapter: Adapter, inputs: usize, outputs: usize) -> (Matrix<'_, T>, Matrix<'_, T>) {
    let down = Matrix::dense(parameters, adapter.offset, adapter.rank, inputs);
    let up = Matrix::dense(parameters, adapter.offset + adapter.rank * inputs, outputs, adapter.rank);
    (down, up)
}
