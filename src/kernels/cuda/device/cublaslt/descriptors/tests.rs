//! Reads the descriptors back from an installed cuBLASLt.

use cudarc::cublaslt::sys::{
    cublasLtMatmulDescGetAttribute, cublasLtMatmulPreferenceGetAttribute,
    cublasLtMatrixLayoutGetAttribute,
};

use super::super::super::library::NvidiaLibrary;
use super::*;

/// Reads the bytes of an attribute.
macro_rules! attribute {
    ($function:ident, $handle:expr, $attribute:expr) => {{
        let (mut bytes, mut written) = ([0_u8; 16], 0);
        // SAFETY: the handle is alive. The first call only writes the attribute's size, the
        // second one at most 16 bytes and the size.
        let status = unsafe {
            $function($handle, $attribute, ptr::null_mut(), 0, &raw mut written);
            $function(
                $handle,
                $attribute,
                bytes.as_mut_ptr().cast(),
                written,
                &raw mut written,
            )
        };
        assert_eq!(status as u32, 0);
        bytes[..written].to_vec()
    }};
}

/// Descriptors need no GPU: if the library is installed, it must read back what was set.
#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
fn the_library_reads_back_the_descriptors() {
    if let Err(missing) = NvidiaLibrary::CublasLt.find() {
        eprintln!("skipped: {missing}");
        return;
    }
    let matrix = ColumnMajor {
        format: Format::Bf16,
        rows: 320,
        cols: 77,
        leading: 640,
        batch_stride: 1 << 33,
        alignment: 8,
    };
    let layout = GemmLayout {
        left: matrix,
        left_transposed: true,
        right: ColumnMajor {
            alignment: 2,
            ..matrix
        },
        right_transposed: false,
        c: matrix,
        d: ColumnMajor {
            alignment: 16,
            ..matrix
        },
        batch: 5,
        bias: None,
        precision: Precision::Tf32,
    };
    let described = MatrixLayout::new(&matrix, 5).expect("a matrix can be described");
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

    let descriptor = MatmulDescriptor::new(&layout).expect("a product can be described");
    let epilogue = cudarc::cublaslt::sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS as u32;
    descriptor
        .set(
            DescriptorAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
            &epilogue,
        )
        .expect("the epilogue can be set");
    descriptor
        .set(
            DescriptorAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
            &0x1234_5678_9abc_u64,
        )
        .expect("the pointer can be set");
    let read = |attribute| attribute!(cublasLtMatmulDescGetAttribute, descriptor.0, attribute);
    assert_eq!(
        read(DescriptorAttribute::CUBLASLT_MATMUL_DESC_TRANSA),
        1_i32.to_ne_bytes()
    );
    assert_eq!(
        read(DescriptorAttribute::CUBLASLT_MATMUL_DESC_TRANSB),
        0_i32.to_ne_bytes()
    );
    assert_eq!(
        read(DescriptorAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE),
        4_u32.to_ne_bytes()
    );
    assert_eq!(
        read(DescriptorAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER),
        0x1234_5678_9abc_u64.to_ne_bytes()
    );
    assert_eq!(
        read(DescriptorAttribute::CUBLASLT_MATMUL_DESC_COMPUTE_TYPE),
        68_i32.to_ne_bytes()
    );
    assert_eq!(
        read(DescriptorAttribute::CUBLASLT_MATMUL_DESC_SCALE_TYPE),
        0_i32.to_ne_bytes()
    );
    assert_eq!(
        read(DescriptorAttribute::CUBLASLT_MATMUL_DESC_POINTER_MODE),
        0_i32.to_ne_bytes(),
        "alpha and beta are on the host"
    );
    for (precision, compute) in [(Precision::Tf32, 77_i32), (Precision::F32, 68)] {
        let left = ColumnMajor {
            format: Format::F32,
            ..matrix
        };
        let descriptor = MatmulDescriptor::new(&GemmLayout {
            left,
            precision,
            ..layout
        })
        .expect("a product can be described");
        let read = attribute!(
            cublasLtMatmulDescGetAttribute,
            descriptor.0,
            DescriptorAttribute::CUBLASLT_MATMUL_DESC_COMPUTE_TYPE
        );
        assert_eq!(read, compute.to_ne_bytes());
    }

    let preference = MatmulPreference::new(&layout).expect("a preference can be created");
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
