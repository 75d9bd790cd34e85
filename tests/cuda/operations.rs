//! Operations of the CUDA backend against the CPU backend.

use dragnext::kernels::Format;
use dragnext::kernels::cuda::Cuda;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::faulty::Faulty;
use crate::parity::operations::{assert_agrees, assert_non_finite_values, awkward, convolutions};

fn open(convolutions: ConvolutionSupport) -> impl Fn(Format) -> Faulty<Cuda> {
    move |format| Faulty::exact(Cuda::new(Emulated::new(convolutions), format))
}

#[test]
fn operations_agree_with_the_cpu() {
    if available("operations_agree_with_the_cpu") {
        assert_agrees(open(ConvolutionSupport::Unsupported), &awkward());
    }
}

#[test]
fn convolutions_agree_with_the_cpu() {
    if !available("convolutions_agree_with_the_cpu") {
        return;
    }
    for library in [
        ConvolutionSupport::Unsupported,
        ConvolutionSupport::Partial,
        ConvolutionSupport::Full,
    ] {
        assert_agrees(open(library), &convolutions());
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
