//! How cuBLASLt computes a product: its descriptors, and the algorithms that the library proposes.

use cudarc::cublaslt::sys::{
    cublasLtEpilogue_t as Epilogue, cublasLtHandle_t, cublasLtMatmulAlgo_t,
    cublasLtMatmulDescAttributes_t as DescriptorAttribute, cublasLtMatmulHeuristicResult_t,
};

use crate::kernels::cuda::driver::Address;

use super::super::call::{LibraryFailure, Status, call};
use super::descriptors::{MatmulDescriptor, MatmulPreference, MatrixLayout, WORKSPACE};
use super::layout::GemmLayout;

/// Algorithms kept per product, in case the first ones turn out to be unsupported.
const ALGORITHMS: usize = 4;

/// Descriptors and algorithms of a product.
#[derive(Debug)]
pub(super) struct GemmPlan {
    pub(super) descriptor: MatmulDescriptor,
    pub(super) left: MatrixLayout,
    pub(super) right: MatrixLayout,
    pub(super) c: MatrixLayout,
    pub(super) d: MatrixLayout,
    /// Best algorithm last; never empty.
    pub(super) algorithms: Vec<cublasLtMatmulAlgo_t>,
}

impl GemmPlan {
    /// Returns `None` if the library has no algorithm.
    pub(super) fn new(
        handle: cublasLtHandle_t,
        layout: &GemmLayout,
        bias: Option<Address>,
    ) -> Result<Option<Self>, LibraryFailure> {
        let descriptor = MatmulDescriptor::new(layout)?;
        if let Some(bias) = bias {
            // The choice of an algorithm depends on the pointer's alignment, so set it before.
            let epilogue = Epilogue::CUBLASLT_EPILOGUE_BIAS as u32;
            descriptor.set(
                DescriptorAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
                &epilogue,
            )?;
            descriptor.set(
                DescriptorAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                &bias.0,
            )?;
        }
        let [left, right, c, d] = [layout.left, layout.right, layout.c, layout.d]
            .map(|matrix| MatrixLayout::new(&matrix, layout.batch));
        let (left, right, c, d) = (left?, right?, c?, d?);
        let preference = MatmulPreference::new(layout)?;
        // SAFETY: a struct of integers and floats, for which zeros are valid; status 0 is success.
        let mut found: [cublasLtMatmulHeuristicResult_t; ALGORITHMS] =
            unsafe { std::mem::zeroed() };
        let mut count = 0;
        // SAFETY: all handles are alive; writes their number and at most [`ALGORITHMS`] results.
        unsafe {
            call!(
                cublaslt,
                cublasLtMatmulAlgoGetHeuristic(
                    handle,
                    descriptor.0,
                    left.0,
                    right.0,
                    c.0,
                    d.0,
                    preference.0,
                    ALGORITHMS as i32,
                    found.as_mut_ptr(),
                    &raw mut count,
                )
            )
        }?;
        let found = &found[..usize::try_from(count).unwrap_or(0).min(ALGORITHMS)];
        let usable = found
            .iter()
            .filter(|result| result.state.code() == 0 && result.workspaceSize <= WORKSPACE);
        let mut algorithms: Vec<_> = usable.map(|result| result.algo).collect();
        algorithms.reverse();
        Ok((!algorithms.is_empty()).then_some(Self {
            descriptor,
            left,
            right,
            c,
            d,
            algorithms,
        }))
    }
}
