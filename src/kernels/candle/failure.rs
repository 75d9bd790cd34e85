//! candle's errors as device faults.
//!
//! The errors of its CUDA and Metal devices are opaque here, because their types exist only in builds with these devices, so they are
//! recognised by the names of the driver's and libraries' codes in their text.

use candle_core::Error;

use crate::kernels::fault::DeviceFault;

/// Parts of messages in lower case that mean lack of memory: of CUDA's driver, cuBLAS, and Metal's allocator and command buffers.
const OUT_OF_MEMORY: [&str; 6] = [
    "out_of_memory",
    "out of memory",
    "alloc_failed",
    "outofmemory",
    "insufficient memory",
    "failed to create metal resource",
];

/// Parts of messages in lower case that mean that an operation has no kernel. The device remains usable.
const UNSUPPORTED: [&str; 6] = [
    "not implemented",
    "unsupported",
    "not_supported",
    "missing kernel",
    "only supported for",
    "error while loading function",
];

/// Whether a message has one of these parts.
fn has_any(message: &str, parts: &[&str]) -> bool {
    let message = message.to_lowercase();
    parts.iter().any(|part| message.contains(part))
}

/// Free and total memory of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryState {
    pub(super) free: u64,
    pub(super) total: u64,
}

/// Returns the innermost error, without backtraces and context.
fn innermost(error: &Error) -> &Error {
    match error {
        Error::Context { inner, .. }
        | Error::WithPath { inner, .. }
        | Error::WithBacktrace { inner, .. } => innermost(inner),
        error => error,
    }
}

/// Returns what failed, in one line.
pub(super) fn reason(error: &Error) -> String {
    let text = innermost(error).to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ")
}

/// Returns whether an operation failed for lack of memory.
pub(super) fn is_out_of_memory(error: &Error) -> bool {
    is_of_device(innermost(error)) && has_any(&reason(error), &OUT_OF_MEMORY)
}

/// Whether this may be an error of the device, as opposed to one of the shapes that it was given.
fn is_of_device(error: &Error) -> bool {
    matches!(
        error,
        Error::Cuda(_)
            | Error::Metal(_)
            | Error::Wrapped(_)
            | Error::WrappedContext { .. }
            | Error::Msg(_)
    )
}

/// Returns the fault of an error.
///
/// # Panics
/// If the error is about shapes: that is a bug of the caller.
pub(super) fn fault(error: &Error, memory: Option<MemoryState>) -> DeviceFault {
    let reason = reason(error);
    let inner = innermost(error);
    if is_out_of_memory(error) {
        let MemoryState { free, total } = memory.unwrap_or(MemoryState { free: 0, total: 0 });
        return DeviceFault::OutOfMemory {
            need: 0,
            free,
            total,
        };
    }
    let has_no_kernel = matches!(
        inner,
        Error::UnsupportedDTypeForOp(..)
            | Error::RequiresContiguous { .. }
            | Error::MatMulUnexpectedStriding(_)
            | Error::NotCompiledWithCudaSupport
            | Error::NotCompiledWithMetalSupport
    );
    let call = "candle".to_owned();
    if has_no_kernel || is_of_device(inner) && has_any(&reason, &UNSUPPORTED) {
        return DeviceFault::Refused { call, reason };
    }
    assert!(
        is_of_device(inner),
        "an operation's shapes differ: {reason}"
    );
    DeviceFault::Lost { call, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error as EditError, ErrorKind};

    /// An error as candle's CUDA device wraps those of the driver.
    fn cuda(text: &str) -> Error {
        Error::Cuda(text.into())
    }

    fn kind(error: &Error) -> ErrorKind {
        EditError::from(fault(error, None)).kind()
    }

    #[test]
    fn errors_of_a_device_are_told_apart() {
        for text in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
        ] {
            assert_eq!(kind(&cuda(text)), ErrorKind::ComputeOutOfMemory, "{text}");
        }
        for text in [
            "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access was encountered\")",
            "CublasError(CUBLAS_STATUS_EXECUTION_FAILED)",
        ] {
            assert_eq!(kind(&cuda(text)), ErrorKind::DeviceLost, "{text}");
        }
        for error in [
            cuda("missing kernel 'indexing'"),
            cuda("CublasError(CUBLAS_STATUS_NOT_SUPPORTED)"),
            Error::Msg("Metal contiguous index_select F64 F64 not implemented".into()),
            Error::UnsupportedDTypeForOp(candle_core::DType::F64, "matmul"),
        ] {
            assert_eq!(kind(&error), ErrorKind::DeviceRefused, "{error}");
        }
    }

    #[test]
    fn context_and_backtraces_are_left_out() {
        let error = cuda("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
        let wrapped = error.context("while multiplying\nmatrices");
        assert!(is_out_of_memory(&wrapped));
        assert!(!reason(&wrapped).contains("multiplying"));
        let memory = MemoryState {
            free: 1 << 20,
            total: 8 << 20,
        };
        let message = EditError::from(fault(&wrapped, Some(memory))).to_string();
        assert!(message.contains("1 of 8 MiB are free"), "{message}");
    }

    #[test]
    #[should_panic(expected = "shapes differ")]
    fn a_wrong_shape_is_a_bug() {
        fault(
            &Error::OnlySingleDimension {
                op: "squeeze",
                dims: vec![1, 2],
            },
            None,
        );
    }
}
