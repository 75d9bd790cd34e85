//! Group normalisation (Wu and He, arXiv 1803.08494), optionally fused with SiLU, and layer normalisation (Ba et al., arXiv 1607.06450).

use super::{BackwardPass, Pass, Shape, Tensor};
use crate::kernels::{Backend, GroupShape};

/// Normalisation over a group of channels and all pixels of a picture.
#[derive(Debug)]
pub struct GroupNorm<B: Backend> {
    weight: Tensor<B>,
    bias: Tensor<B>,
    groups: usize,
    eps: f32,
    silu: bool,
}

impl<B: Backend> GroupNorm<B> {
    /// Creates the layer from weight and bias (channels); `silu` applies SiLU to the result.
    pub fn new(weight: Tensor<B>, bias: Tensor<B>, groups: usize, eps: f32, silu: bool) -> Self {
        Self {
            weight,
            bias,
            groups,
            eps,
            silu,
        }
    }

    /// Returns the device.
    pub fn backend(&self) -> &B {
        self.weight.backend()
    }

    fn shape(&self, x: Shape) -> GroupShape {
        GroupShape {
            batch: x.batch,
            pixels: x.pixels(),
            channels: x.channels,
            groups: self.groups,
            eps: self.eps,
        }
    }

    /// x to y of the same shape.
    pub fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let (backend, shape) = (x.backend(), self.shape(x.shape()));
        let mut stats = Tensor::uninit(backend, Shape::new(shape.batch, 1, self.groups, 2));
        let y = x.build(x.shape(), |y| {
            backend.group_norm(
                &shape,
                x.buffer(),
                self.weight.buffer(),
                self.bias.buffer(),
                self.silu,
                stats.buffer_mut(),
                y,
            );
        });
        pass.save(x);
        pass.save(&stats);
        y
    }

    /// As [`GroupNorm::forward`], of two tensors that have the channels between them. Returns x, which is both side by side, and y.
    ///
    /// # Panics
    /// When batch, height or width differ.
    pub fn forward_joined(&self, parts: [&Tensor<B>; 2], pass: &mut Pass<B>) -> [Tensor<B>; 2] {
        let [left, right] = parts.map(|part| part.shape().channels);
        let whole = parts[0].shape().with_channels(left + right);
        assert_eq!(
            parts[1].shape(),
            whole.with_channels(right),
            "batch, height and width are equal"
        );
        let (backend, shape) = (parts[0].backend(), self.shape(whole));
        let mut stats = Tensor::uninit(backend, Shape::new(shape.batch, 1, self.groups, 2));
        let [mut x, mut y] = [(); 2].map(|()| parts[0].uninit_like(whole));
        backend.group_norm_joined(
            &shape,
            parts.map(|part| (part.buffer(), part.shape().channels)),
            self.weight.buffer(),
            self.bias.buffer(),
            self.silu,
            x.buffer_mut(),
            stats.buffer_mut(),
            y.buffer_mut(),
        );
        pass.save(&x);
        pass.save(&stats);
        [x, y]
    }

    /// dy to dx.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        self.backward_plus(dy, None, pass)
    }

    /// dy to dx + residual, divided into its first `left` channels and the others.
    pub fn backward_split(
        &self,
        dy: &Tensor<B>,
        residual: Option<&Tensor<B>>,
        left: usize,
        pass: &mut BackwardPass<B>,
    ) -> [Tensor<B>; 2] {
        let (stats, x) = (pass.take(), pass.take());
        let (backend, shape) = (x.backend(), self.shape(x.shape()));
        let channels = [left, x.shape().channels - left];
        let [mut first, mut second] =
            channels.map(|channels| x.uninit_like(x.shape().with_channels(channels)));
        backend.group_norm_backward_split(
            &shape,
            x.buffer(),
            self.weight.buffer(),
            self.bias.buffer(),
            self.silu,
            stats.buffer(),
            dy.buffer(),
            residual.map(Tensor::buffer),
            [
                (first.buffer_mut(), channels[0]),
                (second.buffer_mut(), channels[1]),
            ],
        );
        [first, second]
    }

    /// dy to dx + residual.
    pub fn backward_plus(
        &self,
        dy: &Tensor<B>,
        residual: Option<&Tensor<B>>,
        pass: &mut BackwardPass<B>,
    ) -> Tensor<B> {
        let (stats, x) = (pass.take(), pass.take());
        let (backend, shape) = (x.backend(), self.shape(x.shape()));
        let (weight, bias) = (self.weight.buffer(), self.bias.buffer());
        x.build(x.shape(), |dx| {
            backend.group_norm_backward(
                &shape,
                x.buffer(),
                weight,
                bias,
                self.silu,
                stats.buffer(),
                dy.buffer(),
                residual.map(Tensor::buffer),
                dx,
            );
        })
    }
}

/// Normalisation over the channels of every pixel.
#[derive(Debug)]
pub struct LayerNorm<B: Backend> {
    weight: Tensor<B>,
    bias: Tensor<B>,
    eps: f32,
}

impl<B: Backend> LayerNorm<B> {
    /// Creates the layer from weight and bias (channels).
    pub fn new(weight: Tensor<B>, bias: Tensor<B>, eps: f32) -> Self {
        Self { weight, bias, eps }
    }

    /// x to y of the same shape.
    pub fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        pass.save(x);
        let channels = x.shape().channels;
        x.build(x.shape(), |y| {
            x.backend().layer_norm(
                channels,
                self.eps,
                x.buffer(),
                self.weight.buffer(),
                self.bias.buffer(),
                y,
            );
        })
    }

    /// dy to dx.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        self.backward_plus(dy, None, pass)
    }

    /// dy to dx + residual.
    pub fn backward_plus(
        &self,
        dy: &Tensor<B>,
        residual: Option<&Tensor<B>>,
        pass: &mut BackwardPass<B>,
    ) -> Tensor<B> {
        let x = pass.take();
        let channels = x.shape().channels;
        x.build(x.shape(), |dx| {
            x.backend().layer_norm_backward(
                channels,
                self.eps,
                x.buffer(),
                self.weight.buffer(),
                dy.buffer(),
                residual.map(Tensor::buffer),
                dx,
            );
        })
    }
}
