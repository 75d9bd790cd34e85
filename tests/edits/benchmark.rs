//! `examples/bench` runs and measures every call. Speed is not tested.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::fixture::{Fixture, path};
use crate::bench::{Run, report};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;

const CALLS: [&str; 12] = [
    "unet_b1",
    "unet_b2",
    "unet_mutual_b2",
    "drag",
    "drag_noise",
    "unet_prepared",
    "prompt",
    "lora",
    "adapters_b1",
    "vae_encode",
    "vae_decode",
    "edit",
];

/// Scaling factor of the latents of the fixture's VAE.
const SCALE: f32 = 0.18215;

/// Returns the path of the example. Cargo builds it before the tests of the whole package, but not before a single test crate.
fn example() -> Option<PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let example = tests
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/bench")
        .with_extension(std::env::consts::EXE_EXTENSION);
    if !example.exists() {
        report(&format!(
            "skipped: {} is not built; `cargo test` without `--test` builds it",
            example.display()
        ));
    }
    example.exists().then_some(example)
}

/// Writes the results of PyTorch for the fixtures under the benchmark's names: a latent of 12 x 10, a picture of 96 x 80.
fn reference(out: &Path) {
    let fixture = Fixture::open("parity.safetensors");
    let scaled = |name: &str, scale: f32| {
        fixture
            .numbers(name)
            .iter()
            .flat_map(|x| (scale * x).to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let entry = |name: &str, from: &str, scale: f32| {
        (
            name.to_owned(),
            Dtype::F32,
            fixture.shape(from),
            scaled(from, scale),
        )
    };
    let integers = |name: &str, numbers: Vec<i64>| {
        (
            name.to_owned(),
            Dtype::I64,
            vec![numbers.len()],
            numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect(),
        )
    };
    let entries = [
        entry("z", "unet.z", 1.0),
        entry("context", "unet.context", 1.0),
        integers("t", fixture.integers("unet.t")),
        entry("unet_b2.noise", "unet.noise", 1.0),
        entry("image", "vae.image", 1.0),
        entry("vae_encode.mean", "vae.mean", SCALE),
        entry("latent", "vae.latent", SCALE),
        entry("vae_decode.picture", "vae.decoded", 1.0),
        integers("flop.unet_b2", vec![16_720_640]),
    ];
    let views = entries.iter().map(|(name, kind, shape, bytes)| {
        (name, TensorView::new(*kind, shape.clone(), bytes).unwrap())
    });
    std::fs::write(out, serialize(views, None).unwrap()).unwrap();
}

fn run(example: &Path) -> Run {
    let mut command = Command::new(example);
    command.env_clear().arg(path("tiny"));
    Run::of(command).any_stdout().any_stderr()
}

fn edit() -> [PathBuf; 2] {
    [path("edit/input.png"), path("edit/drag.json")]
}

/// Asserts that all quantities agree to the precision of f32.
fn assert_agreement(agreement: &Value, quantities: &[&str]) {
    let found: BTreeMap<String, BTreeMap<String, f64>> =
        serde_json::from_value(agreement.clone()).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), quantities);
    for (quantity, near) in found {
        assert!(
            near["relative"] < 1e-4 && near["relative"] > 0.0 && near["cosine"] > 0.9999,
            "{quantity}: {near:?}"
        );
    }
}

/// Asserts that time, allocations and memory were measured.
fn assert_measured(what: &str, cost: &Value, seconds: &str) {
    for count in [seconds, "allocations", "allocated_bytes"] {
        assert!(
            cost[count].as_f64().is_some_and(|count| count > 0.0),
            "{what}, {count}: {cost}"
        );
    }
    if cfg!(target_os = "linux") {
        assert!(
            cost["peak_bytes"]
                .as_u64()
                .is_some_and(|bytes| bytes > 1 << 20)
                && cost["minor_faults"].is_u64(),
            "{what}: {cost}"
        );
    }
}

#[test]
fn every_call_runs_and_is_measured() {
    let Some(example) = example() else { return };
    let folder = tempfile::tempdir().unwrap();
    let numbers = folder.path().join("reference.safetensors");
    reference(&numbers);
    let report = run(&example)
        .arg("--reference")
        .arg(&numbers)
        .args(["--repeat", "2", "--edit"])
        .args(edit())
        .record();
    assert_agreement(
        &report["agreement"],
        &["unet_b2.noise", "vae_decode.picture", "vae_encode.mean"],
    );
    assert_eq!(report["size"], serde_json::json!([80, 96]));
    assert_eq!(report["calls"].as_object().unwrap().len(), CALLS.len());
    for call in CALLS {
        let summary = &report["calls"][call];
        assert_measured(call, summary, "median");
        assert_eq!(summary["seconds"].as_array().unwrap().len(), 2, "{call}");
        assert_eq!(
            summary["gflop_per_second"].is_f64(),
            call == "unet_b2",
            "{call}"
        );
    }
    let stages = report["calls"]["edit"]["stages"].as_object().unwrap();
    for stage in [
        "load", "encode", "lora", "invert", "drag", "denoise", "decode",
    ] {
        assert_measured(stage, &stages[stage], "median");
    }
}

#[test]
fn serve_replies_to_each_line() {
    let Some(example) = example() else { return };
    let folder = tempfile::tempdir().unwrap();
    let numbers = folder.path().join("reference.safetensors");
    reference(&numbers);
    let replies = run(&example)
        .arg("--reference")
        .arg(&numbers)
        .arg("--serve")
        .stdin("unet_b2\ncheck unet_b2\nnothing\nedit\nvae_decode\n")
        .run()
        .records();
    let [plain, checked, unknown, nothing_to_edit, decoded] = &replies[..] else {
        panic!("{replies:?}")
    };
    for (call, reply) in [
        ("unet_b2", plain),
        ("unet_b2", checked),
        ("vae_decode", decoded),
    ] {
        assert_eq!(reply["call"], call);
        assert_measured(call, reply, "seconds");
    }
    assert_agreement(&plain["agreement"], &[]);
    assert_agreement(&checked["agreement"], &["unet_b2.noise"]);
    assert!(
        unknown["error"].as_str().unwrap().contains("nothing"),
        "{unknown}"
    );
    assert!(
        nothing_to_edit["error"]
            .as_str()
            .unwrap()
            .contains("--edit"),
        "{nothing_to_edit}"
    );
}
