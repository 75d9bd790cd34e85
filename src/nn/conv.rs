//! Convolutions with frozen weights.

use std::sync::OnceLock;

use super::{Pass, Shape, Tensor};
use crate::kernels::{Backend, ConvShape};

/// A square convolution. Weights are (out, kernel, kernel, in).
#[derive(Debug)]
pub struct Conv<B: Backend> {
    weight: Tensor<B>,
    bias: Option<Tensor<B>>,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    /// Zeros before the first and after the last row and column.
    padding: [usize; 2],
    /// The kernel of the way back; made when first needed.
    flipped: OnceLock<B::Buffer>,
}

impl<B: Backend> Conv<B> {
    /// Weight (out, kernel, kernel, in) of the sizes [out, kernel, in], bias (out).
    pub fn new(
        weight: Tensor<B>,
        bias: Option<Tensor<B>>,
        [outputs, kernel, inputs]: [usize; 3],
        stride: usize,
        padding: [usize; 2],
    ) -> Self {
        Self { weight, bias, inputs, outputs, kernel, stride, padding, flipped: OnceLock::new() }
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    fn shape(&self, x: Shape) -> ConvShape {
        let out = |size: usize| (size + self.padding[0] + self.padding[1] - self.kernel) / self.stride + 1;
        ConvShape {
            batch: x.batch,
            input: [x.height, x.width, self.inputs],
            output: [out(x.height), out(x.width), self.outputs],
            kernel: self.kernel,
            stride: self.stride,
            pad: self.padding[0],
        }
    }

    /// x (b, h, w, in) to y (b, h / stride, w / stride, out).
    ///
    /// # Panics
    /// When x has other channels.
    pub fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        assert_eq!(x.shape().channels, self.inputs, "channels of a convolution's input");
        pass.keep_shape(x.shape());
        let shape = self.shape(x.shape());
        let [height, width, channels] = shape.output;
        Tensor::build(x.backend(), Shape::new(x.shape().batch, height, width, channels), |y| {
            x.backend().conv(&shape, x.buffer(), self.weight.buffer(), self.bias.as_ref().map(Tensor::buffer), y);
        })
    }

    /// dy to dx.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let input = pass.take_shape();
        let (backend, shape) = (dy.backend(), self.shape(input));
        Tensor::build(backend, input, |dx| {
            if self.stride == 1 {
                let flipped = self.flipped.get_or_init(|| backend.flip_kernel(&shape, self.weight.buffer()));
                let back = ConvShape { input: shape.output, output: shape.input, pad: self.kernel - 1 - self.padding[0], ..shape };
                backend.conv(&back, dy.buffer(), flipped, None, dx);
            } else {
                backend.conv_input_gradient(&shape, dy.buffer(), self.weight.buffer(), dx);
            }
        })
    }
}
