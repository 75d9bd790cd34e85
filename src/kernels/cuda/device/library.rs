//! NVIDIA's libraries: looked for when a device is opened, so that the program starts without them and says what is missing.
//!
//! The bindings panic where a library or one of its functions is not there. Nothing is called before [`Library::find`] has seen both.

use std::error::Error;

use cudarc::{cublaslt, cudnn, driver, get_lib_name_candidates};

use super::Unavailable;

/// A library of NVIDIA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    /// The driver's own; comes with the driver.
    Driver,
    /// Products of matrices; comes with the CUDA toolkit or beside the program.
    CublasLt,
    /// Convolutions; comes by itself.
    Cudnn,
}

impl Library {
    /// What NVIDIA calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Driver => "NVIDIA driver",
            Self::CublasLt => "cuBLASLt",
            Self::Cudnn => "cuDNN",
        }
    }

    /// File names without prefix, version and ending.
    fn stems(self) -> &'static [&'static str] {
        match self {
            Self::Driver => &["cuda", "nvcuda"],
            Self::CublasLt => &["cublasLt"],
            Self::Cudnn => &["cudnn"],
        }
    }

    /// File names in the order in which the bindings try them.
    pub(super) fn candidates(self) -> Vec<String> {
        self.stems()
            .iter()
            .flat_map(|stem| get_lib_name_candidates(stem))
            .collect()
    }

    /// Every function that is called.
    pub(super) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Driver => DRIVER,
            Self::CublasLt => CUBLAS_LT,
            Self::Cudnn => CUDNN,
        }
    }

    /// Further libraries without which this one ends the program at its first call instead of saying what it lacks.
    fn parts(self) -> &'static [&'static str] {
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

    /// Loads the library for as long as the program runs, and sees that it has every function.
    ///
    /// # Errors
    /// [`Unavailable::NoDriver`], [`Unavailable::NoLibrary`], [`Unavailable::LibraryLacks`].
    pub(super) fn find(self) -> Result<(), Unavailable> {
        let missing = |library, (searched, reason)| match self {
            Self::Driver => Unavailable::NoDriver { searched, reason },
            _ => Unavailable::NoLibrary {
                library,
                searched,
                reason,
            },
        };
        load(self.candidates()).map_err(|tried| missing(self.name(), tried))?;
        for part in self.parts() {
            load(get_lib_name_candidates(part)).map_err(|tried| missing(part, tried))?;
        }
        match self.functions().iter().find(|function| !self.has(function)) {
            Some(function) => Err(Unavailable::LibraryLacks {
                library: self.name(),
                function,
            }),
            None => Ok(()),
        }
    }

    /// Is there such a function? Only after the library was seen to be present.
    fn has(self, function: &str) -> bool {
        // SAFETY: the library is present, so `culib` does not panic; the symbol is looked up and not called.
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

/// Loads the first library that there is under one of these names, and keeps it: the bindings, which try the same names, get the same one.
/// Otherwise gives the names back, and what else is wrong where something lies under one of them.
fn load(names: Vec<String>) -> Result<(), (Vec<String>, Option<String>)> {
    let mut reason = None;
    for name in &names {
        // SAFETY: loading runs the library's initialisers. These are NVIDIA's libraries, under their own names.
        match unsafe { libloading::Library::new(name) } {
            Ok(library) => {
                std::mem::forget(library);
                return Ok(());
            }
            Err(error) => {
                let text = error
                    .source()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                if reason.is_none() && is_telling(name, &text) {
                    reason = Some(text);
                }
            }
        }
    }
    Err((names, reason))
}

/// Does a loader's message say more than that there is no such file?
fn is_telling(name: &str, message: &str) -> bool {
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

    /// Every file here that calls into a library.
    const SOURCES: [&str; 11] = [
        include_str!("call.rs"),
        include_str!("context.rs"),
        include_str!("convolution.rs"),
        include_str!("description.rs"),
        include_str!("descriptors.rs"),
        include_str!("memory.rs"),
        include_str!("mod.rs"),
        include_str!("module.rs"),
        include_str!("multiplier.rs"),
        include_str!("plan.rs"),
        include_str!("staging.rs"),
    ];

    /// Names that stand before a parenthesis and start with `prefix` and a capital letter.
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
    fn every_function_that_is_called_is_looked_for_first() {
        for (library, prefix) in [
            (Library::Driver, "cu"),
            (Library::CublasLt, "cublasLt"),
            (Library::Cudnn, "cudnn"),
        ] {
            let listed: BTreeSet<_> = library.functions().iter().copied().collect();
            let called = called(prefix);
            assert!(
                called.len() > 10,
                "the sources are not read as they should be"
            );
            assert_eq!(listed, called, "{}", library.name());
        }
    }

    #[test]
    fn a_file_that_cannot_be_loaded_is_told_from_none() {
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
            panic!("it is no library")
        };
        assert_eq!(names.len(), 2);
        if cfg!(target_os = "linux") {
            assert!(reason.contains(&broken), "{reason}");
        }
        // What a library that is there needs and cannot find.
        assert!(
            is_telling(
                "libcudnn_cnn.so.9",
                "libz.so.1: cannot open shared object file: No such file or directory"
            ) == cfg!(unix)
        );
    }

    #[test]
    fn names_of_both_toolkits_are_tried() {
        let names = Library::CublasLt.candidates();
        if cfg!(target_os = "linux") {
            for wanted in ["libcublasLt.so.13", "libcublasLt.so.12"] {
                assert!(names.iter().any(|name| name == wanted), "{names:?}");
            }
            assert!(
                Library::Cudnn
                    .candidates()
                    .iter()
                    .any(|name| name == "libcudnn.so.9")
            );
            assert!(
                Library::Driver
                    .candidates()
                    .iter()
                    .any(|name| name == "libcuda.so.1")
            );
        }
    }
}
