//! Why there is no GPU to work with: found when one is opened, before anything was computed.

use crate::kernels::fault::DeviceFault;

use super::call::Failure;

/// Why a GPU cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// NVIDIA's driver is not installed, or cannot be seen from here.
    #[error("there is no NVIDIA driver: no library was found under {}", names(searched, reason.as_ref()))]
    NoDriver {
        /// Names that were tried, in order.
        searched: Vec<String>,
        /// What the loader said of one that is there.
        reason: Option<String>,
    },
    /// The driver does not know what the kernels and libraries need.
    #[error("the NVIDIA driver is too old: it supports CUDA {}, needed is {}", version(*found), version(*needed))]
    DriverTooOld {
        /// The newest CUDA that the driver supports, as 1000 times its major version plus 10 times its minor one.
        found: u32,
        /// The oldest that will do, written likewise.
        needed: u32,
    },
    /// The driver sees no GPU.
    #[error("the NVIDIA driver sees no GPU")]
    NoDevice,
    /// There are fewer GPUs than that.
    #[error("there is no GPU {index}: there {}", if *count == 1 { "is one, 0".to_owned() } else { format!("are {count}, 0 to {}", count - 1) })]
    NoSuchDevice {
        /// The GPU that was asked for.
        index: usize,
        /// How many there are; at least one.
        count: usize,
    },
    /// The GPU is older than the kernels can be.
    #[error("{name} has compute capability {}.{}, needed is {}.{}", found.0, found.1, needed.0, needed.1)]
    DeviceTooOld {
        /// The GPU's name.
        name: String,
        /// Its compute capability, major and minor.
        found: (u32, u32),
        /// The least that will do.
        needed: (u32, u32),
    },
    /// A library of NVIDIA's is not installed, or not where libraries are looked for.
    #[error("there is no {library}: no library was found under {}", names(searched, reason.as_ref()))]
    NoLibrary {
        /// What NVIDIA calls it.
        library: &'static str,
        /// Names that were tried, in order.
        searched: Vec<String>,
        /// What the loader said of one that is there.
        reason: Option<String>,
    },
    /// A library is there, but lacks a function.
    #[error("this {library} has no function {function}: it is too old or too new")]
    LibraryLacks {
        /// What NVIDIA calls it.
        library: &'static str,
        /// The function.
        function: &'static str,
    },
    /// A library is there, but of a version that does not go with this program, or with the driver.
    #[error("this {library} is version {found}, needed is {needed}")]
    LibraryVersion {
        /// What NVIDIA calls it.
        library: &'static str,
        /// Its version.
        found: String,
        /// What would do.
        needed: String,
    },
    /// The driver could not load the kernels.
    #[error("the kernels could not be loaded: {reason}{}{log}", if log.is_empty() { "" } else { ": " })]
    Kernels {
        /// What the driver said.
        reason: String,
        /// What its compiler said; often nothing.
        log: String,
    },
    /// Something else failed while the GPU was opened.
    #[error("the GPU cannot be used: {call}: {reason}")]
    Failed {
        /// The driver's or library's function.
        call: String,
        /// What it said.
        reason: String,
    },
}

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        Self::Failed {
            call: failure.call.to_owned(),
            reason: failure.reason,
        }
    }
}

impl From<DeviceFault> for Unavailable {
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

/// What was tried, in short, and what else is wrong.
fn names(searched: &[String], reason: Option<&String>) -> String {
    let list = match searched {
        [] => "any name".to_owned(),
        [only] => format!("`{only}`"),
        [first, .., last] => format!("any of {} names from `{first}` to `{last}`", searched.len()),
    };
    reason.map_or_else(|| list.clone(), |reason| format!("{list}; {reason}"))
}

/// As NVIDIA writes it: 12020 is 12.2.
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
            Unavailable::NoDriver {
                searched: searched.clone(),
                reason: None
            }
            .to_string(),
            "there is no NVIDIA driver: no library was found under any of 2 names from `libcuda.so` to `libcuda.so.1`"
        );
        let reason = Some("libz.so.1: no such file".to_owned());
        assert!(
            Unavailable::NoLibrary {
                library: "cuDNN",
                searched,
                reason
            }
            .to_string()
            .ends_with("to `libcuda.so.1`; libz.so.1: no such file")
        );
        assert_eq!(
            Unavailable::DriverTooOld {
                found: 11_040,
                needed: 12_000
            }
            .to_string(),
            "the NVIDIA driver is too old: it supports CUDA 11.4, needed is 12.0"
        );
        assert_eq!(
            Unavailable::NoSuchDevice { index: 1, count: 1 }.to_string(),
            "there is no GPU 1: there is one, 0"
        );
        assert_eq!(
            Unavailable::NoSuchDevice { index: 9, count: 4 }.to_string(),
            "there is no GPU 9: there are 4, 0 to 3"
        );
        let kernels = Unavailable::Kernels {
            reason: "CUDA_ERROR_INVALID_PTX".to_owned(),
            log: "line 3".to_owned(),
        };
        assert_eq!(
            kernels.to_string(),
            "the kernels could not be loaded: CUDA_ERROR_INVALID_PTX: line 3"
        );
    }
}
