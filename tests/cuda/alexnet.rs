//! The convolutions of AlexNet, with which LPIPS compares pictures: kernels of 11 x 11 with a stride of 4, and of 5 x 5, on both backends.

use dragnext::kernels::Backend;
use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::nn::{Conv, Pass, Shape, Tensor};

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::bench::fixture::relative;
use crate::bench::numbers::Numbers;

/// Outputs, inputs, kernel, stride and padding; fewer channels than AlexNet has after the first.
const CONVS: [[usize; 5]; 3] = [[64, 3, 11, 4, 2], [24, 16, 5, 1, 2], [16, 24, 3, 1, 1]];

fn outputs<B: Backend>(backend: &B) -> Vec<Vec<f32>> {
    let backend = backend.in_f32();
    let mut numbers = Numbers::new(5);
    let output = |[outputs, inputs, kernel, stride, padding]: [usize; 5]| {
        let mut random = |shape: Shape| {
            let values = numbers.normal(shape.len());
            Tensor::from_host(&backend, shape, values)
        };
        let weight = random(Shape::new(outputs, kernel, kernel, inputs));
        let bias = random(Shape::new(1, 1, 1, outputs));
        let x = random(Shape::new(2, 37, 45, inputs));
        let conv = Conv::new(
            &weight,
            Some(bias),
            [outputs, kernel, inputs],
            stride,
            [padding; 2],
        );
        let y = backend.run(|| conv.forward(&x, &mut Pass::inference()));
        y.to_host()
    };
    CONVS.map(output).to_vec()
}

#[test]
fn the_convolutions_of_alexnet() {
    if !available("the_convolutions_of_alexnet") {
        return;
    }
    let expected = outputs(&Cpu);
    for library in [ConvolutionSupport::Unsupported, ConvolutionSupport::Full] {
        // LPIPS computes in f32, whatever the number format of other networks is.
        for format in [Format::F32, Format::F16] {
            let found = outputs(&Cuda::new(Emulated::new(library), format));
            for (found, expected) in found.iter().zip(&expected) {
                let error = relative(found, expected);
                assert!(error < 1e-5, "{library:?}, {}: {error}", format.name());
            }
        }
    }
}
