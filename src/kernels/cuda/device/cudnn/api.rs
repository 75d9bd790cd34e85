//! Which of cuDNN's interfaces computes convolutions: what the environment selects, and whether the
//! libraries that it needs are there.

use std::ffi::OsStr;

use super::super::DeviceUnavailable;
use super::super::library::find_for_graphs;
use super::super::symbol::invoke;

/// Environment variable that selects the interface: `legacy` (the default) or `graph`.
const VARIABLE: &str = "DRAGNEXT_CUDNN";

/// An interface of cuDNN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum CudnnApi {
    /// The functions with a fixed list of algorithms.
    Legacy,
    /// The graph API, and the legacy functions for what it refuses.
    Graph,
}

impl CudnnApi {
    /// Returns the interface that the environment selects.
    ///
    /// # Errors
    /// [`DeviceUnavailable::Setting`].
    pub(in super::super) fn from_environment() -> Result<Self, DeviceUnavailable> {
        Self::of(std::env::var_os(VARIABLE).as_deref())
    }

    fn of(value: Option<&OsStr>) -> Result<Self, DeviceUnavailable> {
        match value.map(OsStr::to_string_lossy).as_deref() {
            None | Some("" | "legacy") => Ok(Self::Legacy),
            Some("graph") => Ok(Self::Graph),
            Some(value) => Err(DeviceUnavailable::Setting {
                variable: VARIABLE,
                value: value.to_owned(),
                allowed: "`graph` or `legacy`",
            }),
        }
    }

    /// Returns whether the interface can be used; `None` for the legacy functions, which cannot be
    /// missing. An `Err` says what the graph API lacks.
    pub(super) fn graphs(self) -> Option<Result<(), String>> {
        match self {
            Self::Legacy => None,
            Self::Graph => {
                // SAFETY: the library is loaded. The version is that of the CUDA that it was built
                // for; 12090 is 12.9.
                let version = unsafe { invoke!(cudnn, cudnnGetCudartVersion()) };
                let major = u32::try_from(version / 1000).unwrap_or(0);
                Some(find_for_graphs(major).map_err(|reason| reason.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_selects_the_interface() {
        let of = |value: &str| CudnnApi::of(Some(OsStr::new(value)));
        assert_eq!(CudnnApi::of(None), Ok(CudnnApi::Legacy));
        assert_eq!(of(""), Ok(CudnnApi::Legacy));
        assert_eq!(of("legacy"), Ok(CudnnApi::Legacy));
        assert_eq!(of("graph"), Ok(CudnnApi::Graph));
        let error = of("Graph").expect_err("not a value");
        assert_eq!(
            error.to_string(),
            "`DRAGNEXT_CUDNN` is `Graph`; it must be `graph` or `legacy`"
        );
    }
}
