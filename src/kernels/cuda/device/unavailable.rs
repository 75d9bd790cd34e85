//! Errors of opening a GPU, before anything is computed.

use crate::kernels::fault::DeviceFault;

use super::call::CallFailure;

/// Why a GPU cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceUnavailable {
    /// NVIDIA's driver is not installed or not visible.
    #[error("the NVIDIA driver was not found ({})", names(searched, reason.as_ref()))]
    NoDriver {
        /// File names that were tried, in order.
        searched: Vec<String>,
        /// The loader's message for a file that exists.
        reason: Option<String>,
    },
    /// The driver does not support the CUDA version of kernels and libraries.
    #[error("the NVIDIA driver supports CUDA {}; {} is required", version(*found), version(*needed))]
    DriverTooOld {
        /// The newest CUDA version that the driver supports; 12020 is 12.2.
        found: u32,
        /// The oldest sufficient version, in the same format.
        needed: u32,
    },
    /// The driver finds no GPU.
    #[error("the NVIDIA driver finds no GPU")]
    NoDevice,
    /// The index is too large.
    #[error("GPU {index} does not exist: this machine has {}", if *count == 1 { "one GPU, number 0".to_owned() } else { format!("{count} GPUs, numbers 0 to {}", count - 1) })]
    NoSuchDevice {
        /// The requested GPU.
        index: usize,
        /// The number of GPUs, at least one.
        count: usize,
    },
    /// The GPU is too old for the kernels.
    #[error("{name} has compute capability {}.{}; {}.{} is required", found.0, found.1, needed.0, needed.1)]
    DeviceTooOld {
        /// The GPU's name.
        name: String,
        /// Its compute capability, major and minor.
        found: (u32, u32),
        /// The minimum.
        needed: (u32, u32),
    },
    /// A library of NVIDIA's is not installed or not on the library path.
    #[error("{library} was not found ({})", names(searched, reason.as_ref()))]
    NoLibrary {
        /// NVIDIA's name of the library.
        library: &'static str,
        /// File names that were tried, in order.
        searched: Vec<String>,
        /// The loader's message for a file that exists.
        reason: Option<String>,
    },
    /// A library lacks a function.
    #[error("{library} has no function `{function}`; its version is not supported")]
    LibraryLacks {
        /// NVIDIA's name of the library.
        library: &'static str,
        /// The function.
        function: &'static str,
    },
    /// A library has a version that this program or the driver does not support.
    #[error("{library} {found} is not supported; {needed} is required")]
    LibraryVersion {
        /// NVIDIA's name of the library.
        library: &'static str,
        /// Its version.
        found: String,
        /// The supported versions.
        needed: String,
    },
    /// The driver could not load the kernels.
    #[error("the driver could not load the kernels: {reason}{}{log}", if log.is_empty() { "" } else { ": " })]
    Kernels {
        /// The driver's message.
        reason: String,
        /// Its compiler's log; often empty.
        log: String,
    },
    /// An environment variable has a value that it cannot have.
    #[error("`{variable}` is `{value}`; it must be {allowed}")]
    Setting {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The values that it can have.
        allowed: &'static str,
    },
    /// Another call failed while the GPU was opened.
    #[error("the GPU could not be opened: `{call}`: {reason}")]
    Failed {
        /// The driver's or library's function.
        call: String,
        /// Its message.
        reason: String,
    },
}

impl From<CallFailure> for DeviceUnavailable {
    fn from(failure: CallFailure) -> Self {
        Self::Failed {
            call: failure.call.to_owned(),
            reason: failure.reason,
        }
    }
}

impl From<DeviceFault> for DeviceUnavailable {
    fn from(fault: DeviceFault) -> Self {
        match fault {
            DeviceFault::OutOfMemory { need, free, total } => {
                let reason =
                    format!("out of memory: {need} bytes requested, {free} of {total} are free");
                Self::Failed {
                    call: "cuMemAllocAsync".to_owned(),
                    reason,
                }
            }
            DeviceFault::Refused { call, reason } | DeviceFault::Lost { call, reason } => {
                Self::Failed { call, reason }
            }
        }
    }
}

/// Summarises the names that were tried and the loader's message.
fn names(searched: &[String], reason: Option<&String>) -> String {
    let list = match searched {
        [] => "tried no names".to_owned(),
        [only] => format!("tried `{only}`"),
        [first, .., last] => format!("tried {} names from `{first}` to `{last}`", searched.len()),
    };
    reason.map_or_else(|| list.clone(), |reason| format!("{list}; {reason}"))
}

/// Formats a CUDA version: 12020 is 12.2.
fn version(number: u32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let searched = vec!["libcuda.so".to_owned(), "libcuda.so.1".to_owned()];
        assert_eq!(
            DeviceUnavailable::NoDriver {
                searched: searched.clone(),
                reason: None
            }
            .to_string(),
            "the NVIDIA driver was not found (tried 2 names from `libcuda.so` to `libcuda.so.1`)"
        );
        let reason = Some("libz.so.1: no such file".to_owned());
        assert!(
            DeviceUnavailable::NoLibrary {
                library: "cuDNN",
                searched,
                reason
            }
            .to_string()
            .ends_with("to `libcuda.so.1`; libz.so.1: no such file)")
        );
        assert_eq!(
            DeviceUnavailable::DriverTooOld {
                found: 11_040,
                needed: 12_000
            }
            .to_string(),
            "the NVIDIA driver supports CUDA 11.4; 12.0 is required"
        );
        assert_eq!(
            DeviceUnavailable::NoSuchDevice { index: 1, count: 1 }.to_string(),
            "GPU 1 does not exist: this machine has one GPU, number 0"
        );
        assert_eq!(
            DeviceUnavailable::NoSuchDevice { index: 9, count: 4 }.to_string(),
            "GPU 9 does not exist: this machine has 4 GPUs, numbers 0 to 3"
        );
        let kernels = DeviceUnavailable::Kernels {
            reason: "CUDA_ERROR_INVALID_PTX".to_owned(),
            log: "line 3".to_owned(),
        };
        assert_eq!(
            kernels.to_string(),
            "the driver could not load the kernels: CUDA_ERROR_INVALID_PTX: line 3"
        );
    }
}
