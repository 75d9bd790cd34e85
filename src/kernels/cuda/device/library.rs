//! Loading of NVIDIA's libraries when a device is opened, so that the program starts without them
//! and can name a missing one.
//!
//! Names with the version that this program was written for come before the plain name, which a
//! development package may point at anything. The stub of the driver that the CUDA toolkit has for
//! linking is recognised and passed over. [`super::symbol`] calls the functions of the libraries
//! that were loaded here.

use std::error::Error;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

use super::DeviceUnavailable;
use super::context::driver_version;
use super::functions::{CUBLAS_LT, CUDNN, DRIVER};

/// Major versions of the CUDA libraries that are supported, newest first.
const CUDA_MAJORS: [u32; 2] = [13, 12];
/// The sublibraries of every cuDNN 9. Without one of the first three, it lacks functions and may abort
/// the process. It loads all engines at its first convolution, also those that it does not use, and
/// refuses every convolution if one is missing.
///
/// `cudnn_adv`, and `cudnn_ext` of later versions, are not among them: they have functions that are not
/// called (attention, causal convolutions), and no other sublibrary loads them.
const SUBLIBRARIES: [&str; 6] = [
    "cudnn_graph",
    "cudnn_ops",
    "cudnn_cnn",
    "cudnn_heuristic",
    "cudnn_engines_precompiled",
    "cudnn_engines_runtime_compiled",
];
/// A function that cuDNN has since version 9. No function of a cuDNN may be called to find out its version before its sublibraries are
/// loaded.
const SINCE_CUDNN_9: &str = "cudnnGetLastErrorString";
/// Engines that cuDNN has, and needs, since a later version.
const TENSOR_IR: &str = "cudnn_engines_tensor_ir";
/// The first version of cuDNN with [`TENSOR_IR`].
const TENSOR_IR_SINCE: usize = 92_100;
/// `CUDA_ERROR_STUB_LIBRARY`.
const STUB_LIBRARY: c_int = 34;

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

    /// Returns the file names in the order in which they are tried.
    pub(super) fn candidates(self) -> Vec<String> {
        match self {
            Self::Driver if cfg!(windows) => vec!["nvcuda.dll".to_owned()],
            // The folders come last: they find a driver that a stub on the library path hides.
            Self::Driver => [
                "",
                "/usr/lib/x86_64-linux-gnu/",
                "/usr/lib/aarch64-linux-gnu/",
            ]
            .into_iter()
            .chain(["/usr/lib64/", "/usr/lib/wsl/lib/"])
            .map(|folder| format!("{folder}libcuda.so.1"))
            .chain(["libcuda.so".to_owned()])
            .collect(),
            Self::CublasLt => {
                // A library that is newer than the driver does not run on it.
                let newest = driver_major().unwrap_or(CUDA_MAJORS[0]);
                let majors = CUDA_MAJORS.into_iter().filter(|major| *major <= newest);
                versions("cublasLt", &majors.collect::<Vec<_>>())
            }
            Self::Cudnn => versions("cudnn", &[CUDNN_MAJOR]),
        }
    }

    /// Returns every function that is called.
    pub(super) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Driver => DRIVER,
            Self::CublasLt => CUBLAS_LT,
            Self::Cudnn => CUDNN,
        }
    }

    /// Loads the library for the lifetime of the process and checks that it has every function.
    ///
    /// # Errors
    /// [`DeviceUnavailable::NoDriver`], [`DeviceUnavailable::NoLibrary`],
    /// [`DeviceUnavailable::LibraryLacks`]; [`DeviceUnavailable::LibraryVersion`] for a cuDNN before 9.
    pub(super) fn find(self) -> Result<(), DeviceUnavailable> {
        if self.loaded().get().is_some() {
            return Ok(());
        }
        let library = load(self.candidates(), |library| self.accepts(library)).map_err(
            |(searched, reason)| match self {
                Self::Driver => DeviceUnavailable::NoDriver { searched, reason },
                _ => DeviceUnavailable::NoLibrary {
                    library: self.name(),
                    searched,
                    reason,
                },
            },
        )?;
        if self == Self::Cudnn {
            if address(&library, SINCE_CUDNN_9).is_none() {
                return Err(DeviceUnavailable::LibraryVersion {
                    library: self.name(),
                    found: "8 or earlier".to_owned(),
                    needed: CUDNN_MAJOR.to_string(),
                });
            }
            keep_sublibraries(&library)?;
        }
        if let Some(function) = self
            .functions()
            .iter()
            .find(|function| address(&library, function).is_none())
        {
            return Err(DeviceUnavailable::LibraryLacks {
                library: self.name(),
                function,
            });
        }
        // Another thread may have loaded it meanwhile.
        self.loaded().get_or_init(|| library);
        Ok(())
    }

    /// Returns the address of a function; `None` if the library was not loaded or lacks it.
    pub(super) fn symbol(self, function: &str) -> Option<*mut c_void> {
        address(self.loaded().get()?, function)
    }

    fn loaded(self) -> &'static OnceLock<Library> {
        static LOADED: [OnceLock<Library>; 3] = [const { OnceLock::new() }; 3];
        &LOADED[self as usize]
    }

    /// Rejects the stub of the driver, which has all functions, and which all fail.
    fn accepts(self, library: &Library) -> Result<(), String> {
        if self != Self::Driver {
            return Ok(());
        }
        // SAFETY: the driver's function has this type. Calling it again later has no effect.
        let status = unsafe {
            library
                .get::<unsafe extern "C" fn(c_uint) -> c_int>(b"cuInit")
                .map(|start| start(0))
        };
        match status {
            Ok(STUB_LIBRARY) => Err("a stub of the CUDA toolkit is on the library path".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Loads what cuDNN's graph API needs besides [`NvidiaLibrary::Cudnn`]: cuBLASLt of the version of CUDA
/// that it was built for, without which it aborts the process.
///
/// # Errors
/// [`DeviceUnavailable::NoLibrary`].
pub(super) fn find_for_graphs(cuda_major: u32) -> Result<(), DeviceUnavailable> {
    let mut names = versions("cublasLt", &[cuda_major]);
    // cuDNN tries only the name with the version.
    names.truncate(1);
    keep(NvidiaLibrary::CublasLt.name(), names)
}

/// Loads the sublibraries that cuDNN of this version loads by name at its first calls, so that one that
/// is missing is named. It gets the same libraries then.
///
/// # Errors
/// [`DeviceUnavailable::NoLibrary`].
fn keep_sublibraries(cudnn: &Library) -> Result<(), DeviceUnavailable> {
    let keep = |part| keep(part, versions(part, &[CUDNN_MAJOR]));
    SUBLIBRARIES.into_iter().try_for_each(keep)?;
    // SAFETY: the function has this type in every version. Its sublibrary is loaded.
    let version = unsafe {
        cudnn
            .get::<unsafe extern "C" fn() -> usize>(b"cudnnGetVersion")
            .map(|version| version())
    };
    // A file of this name beside an older version is that of another installation.
    match version {
        Ok(version) if version >= TENSOR_IR_SINCE => keep(TENSOR_IR),
        _ => Ok(()),
    }
}

/// Loads a library for the lifetime of the process.
fn keep(library: &'static str, names: Vec<String>) -> Result<(), DeviceUnavailable> {
    let loaded =
        load(names, |_| Ok(())).map_err(|(searched, reason)| DeviceUnavailable::NoLibrary {
            library,
            searched,
            reason,
        })?;
    std::mem::forget(loaded);
    Ok(())
}

/// Major version of cuDNN whose functions and status codes are used.
pub(super) const CUDNN_MAJOR: u32 = 9;

/// Makes the driver and the libraries load each kernel at its first launch. Drivers of CUDA 12.0 and
/// 12.1 load all kernels of the libraries otherwise, which takes seconds and hundreds of megabytes. A
/// value that the user set in `CUDA_MODULE_LOADING` stays.
///
/// # Safety
/// No other thread may read or change the environment, so call it first in `main`.
pub unsafe fn load_kernels_lazily() {
    const VARIABLE: &str = "CUDA_MODULE_LOADING";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: the caller guarantees that no other thread uses the environment.
        unsafe { std::env::set_var(VARIABLE, "LAZY") };
    }
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

/// Returns the file names of a library with these major versions, then without a version.
fn versions(stem: &str, majors: &[u32]) -> Vec<String> {
    if cfg!(windows) {
        return majors
            .iter()
            .map(|major| format!("{stem}64_{major}.dll"))
            .collect();
    }
    let plain = format!("lib{stem}.so");
    majors
        .iter()
        .map(|major| format!("{plain}.{major}"))
        .chain([plain.clone()])
        .collect()
}

/// Returns the major version of CUDA that the driver supports; `None` before it is loaded.
fn driver_major() -> Option<u32> {
    NvidiaLibrary::Driver.loaded().get()?;
    driver_version().ok().map(|version| version / 1000)
}

fn address(library: &Library, function: &str) -> Option<*mut c_void> {
    // SAFETY: the symbol is looked up and not called. The libraries are never unloaded.
    unsafe {
        let symbol = library.get::<*mut c_void>(function.as_bytes()).ok()?;
        symbol.try_as_raw_ptr()
    }
}

/// Loads the first acceptable library found under one of these names. On failure returns the names,
/// and why a file that exists was not used: the loader's message, or that of `accept`.
fn load(
    names: Vec<String>,
    accept: impl Fn(&Library) -> Result<(), String>,
) -> Result<Library, (Vec<String>, Option<String>)> {
    let mut reason = None;
    for name in &names {
        // SAFETY: loading runs the library's initialisers. These are NVIDIA's libraries under their
        // own names.
        match unsafe { Library::new(name) } {
            Ok(library) => match accept(&library) {
                Ok(()) => return Ok(library),
                Err(rejected) => {
                    reason.get_or_insert(rejected);
                }
            },
            Err(error) => {
                let text = error
                    .source()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                if is_informative(name, &text) {
                    reason.get_or_insert(text);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_loaded_is_reported() {
        let load = |names| load(names, |_| Ok(())).map(|_| ());
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
    fn names_with_a_version_come_first() {
        if cfg!(target_os = "linux") {
            assert_eq!(
                versions("cublasLt", &CUDA_MAJORS),
                ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]
            );
            assert_eq!(
                NvidiaLibrary::Cudnn.candidates(),
                ["libcudnn.so.9", "libcudnn.so"]
            );
            let driver = NvidiaLibrary::Driver.candidates();
            assert_eq!(driver.first().map(String::as_str), Some("libcuda.so.1"));
            assert_eq!(driver.last().map(String::as_str), Some("libcuda.so"));
        }
    }
}
