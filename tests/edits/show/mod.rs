//! The report inside a result's PNG: `show` prints it, and `edit --like` repeats the edit.

mod like;
mod report;

use image::{ImageBuffer, Luma, Rgb, RgbImage};

use crate::bench::tiny::model;
use crate::bench::{Bench, Record, Run};

pub(super) const DRAG: &str = r#"{ "version": 1, "prompt": "a wave", "regions": [
    { "id": "ball", "type": "translation", "region": { "ellipse": [40, 40, 14, 12] }, "handle": [40, 40], "target": [60, 45] } ],
  "settings": { "seed": 3, "strength": 0.08, "iterations": 2 } }"#;

pub(super) const MASKED: &str = r#"{ "version": 1, "regions": [
    { "id": "ball", "type": "translation", "region": { "mask": "masks/ball.png" }, "handle": [40, 40], "target": [60, 45] } ] }"#;

/// A bench with a picture and a drag file.
pub(super) fn bench() -> Bench {
    let bench = Bench::new();
    picture(&bench, "in.png", 96, 80);
    bench.write("drag.json", DRAG);
    bench
}

pub(super) fn picture(bench: &Bench, name: &str, width: u32, height: u32) {
    let wave = |x: u32, y: u32| {
        ((f64::from(x) * 0.2).sin() * 50.0 + (f64::from(y) * 0.13).cos() * 50.0 + 128.0) as u8
    };
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([wave(x, y), wave(y, x), wave(x + y, x)])
    })
    .save(bench.path(name))
    .unwrap();
}

pub(super) fn mask(bench: &Bench, name: &str) {
    let inside = |x: u32, y: u32| (26..54).contains(&x) && (28..52).contains(&y);
    let mask = ImageBuffer::from_fn(96, 80, |x, y| Luma([if inside(x, y) { 255_u8 } else { 0 }]));
    let path = bench.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    mask.save(path).unwrap();
}

/// `dragnext edit --json` with the tiny model, named in the environment.
pub(super) fn edit(bench: &Bench, arguments: &[&str]) -> Run {
    let run = bench.dragnext(["edit"]).args(arguments).arg("--json");
    run.env("DRAGNEXT_MODEL", model()).any_stderr()
}

/// Runs an edit whose settings come from a flag, the environment and the drag file.
pub(super) fn make(bench: &Bench, out: &str, arguments: &[&str]) -> Record {
    edit(bench, &["in.png", "--drag", "drag.json", "-o", out])
        .args(["--timesteps", "2"])
        .args(arguments)
        .env("DRAGNEXT_LORA_STEPS", "2")
        .record()
}

/// Returns what `dragnext show` prints.
pub(super) fn show(bench: &Bench, arguments: &[&str]) -> String {
    let run = bench.dragnext(["show"]).args(arguments);
    run.any_stdout().run().stdout
}

/// Returns the report inside a picture.
pub(super) fn note(bench: &Bench, picture: &str) -> Record {
    bench.dragnext(["show", picture, "--json"]).record()
}

/// Returns the error kind and stderr of a rejected edit.
pub(super) fn rejected(run: Run) -> (String, String) {
    let ended = run.status(2).any_stdout().run();
    (ended.kind().to_owned(), ended.stderr)
}
