//! `dragnext import` through the binary.

mod faults;
mod hints;
mod kinds;
mod limits;
mod scenebench;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::{Bench, Ended, Run};

/// Returns a folder of `tests/fixtures/import`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/import")
        .join(name)
}

/// Copies a folder of fixtures into the test's folder.
fn copied(bench: &Bench, name: &str) {
    copy(&fixture(name), &bench.path(name));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Returns the lines of JSON on stdout.
fn lines(ended: &Ended) -> Vec<Value> {
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns a drag file of the output folder `out`.
fn drag(bench: &Bench, id: &str) -> Value {
    serde_json::from_str(&bench.text(format!("out/{id}/drag.json"))).unwrap()
}

/// `dragnext import` of the copied fixtures of a kind.
fn import(bench: &Bench, kind: &str, more: &[&str]) -> Run {
    bench
        .dragnext(["import", kind, kind, "-o", "out"])
        .args(more)
}
