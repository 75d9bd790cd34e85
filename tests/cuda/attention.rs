//! Attention of the CUDA backend against the CPU backend, fused and by matrix products.

use dragnext::kernels::cuda::Cuda;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::parity::attention::assert_attention;

#[test]
fn attention_fused_and_by_products() {
    if available("attention_fused_and_by_products") {
        assert_attention(|format| {
            Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), format)
        });
    }
}
