//! Bilinear samples of the CUDA backend, their adjoint and their L1 loss against the CPU backend.

use dragnext::kernels::Format;
use dragnext::kernels::cuda::Cuda;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::parity::sampling;

fn cuda() -> Cuda {
    Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), Format::F16)
}

#[test]
fn samples_their_adjoint_and_their_loss() {
    if available("samples_their_adjoint_and_their_loss") {
        sampling::samples_their_adjoint_and_their_loss(&cuda());
    }
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
