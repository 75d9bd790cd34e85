//! cuBLASLt's descriptors of a matrix product.

use std::ptr;

use cudarc::cublaslt::sys::{
    cublasComputeType_t as Compute, cublasLtMatmulDesc_t,
    cublasLtMatmulDescAttributes_t as DescriptorAttribute, cublasLtMatmulPreference_t,
    cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute, cublasLtMatrixLayout_t,
    cublasLtMatrixLayoutAttribute_t as LayoutAttribute, cublasLtReductionScheme_t as Reduction,
    cudaDataType_t,
};

use crate::kernels::cuda::driver::Format;

use super::super::call::{CallFailure, call};
use super::layout::{ColumnMajor, GemmLayout, Precision};

/// Bytes of workspace. NVIDIA recommends this size for its newest GPUs.
pub(super) const WORKSPACE: usize = 32 << 20;
/// `CUBLAS_OP_N`.
const AS_STORED: i32 = 0;
/// `CUBLAS_OP_T`.
const TRANSPOSED: i32 = 1;

/// Compute type, transpositions and epilogue.
#[derive(Debug)]
pub(super) struct MatmulDescriptor(pub(super) cublasLtMatmulDesc_t);

impl MatmulDescriptor {
    pub(super) fn new(layout: &GemmLayout) -> Result<Self, CallFailure> {
        let compute = match (layout.left.format, layout.precision) {
            (Format::F32, Precision::Tf32) => Compute::CUBLAS_COMPUTE_32F_FAST_TF32,
            _ => Compute::CUBLAS_COMPUTE_32F,
        };
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe {
            call!(
                cublaslt,
                cublasLtMatmulDescCreate(&raw mut handle, compute, cudaDataType_t::CUDA_R_32F)
            )
        }?;
        let descriptor = Self(handle);
        let operation = |transposed| if transposed { TRANSPOSED } else { AS_STORED };
        descriptor.set(
            DescriptorAttribute::CUBLASLT_MATMUL_DESC_TRANSA,
            &operation(layout.left_transposed),
        )?;
        descriptor.set(
            DescriptorAttribute::CUBLASLT_MATMUL_DESC_TRANSB,
            &operation(layout.right_transposed),
        )?;
        Ok(descriptor)
    }

    /// Sets an attribute. `T` must be the type that the library's header gives it.
    pub(super) fn set<T>(
        &self,
        attribute: DescriptorAttribute,
        value: &T,
    ) -> Result<(), CallFailure> {
        // SAFETY: the handle is alive; reads the bytes of `value`.
        unsafe {
            call!(
                cublaslt,
                cublasLtMatmulDescSetAttribute(
                    self.0,
                    attribute,
                    ptr::from_ref(value).cast(),
                    size_of::<T>()
                )
            )
        }
    }
}

impl Drop for MatmulDescriptor {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, and the handle is not used again.
        let _ = unsafe { call!(cublaslt, cublasLtMatmulDescDestroy(self.0)) };
    }
}

/// Format, size and strides of a batch of matrices.
#[derive(Debug)]
pub(super) struct MatrixLayout(pub(super) cublasLtMatrixLayout_t);

impl MatrixLayout {
    pub(super) fn new(matrix: &ColumnMajor, batch: usize) -> Result<Self, CallFailure> {
        let format = match matrix.format {
            Format::F32 => cudaDataType_t::CUDA_R_32F,
            Format::F16 => cudaDataType_t::CUDA_R_16F,
            Format::Bf16 => cudaDataType_t::CUDA_R_16BF,
        };
        let (rows, cols, leading) = (
            matrix.rows as u64,
            matrix.cols as u64,
            matrix.leading as i64,
        );
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe {
            call!(
                cublaslt,
                cublasLtMatrixLayoutCreate(&raw mut handle, format, rows, cols, leading)
            )
        }?;
        let layout = Self(handle);
        if batch > 1 {
            layout.set(
                LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                &(batch as i32),
            )?;
            layout.set(
                LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                &(matrix.batch_stride as i64),
            )?;
        }
        Ok(layout)
    }

    /// Sets an attribute. `T` must be the type that the library's header gives it.
    fn set<T>(&self, attribute: LayoutAttribute, value: &T) -> Result<(), CallFailure> {
        // SAFETY: the handle is alive; reads the bytes of `value`.
        unsafe {
            call!(
                cublaslt,
                cublasLtMatrixLayoutSetAttribute(
                    self.0,
                    attribute,
                    ptr::from_ref(value).cast(),
                    size_of::<T>()
                )
            )
        }
    }
}

impl Drop for MatrixLayout {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, and the handle is not used again.
        let _ = unsafe { call!(cublaslt, cublasLtMatrixLayoutDestroy(self.0)) };
    }
}

/// Requirements for an algorithm.
#[derive(Debug)]
pub(super) struct MatmulPreference(pub(super) cublasLtMatmulPreference_t);

impl MatmulPreference {
    pub(super) fn new(layout: &GemmLayout) -> Result<Self, CallFailure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { call!(cublaslt, cublasLtMatmulPreferenceCreate(&raw mut handle)) }?;
        let preference = Self(handle);
        preference.set(
            PreferenceAttribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            &(WORKSPACE as u64),
        )?;
        // Partial sums of a split product are added in f32, not in the format of the result.
        let reduction = Reduction::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        preference.set(
            PreferenceAttribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
            &reduction,
        )?;
        for (attribute, matrix) in [
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                layout.left,
            ),
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                layout.right,
            ),
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                layout.c,
            ),
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                layout.d,
            ),
        ] {
            preference.set(attribute, &matrix.alignment)?;
        }
        Ok(preference)
    }

    /// Sets an attribute. `T` must be the type that the library's header gives it.
    fn set<T>(&self, attribute: PreferenceAttribute, value: &T) -> Result<(), CallFailure> {
        // SAFETY: the handle is alive; reads the bytes of `value`.
        unsafe {
            call!(
                cublaslt,
                cublasLtMatmulPreferenceSetAttribute(
                    self.0,
                    attribute,
                    ptr::from_ref(value).cast(),
                    size_of::<T>()
                )
            )
        }
    }
}

impl Drop for MatmulPreference {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, and the handle is not used again.
        let _ = unsafe { call!(cublaslt, cublasLtMatmulPreferenceDestroy(self.0)) };
    }
}

#[cfg(test)]
mod tests;
