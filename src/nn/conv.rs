//! 2-D convolutions with frozen weights: the backward pass computes the input's gradient only.

use super::{BackwardPass, Pass, Shape, Tensor};
use crate::kernels::{Added, Backend, ConvShape};

/// A convolution with a square kernel.
#[derive(Debug)]
pub struct Conv<B: Backend> {
    weight: B::ConvWeight,
    bias: Option<Tensor<B>>,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    /// Zeros before the first and after the last row and column.
    padding: [usize; 2],
}

impl<B: Backend> Conv<B> {
    /// Creates the layer from a weight (out, kernel, kernel, in), whose sizes are [out, kernel, in], and a bias (out).
    pub fn new(
        weight: &Tensor<B>,
        bias: Option<Tensor<B>>,
        [outputs, kernel, inputs]: [usize; 3],
        stride: usize,
        padding: [usize; 2],
    ) -> Self {
        let shape = ConvShape {
            batch: 1,
            input: [1, 1, inputs],
            output: [1, 1, outputs],
            kernel,
            stride,
            pad: padding[0],
        };
        let weight = weight.backend().conv_weight(&shape, weight.buffer());
        Self {
            weight,
            bias,
            inputs,
            outputs,
            kernel,
            stride,
            padding,
        }
    }

    /// Returns the number of output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    fn shape(&self, x: Shape) -> ConvShape {
        let out = |size: usize| {
            (size + self.padding[0] + self.padding[1] - self.kernel) / self.stride + 1
        };
        ConvShape {
            batch: x.batch,
            input: [x.height, x.width, self.inputs],
            output: [out(x.height), out(x.width), self.outputs],
            kernel: self.kernel,
            stride: self.stride,
            pad: self.padding[0],
        }
    }

    /// Returns the bias (out).
    pub fn bias(&self) -> Option<&Tensor<B>> {
        self.bias.as_ref()
    }

    /// x (b, h, w, in) to y (b, h / stride, w / stride, out).
    ///
    /// # Panics
    /// When the number of channels of x does not fit.
    pub fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        self.forward_plus(x, None, pass)
    }

    /// As [`Conv::forward`], plus `residual` (of y's shape).
    ///
    /// # Panics
    /// As [`Conv::forward`].
    pub fn forward_plus(
        &self,
        x: &Tensor<B>,
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let [bias, residual] =
            [self.bias.as_ref(), residual].map(|tensor| tensor.map(Tensor::buffer));
        let added = Added {
            bias,
            per_picture: None,
            residual,
        };
        self.forward_added(x, added, pass)
    }

    /// As [`Conv::forward`], plus `per_picture` (b, 1, 1, out).
    ///
    /// # Panics
    /// As [`Conv::forward`].
    pub fn forward_with_shift(
        &self,
        x: &Tensor<B>,
        per_picture: &Tensor<B>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let added = Added {
            bias: self.bias.as_ref().map(Tensor::buffer),
            per_picture: Some(per_picture.buffer()),
            residual: None,
        };
        self.forward_added(x, added, pass)
    }

    /// As [`Conv::forward`] with another bias (1, 1, 1, out).
    ///
    /// # Panics
    /// As [`Conv::forward`].
    pub fn forward_with_bias(
        &self,
        x: &Tensor<B>,
        bias: &Tensor<B>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let added = Added {
            bias: Some(bias.buffer()),
            ..Added::default()
        };
        self.forward_added(x, added, pass)
    }

    fn forward_added(
        &self,
        x: &Tensor<B>,
        added: Added<B::Buffer>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        assert_eq!(
            x.shape().channels,
            self.inputs,
            "the input has the convolution's channels"
        );
        pass.save_shape(x.shape());
        let shape = self.shape(x.shape());
        let [height, width, channels] = shape.output;
        x.build(Shape::new(x.shape().batch, height, width, channels), |y| {
            x.backend().conv(&shape, x.buffer(), &self.weight, added, y);
        })
    }

    /// dy to dx.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let input = pass.take_shape();
        let shape = self.shape(input);
        dy.build(input, |dx| {
            dy.backend()
                .conv_backward(&shape, dy.buffer(), &self.weight, dx);
        })
    }
}
