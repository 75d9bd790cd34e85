//! The program on the fake GPU.

use std::path::Path;
use std::process::Command;

use super::fakes::build;

/// Runs `dragnext doctor --json` with a value of `CUDA_MODULE_LOADING` and one that the driver expects.
fn doctor(libraries: &Path, loading: Option<&str>, expected: &str) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dragnext"));
    command
        .args(["doctor", "--json"])
        .env("LD_LIBRARY_PATH", libraries)
        .env("FAKE_LOADING", expected)
        .env_remove("CUDA_MODULE_LOADING");
    command.envs(loading.map(|loading| ("CUDA_MODULE_LOADING", loading)));
    let output = command.output().expect("the program can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
fn doctor_loads_kernels_lazily_and_reports_refused_convolutions() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    if !cfg!(target_os = "linux") || !build(folder.path()) {
        eprintln!("skipped: needs Linux and a C compiler (`cc`)");
        return;
    }
    let libraries = folder.path().join("all");
    // The user's value stays.
    doctor(&libraries, Some("EAGER"), "EAGER");
    let report = doctor(&libraries, None, "LAZY");
    let text = report.to_string();
    // The fake cuDNN has f32 only: 19 shapes in two directions are refused, the decoder's 8 are not.
    assert!(
        text.contains("Fake GPU 0")
            && text.contains("refuses 38 of 46 convolutions: forward 3 x 3"),
        "{text}"
    );
    assert!(text.contains("cuDNN refuses convolutions"), "{text}");
}
