//! Reads the descriptors back from an installed cuBLASLt. Descriptors need no GPU.

use cudarc::cublaslt::sys::cublasLtEpilogue_t as Epilogue;

use super::super::super::library::NvidiaLibrary;
use super::super::super::symbol::invoke;
use super::*;

/// Reads the bytes of an attribute.
macro_rules! attribute {
    ($function:ident, $handle:expr, $attribute:expr) => {{
        let (mut bytes, mut written) = ([0_u8; 16], 0);
        // SAFETY: the handle is alive. The first call only writes the attribute's size, the
        // second one at most 16 bytes and the size.
        let status = unsafe {
            invoke!(
                cublaslt,
                $function($handle, $attribute, ptr::null_mut(), 0, &raw mut written)
            );
            invoke!(
                cublaslt,
                $function(
                    $handle,
                    $attribute,
                    bytes.as_mut_ptr().cast(),
                    written,
                    &raw mut written,
                )
            )
        };
        assert_eq!(status as u32, 0);
        bytes[..written].to_vec()
    }};
}

/// Returns whether cuBLASLt is installed. Otherwise prints that the test is skipped.
#[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
fn is_installed() -> bool {
    let found = NvidiaLibrary::CublasLt.find();
    if let Err(missing) = &found {
        eprintln!("skipped: {missing}");
    }
    found.is_ok()
}

fn matrix() -> ColumnMajor {
    ColumnMajor {
        format: Format::Bf16,
        rows: 320,
        cols: 77,
        leading: 640,
        batch_stride: 1 << 33,
        alignment: 8,
    }
}

fn layout() -> GemmLayout {
    let aligned = |alignment| ColumnMajor {
        alignment,
        ..matrix()
    };
    GemmLayout {
        left: matrix(),
        left_transposed: true,
        right: aligned(2),
        right_transposed: false,
        c: matrix(),
        d: aligned(16),
        batch: 5,
        bias: None,
        precision: Precision::Tf32,
    }
}

#[test]
fn a_matrix_layout_is_read_back() {
    use LayoutAttribute as Attribute;
    if !is_installed() {
        return;
    }
    let layout = MatrixLayout::new(&matrix(), 5).expect("a matrix can be described");
    let read = |attribute| attribute!(cublasLtMatrixLayoutGetAttribute, layout.0, attribute);
    let format = cudaDataType_t::CUDA_R_16BF as i32;
    let column_major = 0_i32;
    for (attribute, expected) in [
        (
            Attribute::CUBLASLT_MATRIX_LAYOUT_TYPE,
            format.to_ne_bytes().to_vec(),
        ),
        (
            Attribute::CUBLASLT_MATRIX_LAYOUT_ROWS,
            320_u64.to_ne_bytes().to_vec(),
        ),
        (
            Attribute::CUBLASLT_MATRIX_LAYOUT_COLS,
            77_u64.to_ne_bytes().to_vec(),
        ),
        (
            Attribute::CUBLASLT_MATRIX_LAYOUT_LD,
            640_i64.to_ne_bytes().to_vec(),
        ),
        (
            Attribute::CUBLASLT_MATRIX_LAYOUT_ORDER,
            column_major.to_ne_bytes().to_vec(),
        ),
        (
            Attribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
            5_i32.to_ne_bytes().to_vec(),
        ),
        (
            Attribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
            (1_i64 << 33).to_ne_bytes().to_vec(),
        ),
    ] {
        assert_eq!(read(attribute), expected, "{attribute:?}");
    }
}

#[test]
fn a_matmul_descriptor_is_read_back() {
    use DescriptorAttribute as Attribute;
    if !is_installed() {
        return;
    }
    let descriptor = MatmulDescriptor::new(&layout()).expect("a product can be described");
    let epilogue = Epilogue::CUBLASLT_EPILOGUE_BIAS as u32;
    descriptor
        .set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)
        .expect("the epilogue can be set");
    let bias = 0x1234_5678_9abc_u64;
    descriptor
        .set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)
        .expect("the pointer can be set");
    let read = |attribute| attribute!(cublasLtMatmulDescGetAttribute, descriptor.0, attribute);
    let (r_32f, on_the_host) = (0_i32, 0_i32);
    for (attribute, expected) in [
        (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, TRANSPOSED),
        (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, AS_STORED),
        (
            Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
            epilogue.cast_signed(),
        ),
        (
            Attribute::CUBLASLT_MATMUL_DESC_COMPUTE_TYPE,
            Compute::CUBLAS_COMPUTE_32F as i32,
        ),
        (Attribute::CUBLASLT_MATMUL_DESC_SCALE_TYPE, r_32f),
        (Attribute::CUBLASLT_MATMUL_DESC_POINTER_MODE, on_the_host),
    ] {
        assert_eq!(read(attribute), expected.to_ne_bytes(), "{attribute:?}");
    }
    assert_eq!(
        read(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER),
        bias.to_ne_bytes()
    );
}

#[test]
fn only_f32_products_use_tf32() {
    if !is_installed() {
        return;
    }
    for (precision, compute) in [
        (Precision::Tf32, Compute::CUBLAS_COMPUTE_32F_FAST_TF32),
        (Precision::F32, Compute::CUBLAS_COMPUTE_32F),
    ] {
        let left = ColumnMajor {
            format: Format::F32,
            ..matrix()
        };
        let descriptor = MatmulDescriptor::new(&GemmLayout {
            left,
            precision,
            ..layout()
        })
        .expect("a product can be described");
        let read = attribute!(
            cublasLtMatmulDescGetAttribute,
            descriptor.0,
            DescriptorAttribute::CUBLASLT_MATMUL_DESC_COMPUTE_TYPE
        );
        assert_eq!(read, (compute as i32).to_ne_bytes());
    }
}

#[test]
fn a_preference_is_read_back() {
    use PreferenceAttribute as Attribute;
    if !is_installed() {
        return;
    }
    let preference = MatmulPreference::new(&layout()).expect("a preference can be created");
    let read = |attribute| {
        attribute!(
            cublasLtMatmulPreferenceGetAttribute,
            preference.0,
            attribute
        )
    };
    assert_eq!(
        read(Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES),
        (WORKSPACE as u64).to_ne_bytes()
    );
    for (attribute, expected) in [
        (Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 2_u32),
        (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 8),
        (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 2),
        (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 8),
        (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 16),
    ] {
        assert_eq!(read(attribute), expected.to_ne_bytes(), "{attribute:?}");
    }
}
