//! Linear layers, y = x W^T + b, where W may include a low-rank adapter: W = W0 + up down (LoRA, arXiv 2106.09685).
//!
//! W0 is frozen. A layer holds one adapter for each set, and the runs of a pass select the set of every picture of a batch.

mod alike;

use std::array;
use std::ops::Range;
use std::sync::Arc;

use super::{BackwardPass, Pass, Run, Shape, Tensor};
use crate::kernels::{Backend, Factors, Matrix};

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
    backend: B,
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
        let backend = weight.backend().clone();
        let weight = Arc::new(backend.linear_weight(outputs, inputs, weight.buffer()));
        Self {
            backend,
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

    /// Resets the weight of set `set` to W0 until the next merge.
    pub fn unmerge(&mut self, set: usize) {
        if let Some(Some(adapted)) = self.adapted.get_mut(set) {
            adapted.weight = None;
        }
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
        self.save_input(x, pass);
        x.build(x.shape().with_channels(self.outputs), |y| {
            let [bias, residual] =
                [self.bias.as_ref(), residual].map(|tensor| tensor.map(Tensor::buffer));
            for (rows, set) in self.rows(x.shape(), pass.runs()) {
                x.backend()
                    .linear(rows, x.buffer(), self.weight(set), bias, residual, y);
            }
        })
    }

    /// Saves the input for [`Linear::adapter_backward`], where it will need it.
    fn save_input(&self, x: &Tensor<B>, pass: &mut Pass<B>) {
        if pass.learns() && self.is_adapted() {
            pass.save(x);
        }
    }

    /// dy to dx; adds the adapters' gradients where the pass learns.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        self.adapter_backward(dy, pass);
        self.input_backward(dy, pass)
    }

    /// As [`Linear::backward`], without the adapters' gradients.
    pub fn input_backward(&self, dy: &Tensor<B>, pass: &BackwardPass<B>) -> Tensor<B> {
        dy.build(dy.shape().with_channels(self.inputs), |dx| {
            self.add_input_gradient(dy, false, dx, pass);
        })
    }

    /// As [`Linear::input_backward`], but adds to `dx`.
    pub fn input_backward_onto(&self, dy: &Tensor<B>, dx: &mut Tensor<B>, pass: &BackwardPass<B>) {
        self.add_input_gradient(dy, true, dx.buffer_mut(), pass);
    }

    fn add_input_gradient(
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

    /// Adds the adapters' gradients only.
    pub fn adapter_backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) {
        if !pass.learns() || !self.is_adapted() {
            return;
        }
        let x = pass.take();
        for (rows, set) in self.rows(dy.shape(), pass.runs()) {
            if let Some(adapter) = self.adapter(set) {
                let dy = Matrix::dense(dy.buffer(), 0, dy.shape().rows(), self.outputs);
                Self::add_gradients([self], (set, [adapter]), rows, &x, [dy], pass);
            }
        }
    }

    /// Adds d down = (dy up)^T x and d up = dy^T (x down^T) of these rows, or both from dy^T x where that takes fewer operations, for
    /// layers of one shape with the same x and their adapters of a set, of one rank. `dys` are (rows, out). Does nothing unless the set
    /// learns.
    fn add_gradients<const N: usize>(
        layers: [&Self; N],
        (set, adapters): (usize, [Adapter; N]),
        rows: Range<usize>,
        x: &Tensor<B>,
        dys: [Matrix<B::Buffer>; N],
        pass: &mut BackwardPass<B>,
    ) {
        let unscale = 1.0 / pass.loss_scale();
        let Some(learner) = pass.learner(set) else {
            return;
        };
        let (inputs, outputs, rank) = (layers[0].inputs, layers[0].outputs, adapters[0].rank);
        let (backend, like) = (&layers[0].backend, x.buffer());
        let (first, rows) = (rows.start, rows.len());
        let x = Matrix::dense(x.buffer(), first * inputs, rows, inputs);
        let dys = dys.map(|dy| Matrix {
            offset: dy.offset + first * dy.row_stride,
            rows,
            ..dy
        });
        let pairs =
            adapters.map(|adapter| matrices(learner.parameters.buffer(), adapter, inputs, outputs));
        let to_down = adapters.map(|adapter| adapter.offset);
        let to_up = adapters.map(|adapter| adapter.offset + rank * inputs);
        let gradient = learner.gradient.buffer_mut();
        let of_each = |factors: [Factors<B::Buffer>; N], len: usize| {
            let mut c = backend.uninit_like(like, N * len);
            let offsets = array::from_fn(|index| index * len);
            backend.matmuls(1.0, factors, false, &mut c, offsets);
            c
        };
        if (rows + 2 * rank) * inputs * outputs <= 2 * rank * rows * (inputs + outputs) {
            let len = outputs * inputs;
            let whole = of_each(dys.map(|dy| (dy.transposed(), x)), len);
            let whole: [_; N] =
                array::from_fn(|index| Matrix::dense(&whole, index * len, outputs, inputs));
            let down = array::from_fn(|index| (pairs[index].1.transposed(), whole[index]));
            let up = array::from_fn(|index| (whole[index], pairs[index].0.transposed()));
            backend.matmuls(unscale, down, true, gradient, to_down);
            backend.matmuls(unscale, up, true, gradient, to_up);
        } else {
            let len = rows * rank;
            let inner = of_each(pairs.map(|(down, _)| (x, down.transposed())), len);
            let d_inner = of_each(array::from_fn(|index| (dys[index], pairs[index].1)), len);
            let part = |buffer, index| Matrix::dense(buffer, index * len, rows, rank);
            let down = array::from_fn(|index| (part(&d_inner, index).transposed(), x));
            let up = array::from_fn(|index| (dys[index].transposed(), part(&inner, index)));
            backend.matmuls(unscale, down, true, gradient, to_down);
            backend.matmuls(unscale, up, true, gradient, to_up);
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
