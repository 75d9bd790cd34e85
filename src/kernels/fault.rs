//! Failures of a device. [`Backend`](super::Backend) methods return no `Result`: a failure is thrown with [`throw`], unwinds through
//! the layers of [`crate::nn`], which so release their memory, and becomes an [`Error`] in [`catch`], which surrounds an edit.
//! [`throw`] is not a panic: it does not run the panic hook, and [`catch`] lets panics pass.

use std::panic::{self, AssertUnwindSafe};

use crate::error::{Error, ErrorKind, Result};

/// Why a device operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceFault {
    /// An allocation failed for lack of memory.
    OutOfMemory {
        /// Bytes requested; 0 if a library failed without saying how much it requested.
        need: u64,
        /// Bytes that are free.
        free: u64,
        /// Bytes of memory that the device has; 0 if it does not say.
        total: u64,
    },
    /// A library does not support an operation. The device remains usable.
    Refused {
        /// The library's function.
        call: String,
        /// Why the operation is not supported.
        reason: String,
    },
    /// A call failed and left the device unusable: all later calls fail too.
    Lost {
        /// The driver's or library's function.
        call: String,
        /// The error that it reported.
        reason: String,
    },
}

impl From<DeviceFault> for Error {
    fn from(fault: DeviceFault) -> Self {
        match fault {
            DeviceFault::OutOfMemory { need, free, total } => {
                let [need, free, total] = [need, free, total].map(|bytes| bytes.div_ceil(1 << 20));
                let requested = (need > 0).then(|| format!("{need} MiB requested"));
                let state = (total > 0).then(|| format!("{free} of {total} MiB are free"));
                let figures: Vec<String> = requested.into_iter().chain(state).collect();
                let figures = if figures.is_empty() {
                    String::new()
                } else {
                    format!(": {}", figures.join(", "))
                };
                Self::Device {
                    kind: ErrorKind::ComputeOutOfMemory,
                    reason: format!("the GPU is out of memory{figures}"),
                    hint: "try `--dtype f16`, a smaller `--size`, `--lora-batch 1` or `--device cpu`; other programs may be using GPU memory"
                        .into(),
                }
            }
            DeviceFault::Refused { call, reason } => Self::Device {
                kind: ErrorKind::DeviceRefused,
                reason: format!("a GPU library does not support an operation: `{call}`: {reason}"),
                hint: "report this together with the output of `dragnext doctor`; `--device cpu` does not use these libraries".into(),
            },
            DeviceFault::Lost { call, reason } => Self::Device {
                kind: ErrorKind::DeviceLost,
                reason: format!("the GPU stopped responding: `{call}`: {reason}"),
                hint: "run it again; if it fails again, `dragnext doctor` shows the device and its driver, and `--device cpu` does not need them"
                    .into(),
            },
        }
    }
}

/// Unwinds to the nearest [`catch`] without running the panic hook.
pub fn throw(fault: DeviceFault) -> ! {
    panic::resume_unwind(Box::new(fault))
}

/// Runs `work` and returns its result, or the [`DeviceFault`] that it threw as an error.
///
/// # Errors
/// Those of `work`; [`Error::Device`]: `compute.out_of_memory`, `device.refused` or `device.lost`.
///
/// # Panics
/// When `work` panics: the panic continues to unwind.
pub fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<DeviceFault>() {
            Ok(fault) => Err((*fault).into()),
            Err(payload) => panic::resume_unwind(payload),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catch_turns_a_fault_into_an_error_and_lets_a_panic_pass() {
        let lost = || {
            throw(DeviceFault::Lost {
                call: "cuLaunchKernel".into(),
                reason: "an illegal address".into(),
            })
        };
        assert_eq!(
            catch::<()>(lost).expect_err("it was thrown").kind(),
            ErrorKind::DeviceLost
        );
        let memory = DeviceFault::OutOfMemory {
            need: 3 << 20,
            free: 1,
            total: 2 << 20,
        };
        let error = catch::<()>(|| throw(memory)).expect_err("it was thrown");
        assert_eq!(
            (error.kind(), error.exit_status()),
            (ErrorKind::ComputeOutOfMemory, 1)
        );
        assert!(
            error
                .to_string()
                .contains("3 MiB requested, 1 of 2 MiB are free"),
            "{error}"
        );
        let unknown = DeviceFault::OutOfMemory {
            need: 0,
            free: 0,
            total: 0,
        };
        let error = Error::from(unknown).to_string();
        assert!(error.ends_with("the GPU is out of memory"), "{error}");
        assert_eq!(catch(|| Ok(7)).expect("nothing was thrown"), 7);
        assert!(
            panic::catch_unwind(|| catch::<()>(|| panic::resume_unwind(Box::new("a bug"))))
                .is_err()
        );
    }
}
