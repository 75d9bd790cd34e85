//! Calls into NVIDIA's libraries and what they answer.

use std::ffi::{CStr, c_char};
use std::ptr;

use cudarc::cublaslt::sys::{self as cublaslt, cublasStatus_t};
use cudarc::cudnn::sys::{self as cudnn, cudnnStatus_t};
use cudarc::driver::sys::{self as driver, CUresult};

use crate::kernels::fault::DeviceFault;

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The function.
    pub call: &'static str,
    /// Its status, as the library's header numbers it.
    pub code: u32,
    /// The library's text for it.
    pub reason: String,
}

impl Failure {
    /// Was there no memory, the GPU's or a library's own?
    pub(super) fn is_out_of_memory(&self) -> bool {
        // CUDA_ERROR_OUT_OF_MEMORY, CUBLAS_STATUS_ALLOC_FAILED, and cuDNN's allocations on the host and on the device.
        let codes: &[u32] = match self.call {
            call if call.starts_with("cublas") => &[3],
            call if call.starts_with("cudnn") => &[4003, 4004],
            _ => &[2],
        };
        codes.contains(&self.code)
    }
}

impl From<Failure> for DeviceFault {
    fn from(failure: Failure) -> Self {
        if !failure.is_out_of_memory() {
            return lost(failure.call, failure.reason);
        }
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two numbers; where the driver does not say, they stay zeros.
        let _ = unsafe { driver::cuMemGetInfo_v2(&raw mut free, &raw mut total) };
        Self::OutOfMemory {
            need: 0,
            free: free as u64,
            total: total as u64,
        }
    }
}

/// A fault that no library reported.
pub(super) fn lost(call: &str, reason: impl Into<String>) -> DeviceFault {
    DeviceFault::Lost {
        call: call.to_owned(),
        reason: reason.into(),
    }
}

/// A fault of one call, after which others can still be made.
pub(super) fn refused(call: &str, reason: impl Into<String>) -> DeviceFault {
    DeviceFault::Refused {
        call: call.to_owned(),
        reason: reason.into(),
    }
}

/// What a library's functions return.
pub(super) trait Status: Copy {
    /// As the library's header numbers it; 0 is success.
    fn code(self) -> u32;
    /// The library's text for it.
    fn text(self) -> String;
}

/// Calls a function of `driver`, `cublaslt` or `cudnn` and turns its status into a [`Result`]; for use in an unsafe block.
macro_rules! ask {
    ($library:ident, $function:ident($($argument:expr),* $(,)?)) => {
        $crate::kernels::cuda::device::call::check(stringify!($function), cudarc::$library::sys::$function($($argument),*))
    };
}
pub(super) use ask;

/// Turns a status into a result.
pub(super) fn check(call: &'static str, status: impl Status) -> Result<(), Failure> {
    match status.code() {
        0 => Ok(()),
        code => Err(Failure {
            call,
            code,
            reason: status.text(),
        }),
    }
}

// The statuses are Rust enums in the bindings. A library that is newer than they are may answer with a number that they do not
// list, so a status is looked at as a number only, and its text comes from the library, never from the enum's `Debug`.

impl Status for CUresult {
    fn code(self) -> u32 {
        self as u32
    }

    fn text(self) -> String {
        let mut name: *const c_char = ptr::null();
        let mut text: *const c_char = ptr::null();
        // SAFETY: both write a pointer to a static text of the driver, or null for an unknown status.
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
        // SAFETY: gives a static text of the library.
        owned(unsafe { cublaslt::cublasLtGetStatusString(self) })
            .unwrap_or_else(|| format!("error {}", self.code()))
    }
}

impl Status for cudnnStatus_t {
    fn code(self) -> u32 {
        self as u32
    }

    fn text(self) -> String {
        // SAFETY: gives a static text of the library.
        let status = owned(unsafe { cudnn::cudnnGetErrorString(self) })
            .unwrap_or_else(|| format!("error {}", self.code()));
        let mut message: [c_char; 1024] = [0; 1024];
        // SAFETY: writes at most so many bytes, the ending zero among them. The last byte stays zero in any case.
        unsafe { cudnn::cudnnGetLastErrorString(message.as_mut_ptr(), message.len() - 1) };
        match owned(message.as_ptr()) {
            Some(detail) => format!("{status}: {detail}"),
            None => status,
        }
    }
}

/// A text of a library; none for a null pointer or an empty one.
fn owned(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and the callers' texts end with a zero.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
