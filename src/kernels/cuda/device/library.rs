//! Loading of NVIDIA's libraries when a device is opened, so that the program starts without them
//! and can name a missing one.
//!
//! The bindings panic if a library or one of its functions is missing. [`NvidiaLibrary::find`]
//! checks both before the first call.
//!
//! With the feature `candle-cuda` the program is linked against them instead: it does not start where
//! one is missing.

use std::error::Error;

#[cfg(not(feature = "candle-cuda"))]
use cudarc::{cublaslt, cudnn, driver, get_lib_name_candidates};

use super::DeviceUnavailable;

/// A library of NVIDIA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NvidiaLibrary {
    /// The CUDA driver; comes with the GPU driver.
    Driver,
    /// Matrix products; comes with the CUDA toolkit or with PyTorch.
    CublasLt,
    /// Convolutions; a separate download, or with PyTorch.
    Cudnn,
}

impl NvidiaLibrary {
    /// Returns NVIDIA's name of the library.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Driver => "NVIDIA driver",
            Self::CublasLt => "cuBLASLt",
            Self::Cudnn => "cuDNN",
        }
    }

    /// Returns file names without prefix, version and extension.
    fn stems(self) -> &'static [&'static str] {
        match self {
            Self::Driver => &["cuda", "nvcuda"],
            Self::CublasLt => &["cublasLt"],
            Self::Cudnn => &["cudnn"],
        }
    }

    /// Returns the file names in the order in which the bindings try them.
    pub(super) fn candidates(self) -> Vec<String> {
        self.stems()
            .iter()
            .flat_map(|stem| get_lib_name_candidates(stem))
            .collect()
    }

    /// Returns every function that is called.
    pub(super) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Driver => DRIVER,
            Self::CublasLt => CUBLAS_LT,
            Self::Cudnn => CUDNN,
        }
    }

    /// Returns the sublibraries that it loads at its first call. If one is missing, cuDNN aborts
    /// the process.
    fn sublibraries(self) -> &'static [&'static str] {
        match self {
            Self::Driver | Self::CublasLt => &[],
            Self::Cudnn => &[
                "cudnn_graph",
                "cudnn_ops",
                "cudnn_cnn",
                "cudnn_heuristic",
                "cudnn_engines_precompiled",
            ],
        }
    }

    /// Loads the library for the lifetime of the process and checks that it has every function.
    ///
    /// # Errors
    /// [`DeviceUnavailable::NoDriver`], [`DeviceUnavailable::NoLibrary`],
    /// [`DeviceUnavailable::LibraryLacks`].
    pub(super) fn find(self) -> Result<(), DeviceUnavailable> {
        let missing = |library, (searched, reason)| match self {
            Self::Driver => DeviceUnavailable::NoDriver { searched, reason },
            _ => DeviceUnavailable::NoLibrary {
                library,
                searched,
                reason,
            },
        };
        load(self.candidates()).map_err(|tried| missing(self.name(), tried))?;
        for part in self.sublibraries() {
            load(get_lib_name_candidates(part)).map_err(|tried| missing(part, tried))?;
        }
        match self.functions().iter().find(|function| !self.has(function)) {
            Some(function) => Err(DeviceUnavailable::LibraryLacks {
                library: self.name(),
                function,
            }),
            None => Ok(()),
        }
    }

    /// Returns whether the function exists. The library must have been loaded before.
    #[cfg(not(feature = "candle-cuda"))]
    fn has(self, function: &str) -> bool {
        // SAFETY: the library is loaded, so `culib` does not panic; the symbol is looked up and not
        // called.
        unsafe {
            let library = match self {
                Self::Driver => driver::sys::culib(),
                Self::CublasLt => cublaslt::sys::culib(),
                Self::Cudnn => cudnn::sys::culib(),
            };
            library
                .get::<unsafe extern "C" fn()>(function.as_bytes())
                .is_ok()
        }
    }
}

#[cfg(feature = "candle-cuda")]
impl NvidiaLibrary {
    /// A linked program that started has every function.
    #[expect(clippy::unused_self, reason = "as where libraries are loaded")]
    fn has(self, _: &str) -> bool {
        true
    }
}

/// Returns the file names of a library that the program is linked against.
#[cfg(feature = "candle-cuda")]
fn get_lib_name_candidates(stem: &str) -> Vec<String> {
    ["", ".1", ".9", ".12", ".13"]
        .map(|version| format!("{}{version}", libloading::library_filename(stem).display()))
        .into()
}

/// Formats a library's version: 120903 is 12.9.3.
pub(super) fn version_text(version: usize) -> String {
    format!(
        "{}.{}.{}",
        version / 10_000,
        version / 100 % 100,
        version % 100
    )
}

/// Loads the first library found under one of these names and keeps it loaded. The bindings try the
/// same names and get the same library. On failure returns the names, and the loader's message if a
/// file exists but cannot be loaded.
fn load(names: Vec<String>) -> Result<(), (Vec<String>, Option<String>)> {
    let mut reason = None;
    for name in &names {
        // SAFETY: loading runs the library's initialisers. These are NVIDIA's libraries under their
        // own names.
        match unsafe { libloading::Library::new(name) } {
            Ok(library) => {
                std::mem::forget(library);
                return Ok(());
            }
            Err(error) => {
                let text = error
                    .source()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                if reason.is_none() && is_informative(name, &text) {
                    reason = Some(text);
                }
            }
        }
    }
    Err((names, reason))
}

/// Returns whether a loader's message says more than that the file does not exist.
fn is_informative(name: &str, message: &str) -> bool {
    cfg!(unix)
        && !message.contains(&format!(
            "{name}: cannot open shared object file: No such file"
        ))
}

const DRIVER: &[&str] = &[
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetDefaultMemPool",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDriverGetVersion",
    "cuFuncGetAttribute",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAllocAsync",
    "cuMemAllocHost_v2",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemPoolGetAttribute",
    "cuMemPoolSetAttribute",
    "cuMemPoolTrimTo",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD16Async",
    "cuMemsetD32Async",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamQuery",
    "cuStreamSynchronize",
];

const CUBLAS_LT: &[&str] = &[
    "cublasLtCreate",
    "cublasLtDestroy",
    "cublasLtGetStatusString",
    "cublasLtGetVersion",
    "cublasLtMatmul",
    "cublasLtMatmulAlgoGetHeuristic",
    "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescDestroy",
    "cublasLtMatmulDescSetAttribute",
    "cublasLtMatmulPreferenceCreate",
    "cublasLtMatmulPreferenceDestroy",
    "cublasLtMatmulPreferenceSetAttribute",
    "cublasLtMatrixLayoutCreate",
    "cublasLtMatrixLayoutDestroy",
    "cublasLtMatrixLayoutSetAttribute",
];

const CUDNN: &[&str] = &[
    "cudnnConvolutionBackwardData",
    "cudnnConvolutionBiasActivationForward",
    "cudnnConvolutionForward",
    "cudnnCreate",
    "cudnnCreateActivationDescriptor",
    "cudnnCreateConvolutionDescriptor",
    "cudnnCreateFilterDescriptor",
    "cudnnCreateTensorDescriptor",
    "cudnnDestroy",
    "cudnnDestroyActivationDescriptor",
    "cudnnDestroyConvolutionDescriptor",
    "cudnnDestroyFilterDescriptor",
    "cudnnDestroyTensorDescriptor",
    "cudnnGetConvolutionBackwardDataAlgorithm_v7",
    "cudnnGetConvolutionBackwardDataWorkspaceSize",
    "cudnnGetConvolutionForwardAlgorithm_v7",
    "cudnnGetConvolutionForwardWorkspaceSize",
    "cudnnGetErrorString",
    "cudnnGetLastErrorString",
    "cudnnGetVersion",
    "cudnnSetActivationDescriptor",
    "cudnnSetConvolution2dDescriptor",
    "cudnnSetConvolutionMathType",
    "cudnnSetFilter4dDescriptor",
    "cudnnSetStream",
    "cudnnSetTensor4dDescriptor",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every file that calls a library.
    const SOURCES: [&str; 11] = [
        include_str!("call.rs"),
        include_str!("context.rs"),
        include_str!("cublaslt/descriptors.rs"),
        include_str!("cublaslt/mod.rs"),
        include_str!("cudnn/descriptors.rs"),
        include_str!("cudnn/mod.rs"),
        include_str!("cudnn/plan.rs"),
        include_str!("memory.rs"),
        include_str!("mod.rs"),
        include_str!("module.rs"),
        include_str!("staging.rs"),
    ];

    /// Returns the identifiers before a parenthesis that start with `prefix` and a capital letter.
    fn called(prefix: &str) -> BTreeSet<&'static str> {
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let code = SOURCES
            .iter()
            .map(|source| source.split("#[cfg(test)]").next().unwrap_or_default());
        code.flat_map(|code| code.match_indices('(').map(move |(end, _)| &code[..end]))
            .map(|before| {
                &before[before
                    .rfind(|character| !word(character))
                    .map_or(0, |at| at + 1)..]
            })
            .filter(|name| {
                name.strip_prefix(prefix)
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
            })
            .collect()
    }

    #[test]
    fn every_called_function_is_listed() {
        for (library, prefix) in [
            (NvidiaLibrary::Driver, "cu"),
            (NvidiaLibrary::CublasLt, "cublasLt"),
            (NvidiaLibrary::Cudnn, "cudnn"),
        ] {
            let listed: BTreeSet<_> = library.functions().iter().copied().collect();
            let called = called(prefix);
            assert!(called.len() > 10, "too few calls were found in the sources");
            assert_eq!(listed, called, "{}", library.name());
        }
    }

    #[test]
    fn a_file_that_cannot_be_loaded_is_reported() {
        let absent = "libdragnext_no_such.so".to_owned();
        assert_eq!(
            load(vec![absent.clone()]),
            Err((vec![absent.clone()], None))
        );
        let folder = tempfile::tempdir().expect("a folder can be made");
        let broken = folder.path().join("libbroken.so");
        std::fs::write(&broken, "not a library").expect("a file can be written");
        let broken = broken.to_str().expect("the path is text").to_owned();
        let Err((names, Some(reason))) = load(vec![absent, broken.clone()]) else {
            panic!("the file is not a library")
        };
        assert_eq!(names.len(), 2);
        if cfg!(target_os = "linux") {
            assert!(reason.contains(&broken), "{reason}");
        }
        // A dependency of an existing library is missing.
        assert!(
            is_informative(
                "libcudnn_cnn.so.9",
                "libz.so.1: cannot open shared object file: No such file or directory"
            ) == cfg!(unix)
        );
    }

    #[test]
    fn names_of_cuda_12_and_13_are_tried() {
        let names = NvidiaLibrary::CublasLt.candidates();
        if cfg!(target_os = "linux") {
            for wanted in ["libcublasLt.so.13", "libcublasLt.so.12"] {
                assert!(names.iter().any(|name| name == wanted), "{names:?}");
            }
            assert!(
                NvidiaLibrary::Cudnn
                    .candidates()
                    .iter()
                    .any(|name| name == "libcudnn.so.9")
            );
            assert!(
                NvidiaLibrary::Driver
                    .candidates()
                    .iter()
                    .any(|name| name == "libcuda.so.1")
            );
        }
    }
}
