//! Attention of the CUDA backend against the CPU backend, fused and by matrix products.

use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::{AttentionShape, Format};

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::bench::fixture::relative;
use crate::bench::report;
use crate::faulty::Faulty;
use crate::parity::attention::attention;
use crate::parity::operations::{assert_agrees, attentions};

#[test]
fn attention_fused_and_by_products() {
    if available("attention_fused_and_by_products") {
        let open = |format| Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), format);
        assert_agrees(|format| Faulty::exact(open(format)), &attentions());
    }
}

/// With 4096 keys and a small gradient, the gradients of the scores are below the smallest normal
/// number of f16.
#[test]
fn gradients_of_small_scores_keep_their_precision_in_f16() {
    if !available("gradients_of_small_scores_keep_their_precision_in_f16") {
        return;
    }
    // With a fused kernel and by products.
    for head_size in [40, 24] {
        let shape = AttentionShape {
            batch: 1,
            heads: 1,
            queries: 32,
            keys: 4096,
            head_size,
        };
        let small = 2.0_f32.powi(-9);
        let expected = attention(&Cpu, &shape, small);
        let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), Format::F16);
        let got = attention(&cuda, &shape, small);
        // dq; dk is smaller, and rounded more when it is stored.
        let error = relative(&got[2], &expected[2]);
        report(&format!("head size {head_size}: relative {error:.1e}"));
        assert!(error < 2e-3, "head size {head_size}: {error:.2e}");
    }
}
