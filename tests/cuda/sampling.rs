//! Properties of bilinear samples and their adjoint on the CUDA backend.

use dragnext::kernels::Format;
use dragnext::kernels::cuda::Cuda;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::parity::sampling;

fn cuda() -> Cuda {
    Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), Format::F16)
}

#[test]
fn scatter_is_the_adjoint_of_sample() {
    if available("scatter_is_the_adjoint_of_sample") {
        sampling::scatter_is_the_adjoint_of_sample(&cuda());
    }
}

#[test]
fn scatter_is_bitwise_reproducible() {
    if available("scatter_is_bitwise_reproducible") {
        sampling::scatter_is_bitwise_reproducible(&cuda());
    }
}

#[test]
fn scatter_without_points_leaves_the_map() {
    if available("scatter_without_points_leaves_the_map") {
        sampling::scatter_without_points_leaves_the_map(&cuda());
    }
}
