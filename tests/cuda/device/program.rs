//! The program on the fake GPU.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::fakes::build;

/// Runs `dragnext doctor --json` with an interface of cuDNN, a value of `CUDA_MODULE_LOADING`, and one that the driver expects.
fn doctor(libraries: &Path, api: Option<&str>, loading: Option<&str>, expected: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dragnext"));
    command
        .args(["doctor", "--json"])
        .env("LD_LIBRARY_PATH", libraries)
        .env("FAKE_LOADING", expected)
        .env_remove("CUDA_MODULE_LOADING");
    command.envs(loading.map(|loading| ("CUDA_MODULE_LOADING", loading)));
    command.env_remove("DRAGNEXT_CUDNN");
    command.envs(api.map(|api| ("DRAGNEXT_CUDNN", api)));
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
    doctor(&libraries, None, Some("EAGER"), "EAGER");
    let report = doctor(&libraries, None, None, "LAZY");
    let text = report.to_string();
    // The fake cuDNN has f32 only: 19 shapes in two directions are refused, the decoder's 8 are not.
    assert!(
        text.contains("Fake GPU 0")
            && text.contains("refuses 38 of 46 convolutions: forward 3 x 3"),
        "{text}"
    );
    assert!(text.contains("cuDNN refuses convolutions"), "{text}");
    assert!(!text.contains("graph API"), "{text}");
    let text = doctor(&libraries, Some("graph"), None, "LAZY").to_string();
    assert!(
        text.contains("graph API: 8 of 46 convolutions, which refuses 38 of 46 convolutions"),
        "{text}"
    );
    assert!(text.contains("DRAGNEXT_CUDNN=graph"), "{text}");
}

/// The program on the fake GPU, whose kernels compute nothing, with a cache of its own.
struct FakeGpu {
    folder: tempfile::TempDir,
}

impl FakeGpu {
    /// Returns `None` where the fake libraries cannot be built.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        (cfg!(target_os = "linux") && build(folder.path())).then_some(Self { folder })
    }

    fn run(&self, driver: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dragnext"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("LD_LIBRARY_PATH", self.folder.path().join("all"))
            .env("DRAGNEXT_CACHE", self.folder.path().join("cache"))
            .env("FAKE_VERSION", driver)
            .env_remove("DRAGNEXT_CACHE_LIMIT");
        command.output().expect("the program can be started")
    }

    /// Runs a short edit with the tiny model, and returns how it ended with its record.
    fn edit(&self, driver: &str, arguments: &[&str]) -> (Output, Value) {
        let fixture = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
            path.join(name).to_string_lossy().into_owned()
        };
        let (picture, drag, model) = (
            fixture("edit/input.png"),
            fixture("edit/drag.json"),
            fixture("tiny"),
        );
        let short = "--size 64 --strength 0.04 --timesteps 1 --iterations 1 --no-lora --no-cache --overwrite --json -o out.png";
        let all: Vec<&str> = ["edit", &picture, "--drag", &drag, "--model", &model]
            .into_iter()
            .chain(short.split(' '))
            .chain(arguments.iter().copied())
            .collect();
        let output = self.run(driver, &all);
        let record = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        (output, record)
    }

    /// Returns the files of remembered checks.
    fn remembered(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("cache/checks"));
        let paths = entries.into_iter().flatten().flatten();
        paths.map(|entry| entry.path()).collect()
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
fn a_gpu_that_computes_something_else_is_not_used() {
    let Some(gpu) = FakeGpu::new() else {
        eprintln!("skipped: needs Linux and a C compiler (`cc`)");
        return;
    };
    let output = gpu.run(
        "13000",
        &["doctor", "--device", "cuda", "--check", "--json"],
    );
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("does not compute what the CPU computes"),
        "{errors}"
    );
    let checks: Value = serde_json::from_slice(&output.stdout).expect("a list of checks");
    let all = checks.as_array().expect("a list");
    let found = all
        .iter()
        .find(|check| check["name"] == "check")
        .expect("the check");
    let formats = &found["device_check"]["report"]["formats"];
    assert!(formats[1]["differing"].as_u64() > Some(10), "{formats}");
    assert!(
        formats[1]["differences"][0]["operation"].is_string(),
        "{formats}"
    );
    assert!(
        found["text"]
            .as_str()
            .is_some_and(|text| text.contains("failed"))
    );
    assert_eq!(gpu.remembered().len(), 1);

    // With a GPU by name that is an error, with any device the CPU computes.
    let (output, record) = gpu.edit("13000", &["--device", "cuda"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(record["error"]["kind"], "device.check");
    let hint = record["error"]["hint"].as_str().expect("a hint");
    assert!(
        hint.contains("--trust-device") && hint.contains("dragnext doctor --device cuda:0"),
        "{hint}"
    );
    let (output, record) = gpu.edit("13000", &["--device", "auto"]);
    assert_eq!(output.status.code(), Some(0), "{record}");
    assert_eq!(
        (&record["device"], &record["device_check"]),
        (&"cpu".into(), &Value::Null)
    );
    let warning = &record["warnings"][0];
    assert_eq!(warning["kind"], "device.cpu");
    let message = warning["message"].as_str().expect("a message");
    assert!(
        message.contains("does not compute") && message.contains("report"),
        "{message}"
    );
    assert_eq!(gpu.remembered().len(), 1, "the check was remembered");

    // A trusted GPU computes, and its record says how its check ended.
    let (_, record) = gpu.edit("13000", &["--device", "cuda", "--trust-device"]);
    let check = &record["device_check"];
    assert_eq!(
        (&check["state"], &check["trusted"]),
        (&"failed".into(), &true.into()),
        "{record}"
    );
    assert_eq!(record["device"], "cuda:0");

    // Another driver may compute something else, and without a check nothing is known of it.
    let (_, record) = gpu.edit("13010", &["--device", "cuda", "--trust-device"]);
    assert_eq!(record["device_check"]["state"], "not_checked", "{record}");
    let (_, record) = gpu.edit("13010", &["--device", "cuda"]);
    assert_eq!(record["error"]["kind"], "device.check");
    assert_eq!(gpu.remembered().len(), 2);
}
