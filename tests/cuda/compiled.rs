//! The kernel sources, compiled as a library for the CPU by the C++ compiler.

#![allow(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the compiled kernels; `None` if there is no C++ compiler.
pub(crate) fn kernels() -> Option<&'static libloading::Library> {
    static LIBRARY: OnceLock<Option<libloading::Library>> = OnceLock::new();
    LIBRARY.get_or_init(compile).as_ref()
}

/// Returns whether kernels can run here. Otherwise prints that the test is skipped.
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
pub(crate) fn available(test: &str) -> bool {
    let found = kernels().is_some();
    if !found {
        eprintln!("skipped: {test}: no C++ compiler (`c++`) to compile the kernels for the CPU");
    }
    found
}

/// Runs `work` while the emulator runs threads and blocks in another order, as `emulator_order` in emulator.hpp says. Other tests may
/// run in that order too: no result may depend on it.
pub(crate) fn with_order(order: u32, work: impl FnOnce()) {
    let library = kernels().expect("tests check `available` first");
    // SAFETY: the function has this type, and sets a number.
    let set = unsafe { library.get::<unsafe extern "C" fn(u32)>(b"emulator_order") };
    let set = set.expect("the emulator's function");
    // SAFETY: as above.
    unsafe { set(order) };
    work();
    // SAFETY: as above.
    unsafe { set(0) };
}

fn compile() -> Option<libloading::Library> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kernels-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    let library = folder.join("kernels.so");
    let compiled = Command::new("c++")
        .args([
            "-std=c++20",
            "-O2",
            "-g1",
            "-fno-strict-aliasing",
            "-Wno-unknown-pragmas",
            "-ftrivial-auto-var-init=pattern",
            "-fvisibility=hidden",
            "-fPIC",
            "-shared",
            "-DEMULATED",
        ])
        .arg("-include")
        .arg(root.join("tests/cuda/emulator/emulator.hpp"))
        .args(["-x", "c++"])
        .arg(root.join("src/kernels/cuda/source/kernels.cu"))
        .arg("-o")
        .arg(&library)
        .status();
    match compiled {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("c++ cannot be started: {error}"),
        Ok(status) => {
            assert!(status.success(), "the kernels do not compile for the CPU");
            // SAFETY: the library was just compiled; its initialisers only fill a table of names.
            let opened = unsafe { libloading::Library::new(&library) }
                .expect("what was just compiled can be opened");
            std::fs::remove_dir_all(&folder).expect("the folder can be removed");
            Some(opened)
        }
    }
}
