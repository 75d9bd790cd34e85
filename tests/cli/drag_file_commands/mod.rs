//! `dragnext validate`, `new`, `settings` and `schema` through the binary.

mod new;
mod settings;
mod validate;

use image::{DynamicImage, RgbImage};
use serde_json::Value;

use crate::bench::{Bench, Ended, Run};

pub(super) const GOOD: &str = r#"{ "version": 1, "regions": [
    { "id": "tail", "type": "translation", "region": { "rect": [20, 20, 60, 60] }, "handle": [40, 40], "target": [70, 80] } ] }"#;

pub(super) fn picture(bench: &Bench, name: &str, width: u32, height: u32) {
    DynamicImage::ImageRgb8(RgbImage::new(width, height))
        .save(bench.path(name))
        .unwrap();
}

/// `dragnext` with the demo model.
pub(super) fn command(bench: &Bench, arguments: &[&str]) -> Run {
    bench.dragnext(arguments).env("DRAGNEXT_MODEL", "demo")
}

/// The exit status, stdout and stderr of a run.
pub(super) fn run(bench: &Bench, arguments: &[&str]) -> (i32, String, String) {
    texts(command(bench, arguments).ended())
}

pub(super) fn texts(ended: Ended) -> (i32, String, String) {
    (ended.status.unwrap(), ended.stdout, ended.stderr)
}

pub(super) fn lines(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
