//! cuBLASLt's descriptions of one product.

use std::ptr;

use cudarc::cublaslt::sys::{
    cublasComputeType_t as Compute, cublasLtMatmulDesc_t,
    cublasLtMatmulDescAttributes_t as DescriptionAttribute, cublasLtMatmulPreference_t,
    cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute, cublasLtMatrixLayout_t,
    cublasLtMatrixLayoutAttribute_t as LayoutAttribute, cublasLtReductionScheme_t as Reduction,
    cudaDataType_t,
};

use crate::kernels::cuda::driver::Format;

use super::call::{Failure, ask};
use super::product::{Layout, Matrix, Precision};

/// Bytes for the library's intermediate results; NVIDIA recommends as much for its newest GPUs.
pub(super) const WORKSPACE: usize = 32 << 20;
/// `CUBLAS_OP_N`
const AS_STORED: i32 = 0;
/// `CUBLAS_OP_T`
const TRANSPOSED: i32 = 1;

/// Formats, transpositions and what comes after the product.
#[derive(Debug)]
pub(super) struct Description(pub(super) cublasLtMatmulDesc_t);

impl Description {
    pub(super) fn new(layout: &Layout) -> Result<Self, Failure> {
        let compute = match (layout.left.format, layout.precision) {
            (Format::F32, Precision::Fast) => Compute::CUBLAS_COMPUTE_32F_FAST_TF32,
            _ => Compute::CUBLAS_COMPUTE_32F,
        };
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe {
            ask!(
                cublaslt,
                cublasLtMatmulDescCreate(&raw mut handle, compute, cudaDataType_t::CUDA_R_32F)
            )
        }?;
        let description = Self(handle);
        let operation = |transposed| if transposed { TRANSPOSED } else { AS_STORED };
        description.set(
            DescriptionAttribute::CUBLASLT_MATMUL_DESC_TRANSA,
            &operation(layout.left_transposed),
        )?;
        description.set(
            DescriptionAttribute::CUBLASLT_MATMUL_DESC_TRANSB,
            &operation(layout.right_transposed),
        )?;
        Ok(description)
    }

    /// Of the type that the library's header gives the attribute.
    pub(super) fn set<T>(&self, attribute: DescriptionAttribute, value: &T) -> Result<(), Failure> {
        // SAFETY: the handle is alive; reads so many bytes of the value.
        unsafe {
            ask!(
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

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        let _ = unsafe { ask!(cublaslt, cublasLtMatmulDescDestroy(self.0)) };
    }
}

/// Format, size and place of numbers of a matrix or a batch of them.
#[derive(Debug)]
pub(super) struct MatrixLayout(pub(super) cublasLtMatrixLayout_t);

impl MatrixLayout {
    pub(super) fn new(matrix: &Matrix, batch: usize) -> Result<Self, Failure> {
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
            ask!(
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

    /// Of the type that the library's header gives the attribute.
    fn set<T>(&self, attribute: LayoutAttribute, value: &T) -> Result<(), Failure> {
        // SAFETY: the handle is alive; reads so many bytes of the value.
        unsafe {
            ask!(
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
        // SAFETY: ours, and not used again.
        let _ = unsafe { ask!(cublaslt, cublasLtMatrixLayoutDestroy(self.0)) };
    }
}

/// What an algorithm may need.
#[derive(Debug)]
pub(super) struct Preference(pub(super) cublasLtMatmulPreference_t);

impl Preference {
    pub(super) fn new(layout: &Layout) -> Result<Self, Failure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { ask!(cublaslt, cublasLtMatmulPreferenceCreate(&raw mut handle)) }?;
        let preference = Self(handle);
        preference.set(
            PreferenceAttribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            &(WORKSPACE as u64),
        )?;
        // Sums of several parts are put together in f32, not in the result's format.
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

    /// Of the type that the library's header gives the attribute.
    fn set<T>(&self, attribute: PreferenceAttribute, value: &T) -> Result<(), Failure> {
        // SAFETY: the handle is alive; reads so many bytes of the value.
        unsafe {
            ask!(
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

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        let _ = unsafe { ask!(cublaslt, cublasLtMatmulPreferenceDestroy(self.0)) };
    }
}

#[cfg(test)]
mod tests {
    use cudarc::cublaslt::sys::{
        cublasLtMatmulDescGetAttribute, cublasLtMatmulPreferenceGetAttribute,
        cublasLtMatrixLayoutGetAttribute,
    };

    use super::super::library::Library;
    use super::*;

    /// An attribute's bytes, as many as the library has of it.
    macro_rules! attribute {
        ($function:ident, $handle:expr, $attribute:expr) => {{
            let (mut bytes, mut written) = ([0_u8; 16], 0);
            // SAFETY: the handle is alive; writes at most so many bytes, and their number. Asked for none, it says how many there are.
            let status = unsafe {
                $function($handle, $attribute, ptr::null_mut(), 0, &raw mut written);
                $function($handle, $attribute, bytes.as_mut_ptr().cast(), written, &raw mut written)
            };
            assert_eq!(status as u32, 0);
            bytes[..written].to_vec()
        }};
    }

    /// Descriptions need no GPU: where the library is installed, it is asked what it understood.
    #[test]
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    fn the_library_understands_the_description() {
        if let Err(missing) = Library::CublasLt.find() {
            eprintln!("skipped: {missing}");
            return;
        }
        let matrix = Matrix {
            format: Format::Bf16,
            rows: 320,
            cols: 77,
            leading: 640,
            batch_stride: 1 << 33,
            alignment: 8,
        };
        let layout = Layout {
            left: matrix,
            left_transposed: true,
            right: Matrix {
                alignment: 2,
                ..matrix
            },
            right_transposed: false,
            c: matrix,
            d: Matrix {
                alignment: 16,
                ..matrix
            },
            batch: 5,
            bias: None,
            precision: Precision::Fast,
        };
        let described = MatrixLayout::new(&matrix, 5).expect("the library describes matrices");
        let read = |attribute| attribute!(cublasLtMatrixLayoutGetAttribute, described.0, attribute);
        assert_eq!(
            read(LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_TYPE),
            (cudaDataType_t::CUDA_R_16BF as i32).to_ne_bytes()
        );
        assert_eq!(
            read(LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_ROWS),
            320_u64.to_ne_bytes()
        );
        assert_eq!(
            read(LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_COLS),
            77_u64.to_ne_bytes()
        );
        assert_eq!(
            read(LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_LD),
            640_i64.to_ne_bytes()
        );
        assert_eq!(
            read(LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_ORDER),
            0_i32.to_ne_bytes(),
            "column-major"
        );
        assert_eq!(
            read(LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT),
            5_i32.to_ne_bytes()
        );
        assert_eq!(
            read(LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET),
            (1_i64 << 33).to_ne_bytes()
        );

        let description = Description::new(&layout).expect("the library describes products");
        let epilogue = cudarc::cublaslt::sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS as u32;
        description
            .set(
                DescriptionAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
                &epilogue,
            )
            .expect("a bias may be added");
        description
            .set(
                DescriptionAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                &0x1234_5678_9abc_u64,
            )
            .expect("it stands somewhere");
        let read = |attribute| attribute!(cublasLtMatmulDescGetAttribute, description.0, attribute);
        assert_eq!(
            read(DescriptionAttribute::CUBLASLT_MATMUL_DESC_TRANSA),
            1_i32.to_ne_bytes()
        );
        assert_eq!(
            read(DescriptionAttribute::CUBLASLT_MATMUL_DESC_TRANSB),
            0_i32.to_ne_bytes()
        );
        assert_eq!(
            read(DescriptionAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE),
            4_u32.to_ne_bytes()
        );
        assert_eq!(
            read(DescriptionAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER),
            0x1234_5678_9abc_u64.to_ne_bytes()
        );
        assert_eq!(
            read(DescriptionAttribute::CUBLASLT_MATMUL_DESC_COMPUTE_TYPE),
            68_i32.to_ne_bytes()
        );
        assert_eq!(
            read(DescriptionAttribute::CUBLASLT_MATMUL_DESC_SCALE_TYPE),
            0_i32.to_ne_bytes()
        );
        assert_eq!(
            read(DescriptionAttribute::CUBLASLT_MATMUL_DESC_POINTER_MODE),
            0_i32.to_ne_bytes(),
            "factors are the host's"
        );
        for (precision, compute) in [(Precision::Fast, 77_i32), (Precision::Full, 68)] {
            let left = Matrix {
                format: Format::F32,
                ..matrix
            };
            let description = Description::new(&Layout {
                left,
                precision,
                ..layout
            })
            .expect("the library describes products");
            let read = attribute!(
                cublasLtMatmulDescGetAttribute,
                description.0,
                DescriptionAttribute::CUBLASLT_MATMUL_DESC_COMPUTE_TYPE
            );
            assert_eq!(read, compute.to_ne_bytes());
        }

        let preference = Preference::new(&layout).expect("the library has preferences");
        let read = |attribute| {
            attribute!(
                cublasLtMatmulPreferenceGetAttribute,
                preference.0,
                attribute
            )
        };
        assert_eq!(
            read(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES),
            (WORKSPACE as u64).to_ne_bytes()
        );
        assert_eq!(
            read(PreferenceAttribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK),
            2_u32.to_ne_bytes()
        );
        assert_eq!(
            read(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES),
            8_u32.to_ne_bytes()
        );
        assert_eq!(
            read(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES),
            2_u32.to_ne_bytes()
        );
        assert_eq!(
            read(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES),
            8_u32.to_ne_bytes()
        );
        assert_eq!(
            read(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES),
            16_u32.to_ne_bytes()
        );
    }
}
