//! The CUDA device against fake libraries: C implementations of the driver, cuBLASLt and cuDNN that
//! abort the process when a call breaks their rules. They do not show how the real libraries round,
//! which algorithms they choose, or how fast they are.
//!
//! A process loads libraries once, so every case runs in a process of its own: the test starts its
//! own executable again with the settings of the case.

mod attributes;
mod captures;
mod convolutions;
mod fakes;
mod graph_cases;
mod graphs;
mod kernels;
mod memory;
mod opening;
mod products;
mod program;
mod shortage;

use std::fmt::Write as _;
use std::process::Command;

use fakes::{FOLDER, MARK, build};
use graph_cases::GRAPHS;

/// A case: its name and environment variables.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

/// What libraries fail with while fewer bytes are free: for every case of short memory.
const SHORT: &[(&str, &[&str])] = &[
    (
        "shortage::libraries_get_the_memory_that_the_pool_keeps",
        &[
            "cublasLtMatmul:3:100000000",
            "cublasLtMatmul:13:100000000",
            "cublasLtMatmulAlgoGetHeuristic:14:100000000",
            "cudnnConvolutionForward:4004:100000000",
            "cudnnConvolutionForward:5000:100000000",
            "cudnnConvolutionBackwardData:5003:100000000",
            "cudnnGetConvolutionForwardAlgorithm_v7:4000:100000000",
            "cudnnBackendFinalize:4000:100000000",
            "cudnnBackendExecute:5000:100000000",
            "cudnnBackendExecute:4004:100000000",
        ],
    ),
    (
        "shortage::short_memory_is_out_of_memory_and_passes",
        &[
            "cublasLtMatmul:13:100000000",
            "cudnnConvolutionForward:5000:100000000",
            "cudnnConvolutionBackwardData:4000:100000000",
            "cudnnBackendFinalize:5001:100000000",
            "cudnnBackendExecute:5003:100000000",
        ],
    ),
    (
        "shortage::a_trim_returns_memory_to_the_system",
        &[
            "cudnnConvolutionForward:3000:100000000",
            "cudnnBackendExecute:3000:100000000",
        ],
    ),
];

/// The other cases, besides those of the graph API.
const CASES: &[Case] = &[
    ("opening::opening_reports_name_and_versions", &[]),
    (
        "opening::opening_reports_name_and_versions",
        &[("FAKE_POOLS", "0")],
    ),
    ("opening::no_device", &[("FAKE_DEVICES", "0")]),
    (
        "opening::an_index_beyond_the_last_device",
        &[("FAKE_DEVICES", "2")],
    ),
    ("opening::an_old_device", &[("FAKE_CAPABILITY", "75")]),
    ("opening::an_old_driver", &[("FAKE_VERSION", "11080")]),
    ("opening::invalid_ptx", &[]),
    (
        "opening::a_failing_call",
        &[("FAKE_FAIL", "cuStreamCreate:700:1")],
    ),
    (
        "opening::an_unsupported_cudnn",
        &[
            (FOLDER, "newer"),
            ("FAKE_CUDNN", "100203"),
            ("FAKE_FOUND", "10.2.3"),
        ],
    ),
    (
        "opening::an_unsupported_cudnn",
        &[(FOLDER, "older"), ("FAKE_FOUND", "8 or earlier")],
    ),
    (
        "opening::opening_reports_name_and_versions",
        &[(FOLDER, "others")],
    ),
    ("opening::only_a_stub_of_the_driver", &[(FOLDER, "stub")]),
    ("opening::a_missing_cublaslt", &[(FOLDER, "driver")]),
    (
        "opening::a_missing_cudnn_sublibrary",
        &[(FOLDER, "lone"), ("FAKE_MISSING", "cudnn_graph")],
    ),
    (
        "opening::a_missing_cudnn_sublibrary",
        &[
            (FOLDER, "precompiled"),
            ("FAKE_MISSING", "cudnn_engines_runtime_compiled"),
        ],
    ),
    (
        "opening::a_missing_cudnn_sublibrary",
        &[
            ("FAKE_CUDNN", "92100"),
            ("FAKE_MISSING", "cudnn_engines_tensor_ir"),
        ],
    ),
    (
        "opening::cudnn_sublibraries_of_its_version",
        &[
            (FOLDER, "newer"),
            ("FAKE_CUDNN", "92100"),
            ("FAKE_LOADED", "true"),
        ],
    ),
    (
        "opening::cudnn_sublibraries_of_its_version",
        &[
            (FOLDER, "newer"),
            ("FAKE_CUDNN", "92001"),
            ("FAKE_LOADED", "false"),
        ],
    ),
    (
        "opening::an_unsupported_cublaslt",
        &[("FAKE_CUBLASLT", "110502"), ("FAKE_NEEDED", "12 to 13")],
    ),
    (
        "opening::an_unsupported_cublaslt",
        &[
            ("FAKE_CUBLASLT", "130102"),
            ("FAKE_VERSION", "12080"),
            ("FAKE_NEEDED", "12"),
        ],
    ),
    ("memory::transfers", &[]),
    ("memory::transfers", &[("FAKE_POOLS", "0")]),
    (
        "memory::running_out_of_memory",
        &[("FAKE_MEMORY", "100000000")],
    ),
    (
        "opening::no_memory_for_the_workspace",
        &[("FAKE_MEMORY", "1000000")],
    ),
    ("kernels::launches", &[]),
    (
        "kernels::machine_code_or_ptx",
        &[("FAKE_CAPABILITY", "80"), ("FAKE_FACTOR", "80")],
    ),
    (
        "kernels::machine_code_or_ptx",
        &[("FAKE_CAPABILITY", "89"), ("FAKE_FACTOR", "89")],
    ),
    (
        "kernels::machine_code_or_ptx",
        &[("FAKE_CAPABILITY", "90"), ("FAKE_FACTOR", "1")],
    ),
    (
        "kernels::machine_code_or_ptx",
        &[("FAKE_CAPABILITY", "91"), ("FAKE_FACTOR", "1")],
    ),
    (
        "kernels::machine_code_or_ptx",
        &[("FAKE_CAPABILITY", "100"), ("FAKE_FACTOR", "1")],
    ),
    (
        "kernels::a_lost_device_stays_lost",
        &[("FAKE_FAIL", "cuLaunchKernel:700:2")],
    ),
    (
        "kernels::a_failed_launch_is_not_fatal",
        &[("FAKE_FAIL", "cuLaunchKernel:2:2")],
    ),
    ("products::products_of_f32", &[]),
    ("products::products_of_f32", &[("FAKE_REFUSE", "bias")]),
    ("products::products_of_f32", &[("FAKE_REFUSE", "first")]),
    ("products::products_of_16_bit_formats", &[]),
    (
        "products::products_of_16_bit_formats",
        &[("FAKE_REFUSE", "bias")],
    ),
    ("products::unsupported_products", &[("FAKE_REFUSE", "all")]),
    ("convolutions::forward", &[]),
    ("convolutions::forward", &[("FAKE_REFUSE", "fused")]),
    ("convolutions::forward", &[("FAKE_REFUSE", "convolution")]),
    (
        "convolutions::forward",
        &[("FAKE_MEMORY", "4294967296"), ("FAKE_WORKSPACE", "large")],
    ),
    ("convolutions::backward", &[]),
    (
        "convolutions::backward",
        &[("FAKE_MEMORY", "4294967296"), ("FAKE_WORKSPACE", "large")],
    ),
    ("convolutions::backward", &[("FAKE_REFUSE", "convolution")]),
    ("convolutions::asymmetric_padding", &[]),
    ("kernels::several_threads", &[]),
    ("captures::a_graph_computes_what_its_operations_do", &[]),
    (
        "captures::a_graph_computes_what_its_operations_do",
        &[("FAKE_REFUSE", "bias"), ("FAKE_POOLS", "0")],
    ),
    ("captures::a_graph_keeps_the_workspace_that_it_uses", &[]),
    (
        "captures::a_graph_keeps_the_workspace_that_it_uses",
        &[("FAKE_POOLS", "0")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[("FAKE_CAPTURE", "cuStreamSynchronize")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[("FAKE_CAPTURE", "cuMemAlloc_v2")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[("FAKE_CAPTURE", "refuse")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[("FAKE_FAIL", "cuStreamBeginCapture_v2:900:1")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[("FAKE_FAIL", "cuStreamEndCapture:901:1")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[("FAKE_FAIL", "cuGraphInstantiateWithFlags:801:1")],
    ),
    (
        "captures::after_a_failed_capture_operations_are_submitted",
        &[("FAKE_FAIL", "cuGraphInstantiateWithFlags:2:1")],
    ),
    (
        "captures::a_graph_that_loses_the_gpu_is_a_lost_gpu",
        &[("FAKE_FAIL", "cuGraphLaunch:700:1")],
    ),
    (
        "captures::a_launch_without_memory_submits_nothing",
        &[("FAKE_FAIL", "cuGraphLaunch:2:1")],
    ),
    ("captures::other_threads_wait_for_a_capture", &[]),
    (
        "shortage::a_failure_with_free_memory_is_a_lost_gpu",
        &[("FAKE_SHORT", "cudnnConvolutionForward:5000:2000000000")],
    ),
    (
        "shortage::a_failure_with_free_memory_is_a_lost_gpu",
        &[("FAKE_SHORT", "cublasLtMatmul:14:2000000000")],
    ),
];

/// Runs every case in its own process and reports all failures.
#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
fn every_case_passes() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    if !cfg!(target_os = "linux") || !build(folder.path()) {
        eprintln!("skipped: needs Linux and a C compiler (`cc`)");
        return;
    }
    let mut failures = String::new();
    let cases = CASES
        .iter()
        .chain(graph_cases::CASES)
        .map(|(case, settings)| (*case, settings.to_vec()));
    let short = SHORT.iter().flat_map(|(case, failures)| {
        let memory = ("FAKE_MEMORY", "200000000");
        failures.iter().map(move |failure| {
            let graphs = failure.contains("Backend").then_some(GRAPHS);
            let short = [memory, ("FAKE_SHORT", *failure)];
            (*case, short.into_iter().chain(graphs).collect())
        })
    });
    for (case, settings) in cases.chain(short) {
        let executable = std::env::current_exe().expect("the test executable has a path");
        let libraries = settings
            .iter()
            .find(|(name, _)| *name == FOLDER)
            .map_or("all", |(_, folder)| folder);
        let libraries = folder.path().join(libraries);
        let mut command = Command::new(executable);
        command
            .args([
                "--exact",
                &format!("device::{case}"),
                "--ignored",
                "--nocapture",
            ])
            .env("LD_LIBRARY_PATH", libraries)
            .env(MARK, "1");
        command.env_remove(GRAPHS.0);
        let output = command
            .envs(settings.iter().copied())
            .output()
            .expect("the test executable can be started");
        let stdout = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !stdout.contains("1 passed") {
            let _ = writeln!(
                failures,
                "{case} {settings:?}: {}\n{stdout}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
