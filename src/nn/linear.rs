//! Linear layers, y = x W^T + b, where W may include a low-rank adapter: W = W0 + up down (LoRA, arXiv 2106.09685).
//!
//! W0 is frozen. A layer holds one adapter for each set, and the runs of a pass select the set of every picture of a batch.

use std::ops::Range;
use std::sync::Arc;

use super::{BackwardPass, Learner, Pass, Run, Shape, Tensor};
use crate::kernels::{Backend, Matrix};

/// The position of an adapter's two matrices in the flat list of LoRA parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapter {
    /// Position of `down` (rank, in); `up` (out, rank) follows it.
    pub offset: usize,
    /// The rank.
    pub rank: usize,
}

/// A linear layer over the channels of every pixel.
#[derive(Debug)]
pub struct Linear<B: Backend> {
    /// W0, as loaded.
    weight: Arc<B::LinearWeight>,
    bias: Option<Tensor<B>>,
    inputs: usize,
    outputs: usize,
    /// The adapter of each set, where the set has one.
    adapted: Vec<Option<Adapted<B>>>,
}

/// An adapter, and W once its parameters are merged.
#[derive(Debug)]
struct Adapted<B: Backend> {
    adapter: Adapter,
    weight: Option<Arc<B::LinearWeight>>,
}

impl<B: Backend> Linear<B> {
    /// Creates the layer from a weight (1, 1, out, in) and a bias (out).
    pub fn new(weight: &Tensor<B>, bias: Option<Tensor<B>>) -> Self {
        let Shape {
            width: outputs,
            channels: inputs,
            ..
        } = weight.shape();
        let weight = Arc::new(
            weight
                .backend()
                .linear_weight(outputs, inputs, weight.buffer()),
        );
        Self {
            weight,
            bias,
            inputs,
            outputs,
            adapted: Vec::new(),
        }
    }

    /// Returns the number of input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Returns the number of output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Returns the number of parameters of an adapter of this rank.
    pub fn adapter_len(&self, rank: usize) -> usize {
        rank * (self.inputs + self.outputs)
    }

    /// Attaches or removes the adapter of set `set`; either resets the set's weight to W0.
    pub fn set_adapter(&mut self, set: usize, adapter: Option<Adapter>) {
        self.adapted
            .resize_with(self.adapted.len().max(set + 1), || None);
        self.adapted[set] = adapter.map(|adapter| Adapted {
            adapter,
            weight: None,
        });
    }

    /// Computes W = W0 + up down for the pictures of set `set`, if the set has an adapter.
    pub fn merge(&mut self, set: usize, parameters: &Tensor<B>) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let Some(Some(Adapted { adapter, weight })) = self.adapted.get_mut(set) else {
            return;
        };
        let (down, up) = matrices(parameters.buffer(), *adapter, inputs, outputs);
        *weight = Some(Arc::new(parameters.backend().merged(
            &self.weight,
            up,
            down,
        )));
    }

    fn adapter(&self, set: usize) -> Option<Adapter> {
        self.adapted
            .get(set)?
            .as_ref()
            .map(|adapted| adapted.adapter)
    }

    fn weight(&self, set: usize) -> &B::LinearWeight {
        let merged = self
            .adapted
            .get(set)
            .and_then(Option::as_ref)
            .and_then(|adapted| adapted.weight.as_ref());
        merged.unwrap_or(&self.weight)
    }

    /// Returns ranges of rows that share a weight, each with the set of that weight.
    fn rows(&self, shape: Shape, runs: &[Run]) -> Vec<(Range<usize>, usize)> {
        match runs {
            [] => vec![(0..shape.rows(), 0)],
            [run] => vec![(0..shape.rows(), run.set)],
            // Without adapters, all sets have one weight.
            runs if !self.is_adapted() => vec![(0..shape.rows(), runs[0].set)],
            runs => {
                let mut next = 0;
                let rows = runs.iter().map(|run| {
                    let first = next;
                    next += run.pictures * shape.pixels();
                    (first..next, run.set)
                });
                let rows = rows.collect();
                assert_eq!(next, shape.rows(), "the runs cover the batch");
                rows
            }
        }
    }

    /// x (.., in) to y (.., out).
    pub fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        self.forward_plus(x, None, pass)
    }

    /// x (.., in) to y + residual (.., out).
    pub fn forward_plus(
        &self,
        x: &Tensor<B>,
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        if pass.learns() && self.is_adapted() {
            pass.save(x);
        }
        x.build(x.shape().with_channels(self.outputs), |y| {
            let [bias, residual] =
                [self.bias.as_ref(), residual].map(|tensor| tensor.map(Tensor::buffer));
            for (rows, set) in self.rows(x.shape(), pass.runs()) {
                x.backend()
                    .linear(rows, x.buffer(), self.weight(set), bias, residual, y);
            }
        })
    }

    /// dy to dx; adds the adapters' gradients where the pass learns.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        self.adapter_backward(dy, pass);
        dy.build(dy.shape().with_channels(self.inputs), |dx| {
            self.input_backward(dy, false, dx, pass);
        })
    }

    /// As [`Linear::backward`], but adds to `dx`.
    pub fn backward_onto(&self, dy: &Tensor<B>, dx: &mut Tensor<B>, pass: &mut BackwardPass<B>) {
        self.adapter_backward(dy, pass);
        self.input_backward(dy, true, dx.buffer_mut(), pass);
    }

    fn input_backward(
        &self,
        dy: &Tensor<B>,
        add: bool,
        dx: &mut B::Buffer,
        pass: &BackwardPass<B>,
    ) {
        for (rows, set) in self.rows(dy.shape(), pass.runs()) {
            dy.backend()
                .linear_backward(rows, dy.buffer(), self.weight(set), add, dx);
        }
    }

    /// Whether any set has an adapter in this layer.
    fn is_adapted(&self) -> bool {
        self.adapted.iter().any(Option::is_some)
    }

    /// Adds the adapters' gradients only, for a layer whose input needs none.
    pub fn adapter_backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) {
        if !pass.learns() || !self.is_adapted() {
            return;
        }
        let x = pass.take();
        let unscale = 1.0 / pass.loss_scale();
        for (rows, set) in self.rows(dy.shape(), pass.runs()) {
            let learner = pass.learner(set);
            if let (Some(adapter), Some(learner)) = (self.adapter(set), learner) {
                let Learner {
                    parameters,
                    gradient,
                    ..
                } = learner;
                self.add_gradient(adapter, rows, [&x, dy], unscale, parameters, gradient);
            }
        }
    }

    /// Adds d down = (dy up)^T x and d up = dy^T (x down^T) of these rows, or both from dy^T x where that takes fewer operations.
    fn add_gradient(
        &self,
        adapter: Adapter,
        rows: Range<usize>,
        [x, dy]: [&Tensor<B>; 2],
        unscale: f32,
        parameters: &Tensor<B>,
        gradient: &mut Tensor<B>,
    ) {
        let (backend, Adapter { offset, rank }) = (dy.backend(), adapter);
        let (down, up) = matrices(parameters.buffer(), adapter, self.inputs, self.outputs);
        let [d_down, d_up] = [offset, offset + rank * self.inputs];
        let (first, rows, like) = (rows.start, rows.len(), dy.buffer());
        let x = Matrix::dense(x.buffer(), first * self.inputs, rows, self.inputs);
        let dy = Matrix::dense(like, first * self.outputs, rows, self.outputs);
        let product = |a: Matrix<B::Buffer>, b: Matrix<B::Buffer>| {
            let mut c = backend.uninit_like(like, a.rows * b.cols);
            backend.matmul(1.0, a, b, false, &mut c, 0);
            c
        };
        let gradient = gradient.buffer_mut();
        if (rows + 2 * rank) * self.inputs * self.outputs
            <= 2 * rank * rows * (self.inputs + self.outputs)
        {
            let whole = product(dy.transposed(), x);
            let whole = Matrix::dense(&whole, 0, self.outputs, self.inputs);
            backend.matmul(unscale, up.transposed(), whole, true, gradient, d_down);
            backend.matmul(unscale, whole, down.transposed(), true, gradient, d_up);
        } else {
            let (inner, d_inner) = (product(x, down.transposed()), product(dy, up));
            let [inner, d_inner] =
                [&inner, &d_inner].map(|inner| Matrix::dense(inner, 0, rows, rank));
            backend.matmul(unscale, d_inner.transposed(), x, true, gradient, d_down);
            backend.matmul(unscale, dy.transposed(), inner, true, gradient, d_up);
        }
    }
}

/// Returns down (rank, in) and up (out, rank).
fn matrices<T>(
    parameters: &T,
    adapter: Adapter,
    inputs: usize,
    outputs: usize,
) -> (Matrix<'_, T>, Matrix<'_, T>) {
    let down = Matrix::dense(parameters, adapter.offset, adapter.rank, inputs);
    let up = Matrix::dense(
        parameters,
        adapter.offset + adapter.rank * inputs,
        outputs,
        adapter.rank,
    );
    (down, up)
}
