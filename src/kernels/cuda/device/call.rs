//! Calls of NVIDIA's libraries and their status codes.

use std::ffi::{CStr, c_char};
use std::ptr;

use cudarc::cublaslt::sys::{self as cublaslt, cublasStatus_t};
use cudarc::cudnn::sys::{self as cudnn, cudnnStatus_t};
use cudarc::driver::sys::{self as driver, CUresult};

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

impl CallFailure {
    /// Returns whether the call failed for lack of device or host memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        // CUDA_ERROR_OUT_OF_MEMORY, CUBLAS_STATUS_ALLOC_FAILED, and cuDNN's allocation failures on
        // host and device.
        let codes: &[u32] = match self.call {
            call if call.starts_with("cublas") => &[3],
            call if call.starts_with("cudnn") => &[4003, 4004],
            _ => &[2],
        };
        codes.contains(&self.code)
    }
}

impl From<CallFailure> for DeviceFault {
    fn from(failure: CallFailure) -> Self {
        if !failure.is_out_of_memory() {
            return lost(failure.call, failure.reason);
        }
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two integers; they stay zero if the call fails.
        let _ = unsafe { driver::cuMemGetInfo_v2(&raw mut free, &raw mut total) };
        Self::OutOfMemory {
            need: 0,
            free: free as u64,
            total: total as u64,
        }
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
        $crate::kernels::cuda::device::call::check(stringify!($function), cudarc::$library::sys::$function($($argument),*))
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
            driver::cuGetErrorName(self, &raw mut name);
            driver::cuGetErrorString(self, &raw mut text);
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
        owned(unsafe { cublaslt::cublasLtGetStatusString(self) })
            .unwrap_or_else(|| format!("error {}", self.code()))
    }
}

impl Status for cudnnStatus_t {
    fn code(self) -> u32 {
        self as u32
    }

    fn text(self) -> String {
        // SAFETY: returns a static string of the library.
        let status = owned(unsafe { cudnn::cudnnGetErrorString(self) })
            .unwrap_or_else(|| format!("error {}", self.code()));
        let mut message: [c_char; 1024] = [0; 1024];
        // SAFETY: writes at most that many bytes, including the terminating zero. The last byte
        // stays zero in any case.
        unsafe { cudnn::cudnnGetLastErrorString(message.as_mut_ptr(), message.len() - 1) };
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
