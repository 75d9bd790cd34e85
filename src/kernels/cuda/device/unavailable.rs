//! Errors of opening a GPU, before anything is computed.

use crate::kernels::fault::DeviceFault;

use super::call::CallFailure;

/// Why a GPU cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceUnavailable {
    /// NVIDIA's driver is not installed or not visible.
    #[error("there is no NVIDIA driver: no library was found under {}", names(searched, reason.as_ref()))]
    NoDriver {
        /// File names that were tried, in order.
        searched: Vec<String>,
        /// The loader's message for a file that exists.
        reason: Option<String>,
    },
    /// The driver does not support the CUDA version of kernels and libraries.
    #[error("the NVIDIA driver is too old: it supports CUDA {}, needed is {}", version(*found), version(*needed))]
    DriverTooOld {
        /// The newest CUDA version that the driver supports; 12020 is 12.2.
        found: u32,
        /// The oldest sufficient version, in the same format.
        needed: u32,
    },
    /// The driver finds no GPU.
    #[error("the NVIDIA driver sees no GPU")]
    NoDevice,
    /// The index is too large.
    #[error("there is no GPU {index}: there {}", if *count == 1 { "is one, 0".to_owned() } else { format!("are {count}, 0 to {}", count - 1) })]
    NoSuchDevice {
        /// The requested GPU.
        index: usize,
        /// The number of GPUs, at least one.
        count: usize,
    },
    /// The GPU is too old for the kernels.
    #[error("{name} has compute capability {}.{}, needed is {}.{}", found.0, found.1, needed.0, needed.1)]
    DeviceTooOld {
        /// The GPU's name.
        name: String,
        /// Its compute capability, major and minor.
        found: (u32, u32),
        /// The minimum.
        needed: (u32, u32),
    },
    /// A library of NVIDIA's is not installed or not on the library path.
    #[error("there is no {library}: no library was found under {}", names(searched, reason.as_ref()))]
    NoLibrary {
        /// NVIDIA's name of the library.
        library: &'static str,
        /// File names that were tried, in order.
        searched: Vec<String>,
        /// The loader's message for a file that exists.
        reason: Option<String>,
    },
    /// A library lacks a function.
    #[error("this {library} has no function {function}: it is too old or too new")]
    LibraryLacks {
        /// NVIDIA's name of the library.
        library: &'static str,
        /// The function.
        function: &'static str,
    },
    /// A library has a version that this program or the driver does not support.
    #[error("this {library} is version {found}, needed is {needed}")]
    LibraryVersion {
        /// NVIDIA's name of the library.
        library: &'static str,
        /// Its version.
        found: String,
        /// The supported versions.
        needed: String,
    },
    /// The driver could not load the kernels.
    #[error("the kernels could not be loaded: {reason}{}{log}", if log.is_empty() { "" } else { ": " })]
    Kernels {
        /// The driver's message.
        reason: String,
        /// Its compiler's log; often empty.
        log: String,
    },
    /// Another call failed while the GPU was opened.
    #[error("the GPU cannot be used: {call}: {reason}")]
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
                    format!("the GPU has no {need} bytes left: {free} of {total} are free");
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
        [] => "any name".to_owned(),
        [only] => format!("`{only}`"),
        [first, .., last] => format!("any of {} names from `{first}` to `{last}`", searched.len()),
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
    fn messages_name_what_is_missing() {
        let searched = vec!["libcuda.so".to_owned(), "libcuda.so.1".to_owned()];
        assert_eq!(
            DeviceUnavailable::NoDriver {
                searched: searched.clone(),
                reason: None
            }
            .to_string(),
            "there is no NVIDIA driver: no library was found under any of 2 names from `libcuda.so` to `libcuda.so.1`"
        );
        let reason = Some("libz.so.1: no such file".to_owned());
        assert!(
            DeviceUnavailable::NoLibrary {
                library: "cuDNN",
                searched,
                reason
            }
            .to_string()
            .ends_with("to `libcuda.so.1`; libz.so.1: no such file")
        );
        assert_eq!(
            DeviceUnavailable::DriverTooOld {
                found: 11_040,
                needed: 12_000
            }
            .to_string(),
            "the NVIDIA driver is too old: it supports CUDA 11.4, needed is 12.0"
        );
        assert_eq!(
            DeviceUnavailable::NoSuchDevice { index: 1, count: 1 }.to_string(),
            "there is no GPU 1: there is one, 0"
        );
        assert_eq!(
            DeviceUnavailable::NoSuchDevice { index: 9, count: 4 }.to_string(),
            "there is no GPU 9: there are 4, 0 to 3"
        );
        let kernels = DeviceUnavailable::Kernels {
            reason: "CUDA_ERROR_INVALID_PTX".to_owned(),
            log: "line 3".to_owned(),
        };
        assert_eq!(
            kernels.to_string(),
            "the kernels could not be loaded: CUDA_ERROR_INVALID_PTX: line 3"
        );
    }
}
