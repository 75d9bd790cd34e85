//! Calls of NVIDIA's libraries and their status codes.

use std::ffi::{CStr, c_char};
use std::ptr;

use cudarc::cublaslt::sys::cublasStatus_t;
use cudarc::cudnn::sys::cudnnStatus_t;
use cudarc::driver::sys::CUresult;

use super::symbol::invoke;
use crate::kernels::fault::DeviceFault;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// The function.
    pub call: &'static str,
    /// Its status code.
    pub code: u32,
    /// The library's description of the status.
    pub reason: String,
}

/// What a status code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The library does not support the operation, now or later. Nothing was submitted.
    Unsupported,
    /// Memory is short, by the code itself.
    OutOfMemory,
    /// Short memory, or an unusable GPU: the libraries report both with the same codes.
    Execution,
    /// The GPU is unusable.
    Lost,
}

impl CallFailure {
    /// Classifies the status code (cuda.h; cuBLAS and cuDNN 9 API references).
    pub(super) fn kind(&self) -> FailureKind {
        if self.call.starts_with("cublas") {
            return match self.code {
                // CUBLAS_STATUS_ALLOC_FAILED.
                3 => FailureKind::OutOfMemory,
                // INVALID_VALUE, ARCH_MISMATCH, NOT_SUPPORTED.
                7 | 8 | 15 => FailureKind::Unsupported,
                // NOT_INITIALIZED, MAPPING_ERROR, EXECUTION_FAILED, INTERNAL_ERROR, and codes of
                // later versions.
                _ => FailureKind::Execution,
            };
        }
        if self.call.starts_with("cudnn") {
            return match self.code {
                // Codes that concern the installation, and stay the same. Then BAD_PARAM and
                // NOT_SUPPORTED with their details.
                1002..4000 => FailureKind::Unsupported,
                // INTERNAL_ERROR_HOST_ALLOCATION_FAILED and _DEVICE_ALLOCATION_FAILED.
                4003 | 4004 => FailureKind::OutOfMemory,
                // NOT_INITIALIZED (1001), with which creating a handle fails for lack of memory, then
                // INTERNAL_ERROR and EXECUTION_FAILED with their details.
                _ => FailureKind::Execution,
            };
        }
        match self.code {
            // CUDA_ERROR_OUT_OF_MEMORY.
            2 => FailureKind::OutOfMemory,
            _ => FailureKind::Lost,
        }
    }
}

impl From<CallFailure> for DeviceFault {
    fn from(failure: CallFailure) -> Self {
        if failure.kind() != FailureKind::OutOfMemory {
            return lost(failure.call, failure.reason);
        }
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two integers; they stay zero if the call fails.
        let _ = unsafe { invoke!(driver, cuMemGetInfo_v2(&raw mut free, &raw mut total)) };
        Self::OutOfMemory {
            need: 0,
            free: free as u64,
            total: total as u64,
        }
    }
}

/// Why a library did not compute something.
#[derive(Debug)]
pub(super) enum LibraryFailure {
    /// It does not support the operation: why. Nothing was submitted.
    Unsupported(String),
    /// A call failed.
    Call(CallFailure),
    /// Memory for the call could not be had.
    Fault(DeviceFault),
}

impl LibraryFailure {
    /// Returns the failure of a call during a capture: the capture is given up, and nothing is remembered.
    pub(super) fn of_capture(self) -> Self {
        Self::Fault(match self {
            Self::Unsupported(reason) => refused("cuStreamEndCapture", reason),
            Self::Call(failure) => refused(failure.call, failure.reason),
            Self::Fault(fault) => fault,
        })
    }
}

impl From<CallFailure> for LibraryFailure {
    fn from(failure: CallFailure) -> Self {
        match failure.kind() {
            FailureKind::Unsupported => {
                Self::Unsupported(format!("{}: {}", failure.call, failure.reason))
            }
            _ => Self::Call(failure),
        }
    }
}

impl From<DeviceFault> for LibraryFailure {
    fn from(fault: DeviceFault) -> Self {
        Self::Fault(fault)
    }
}

/// Separates unsupported operations, which are remembered, from faults, which are not.
pub(super) fn split_unsupported<T>(
    result: Result<T, LibraryFailure>,
) -> Result<Result<T, String>, DeviceFault> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(LibraryFailure::Unsupported(reason)) => Ok(Err(reason)),
        Err(LibraryFailure::Call(failure)) => Err(failure.into()),
        Err(LibraryFailure::Fault(fault)) => Err(fault),
    }
}

/// Returns a fault after which the GPU is unusable.
pub(super) fn lost(call: &str, reason: impl Into<String>) -> DeviceFault {
    DeviceFault::Lost {
        call: call.to_owned(),
        reason: reason.into(),
    }
}

/// Returns a fault of one call, after which others can still be made.
pub(super) fn refused(call: &str, reason: impl Into<String>) -> DeviceFault {
    DeviceFault::Refused {
        call: call.to_owned(),
        reason: reason.into(),
    }
}

/// Status type of a library's functions.
pub(super) trait Status: Copy {
    /// Returns the status code; 0 is success.
    fn code(self) -> u32;
    /// Returns the library's description of the status.
    fn text(self) -> String;
}

/// Calls a function of `driver`, `cublaslt` or `cudnn` and converts its status to a [`Result`].
/// Must be used in an unsafe block.
macro_rules! call {
    ($library:ident, $function:ident($($argument:expr),* $(,)?)) => {
        $crate::kernels::cuda::device::call::check(
            stringify!($function),
            $crate::kernels::cuda::device::symbol::invoke!($library, $function($($argument),*)),
        )
    };
}
pub(super) use call;

/// Converts a status to a result.
pub(super) fn check(call: &'static str, status: impl Status) -> Result<(), CallFailure> {
    match status.code() {
        0 => Ok(()),
        code => Err(CallFailure {
            call,
            code,
            reason: status.text(),
        }),
    }
}

// The bindings declare the statuses as enums. A newer library may return a code that they do not
// list, so the code is only read as an integer, and its description comes from the library, never
// from the enum's `Debug`.

impl Status for CUresult {
    fn code(self) -> u32 {
        self as u32
    }

    fn text(self) -> String {
        let mut name: *const c_char = ptr::null();
        let mut text: *const c_char = ptr::null();
        // SAFETY: both write a pointer to a static string of the driver, or null for an unknown
        // status.
        unsafe {
            invoke!(driver, cuGetErrorName(self, &raw mut name));
            invoke!(driver, cuGetErrorString(self, &raw mut text));
        }
        match (owned(name), owned(text)) {
            (Some(name), Some(text)) => format!("{name}: {text}"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => format!("error {}", self.code()),
        }
    }
}

impl Status for cublasStatus_t {
    fn code(self) -> u32 {
        self as u32
    }

    fn text(self) -> String {
        // SAFETY: returns a static string of the library.
        owned(unsafe { invoke!(cublaslt, cublasLtGetStatusString(self)) })
            .unwrap_or_else(|| format!("error {}", self.code()))
    }
}

impl Status for cudnnStatus_t {
    fn code(self) -> u32 {
        self as u32
    }

    fn text(self) -> String {
        // SAFETY: returns a static string of the library.
        let status = owned(unsafe { invoke!(cudnn, cudnnGetErrorString(self)) })
            .unwrap_or_else(|| format!("error {}", self.code()));
        let mut message: [c_char; 1024] = [0; 1024];
        // SAFETY: writes at most that many bytes, including the terminating zero. The last byte
        // stays zero in any case.
        unsafe {
            invoke!(
                cudnn,
                cudnnGetLastErrorString(message.as_mut_ptr(), message.len() - 1)
            );
        };
        match owned(message.as_ptr()) {
            Some(detail) => format!("{status}: {detail}"),
            None => status,
        }
    }
}

/// Copies a C string; `None` if it is null or empty.
fn owned(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and the callers pass zero-terminated strings.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_classified() {
        let kinds = |call, codes: &[u32]| -> Vec<FailureKind> {
            codes
                .iter()
                .map(|code| {
                    CallFailure {
                        call,
                        code: *code,
                        reason: String::new(),
                    }
                    .kind()
                })
                .collect()
        };
        let cudnn = |codes: &[u32]| kinds("cudnnConvolutionForward", codes);
        assert_eq!(
            cudnn(&[1002, 1008, 2000, 2008, 3000, 3003]),
            [FailureKind::Unsupported; 6]
        );
        assert_eq!(cudnn(&[4003, 4004]), [FailureKind::OutOfMemory; 2]);
        assert_eq!(
            cudnn(&[1001, 4000, 4001, 4002, 4005, 5000, 5003, 6000]),
            [FailureKind::Execution; 8]
        );
        let cublas = |codes: &[u32]| kinds("cublasLtMatmul", codes);
        assert_eq!(cublas(&[7, 8, 15]), [FailureKind::Unsupported; 3]);
        assert_eq!(cublas(&[3]), [FailureKind::OutOfMemory]);
        assert_eq!(cublas(&[1, 11, 13, 14]), [FailureKind::Execution; 4]);
        assert_eq!(
            kinds("cuLaunchKernel", &[2, 700, 719]),
            [
                FailureKind::OutOfMemory,
                FailureKind::Lost,
                FailureKind::Lost
            ]
        );
    }
}
