//! The CUDA device against pretend libraries: the driver, cuBLASLt and cuDNN rewritten for the processor, which end the program where their
//! rules are broken. What they cannot show is how the real ones round and choose, and how fast they are.
//!
//! LibraryVersions are loaded once for a program, so each case is run by itself: the test starts this program again, with a case's settings.

mod convolutions;
mod fakes;
mod kernels;
mod memory;
mod opening;
mod products;

use std::fmt::Write as _;
use std::process::Command;

use fakes::{FOLDER, MARK, build};

/// Runs the cases, each in a program of its own, and gathers what went wrong.
#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn every_case_holds() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    if !cfg!(target_os = "linux") || !build(folder.path()) {
        eprintln!("skipped: there is no C compiler, or another system than Linux");
        return;
    }
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("opening::opens_and_tells", &[]),
        ("opening::opens_and_tells", &[("FAKE_POOLS", "0")]),
        ("opening::no_device", &[("FAKE_DEVICES", "0")]),
        ("opening::no_such_device", &[("FAKE_DEVICES", "2")]),
        ("opening::old_device", &[("FAKE_CAPABILITY", "75")]),
        ("opening::old_driver", &[("FAKE_VERSION", "11080")]),
        ("opening::bad_kernels", &[]),
        (
            "opening::failing_start",
            &[("FAKE_FAIL", "cuStreamCreate:700:1")],
        ),
        ("opening::no_cudnn", &[("FAKE_CUDNN", "8907")]),
        ("opening::no_cublaslt", &[(FOLDER, "driver")]),
        ("opening::incomplete_cudnn", &[(FOLDER, "lone")]),
        (
            "opening::other_cublaslt",
            &[("FAKE_CUBLASLT", "110502"), ("FAKE_NEEDED", "12 to 13")],
        ),
        (
            "opening::other_cublaslt",
            &[
                ("FAKE_CUBLASLT", "130102"),
                ("FAKE_VERSION", "12080"),
                ("FAKE_NEEDED", "12"),
            ],
        ),
        ("memory::moves_bytes", &[]),
        ("memory::moves_bytes", &[("FAKE_POOLS", "0")]),
        (
            "memory::runs_out_of_memory",
            &[("FAKE_MEMORY", "100000000")],
        ),
        ("opening::no_room_to_open", &[("FAKE_MEMORY", "1000000")]),
        ("kernels::launches", &[]),
        (
            "kernels::stays_lost",
            &[("FAKE_FAIL", "cuLaunchKernel:700:2")],
        ),
        ("kernels::goes_on", &[("FAKE_FAIL", "cuLaunchKernel:2:2")]),
        ("products::multiplies", &[]),
        ("products::multiplies", &[("FAKE_REFUSE", "bias")]),
        ("products::multiplies", &[("FAKE_REFUSE", "first")]),
        ("products::multiplies_short_numbers", &[]),
        (
            "products::multiplies_short_numbers",
            &[("FAKE_REFUSE", "bias")],
        ),
        ("products::cannot_multiply", &[("FAKE_REFUSE", "all")]),
        ("convolutions::convolves", &[]),
        ("convolutions::convolves", &[("FAKE_REFUSE", "fused")]),
        ("convolutions::convolves", &[("FAKE_REFUSE", "convolution")]),
        ("kernels::works_on_threads", &[]),
    ];
    let mut wrong = String::new();
    for (case, settings) in cases {
        let program = std::env::current_exe().expect("this program has a path");
        let libraries = settings
            .iter()
            .find(|(name, _)| *name == FOLDER)
            .map_or("all", |(_, folder)| folder);
        let libraries = folder.path().join(libraries);
        let mut run = Command::new(program);
        run.args([
            "--exact",
            &format!("device::{case}"),
            "--ignored",
            "--nocapture",
        ])
        .env("LD_LIBRARY_PATH", libraries)
        .env(MARK, "1");
        let output = run
            .envs(settings.iter().copied())
            .output()
            .expect("this program can be started again");
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !said.contains("1 passed") {
            let _ = writeln!(
                wrong,
                "{case} {settings:?}: {}\n{said}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
