//! Operations of the CUDA backend against the CPU backend.

use dragnext::kernels::cuda::Cuda;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::parity::operations::{TOLERANCES, assert_non_finite_values, assert_operations};

#[test]
fn operations_agree_with_the_cpu() {
    if available("operations_agree_with_the_cpu") {
        assert_operations(
            |format| Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), format),
            TOLERANCES,
        );
    }
}

#[test]
fn non_finite_values_are_detected_and_propagated() {
    if available("non_finite_values_are_detected_and_propagated") {
        assert_non_finite_values(|format| {
            Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), format)
        });
    }
}
