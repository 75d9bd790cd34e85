//! From a benchmark's folder to edited pictures: ten scenes of SceneBench in the layout of DragBench.

use std::path::Path;
use std::process::Command;

use crate::bench::{Bench, report, tiny};

/// Writes ten scenes in the layout of DragBench; returns whether Python and numpy are there.
fn written(bench: &Bench) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenebench/dragbench.py");
    let can = Command::new("python3")
        .args(["-c", "import numpy, PIL"])
        .output();
    if !can.is_ok_and(|ended| ended.status.success()) {
        report("skipped: this needs Python with numpy and Pillow");
        return false;
    }
    let ended = Command::new("python3")
        .arg(script)
        .arg(bench.path("scenes"))
        .output()
        .unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    true
}

#[test]
fn ten_scenes_are_imported_and_edited() {
    let bench = Bench::new();
    if !written(&bench) {
        return;
    }
    bench
        .dragnext(["import", "dragbench", "scenes", "-o", "drags"])
        .stdout_has("imported 10 of 10 samples")
        .stderr_has("each is a `point`")
        .run();
    let manifest = bench.text("drags/manifest.jsonl");
    assert_eq!(manifest.matches("\"category\":\"rotation\"").count(), 2);
    bench
        .dragnext([
            "batch",
            "--manifest",
            "drags/manifest.jsonl",
            "-o",
            "edited",
            "--model",
        ])
        .arg(tiny::model())
        .args([
            "--size",
            "64",
            "--strength",
            "0.04",
            "--iterations",
            "1",
            "--no-lora",
        ])
        .any_stderr()
        .run();
    for line in manifest.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let path = Path::new("edited").join(line["out"].as_str().unwrap());
        let edited = image::open(bench.path(&path)).unwrap();
        assert_eq!(
            (edited.width(), edited.height()),
            (256, 256),
            "{}",
            path.display()
        );
    }
    let measured = bench
        .dragnext([
            "eval",
            "--manifest",
            "drags/manifest.jsonl",
            "--edits",
            "edited",
            "--format",
            "json",
        ])
        .any_stdout()
        .any_stderr()
        .run()
        .record;
    assert_eq!(measured["all"]["DAI(1)"]["n"], 10);
    assert_eq!(measured["categories"]["rotation"]["DAI(1)"]["n"], 2);
}
