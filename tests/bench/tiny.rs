//! Short edits with the tiny model of `tests/fixtures`. Its weights are random, so the result shows nothing, but it is computed,
//! composited and written like any other.

use std::path::PathBuf;

use super::fixture;
use super::program::{Bench, Ended, Run};

/// Returns the folder of the tiny model.
pub(crate) fn model() -> PathBuf {
    fixture::path("tiny")
}

/// Settings with one step in every stage, without a LoRA, at 64 pixels.
const SHORTEST: [&str; 9] = [
    "--size",
    "64",
    "--strength",
    "0.04",
    "--timesteps",
    "1",
    "--iterations",
    "1",
    "--no-lora",
];

/// Settings with two steps in every stage.
pub(crate) const SHORT: [&str; 10] = [
    "--strength",
    "0.08",
    "--timesteps",
    "2",
    "--iterations",
    "2",
    "--lora-steps",
    "2",
    "--lora-rank",
    "4",
];

impl Bench {
    /// Returns the shortest `dragnext edit --json` with these arguments. It may print anything.
    pub(crate) fn shortest_edit(&self, arguments: &[&str]) -> Run {
        self.dragnext(["edit"])
            .args(arguments)
            .arg("--json")
            .arg("--model")
            .arg(model())
            .args(SHORTEST)
            .any_stdout()
            .any_stderr()
    }

    /// Returns a short `dragnext edit` of `in.png` with `drag.json` and these arguments, with two steps in every stage and a LoRA.
    pub(crate) fn short_edit(&self, arguments: &[&str]) -> Run {
        self.dragnext(["edit", "in.png", "--drag", "drag.json"])
            .args(SHORT)
            .arg("--model")
            .arg(model())
            .args(arguments)
            .any_stderr()
    }

    /// Runs the shortest edit of `picture` with `drag`, which must succeed, and overwrites `out.png`.
    pub(crate) fn edit(&self, picture: &[u8], drag: &str) -> Ended {
        self.write("picture", picture);
        self.edit_file("picture", drag).run()
    }

    /// Returns the shortest edit of the file `picture` with `drag`, which overwrites `out.png`.
    pub(crate) fn edit_file(&self, picture: &str, drag: &str) -> Run {
        self.write("drag.json", drag);
        self.shortest_edit(&[
            picture,
            "--drag",
            "drag.json",
            "-o",
            "out.png",
            "--overwrite",
        ])
    }

    /// Runs an edit of `picture`, which must be rejected before a file is written.
    pub(crate) fn rejected(&self, picture: &[u8]) -> Ended {
        self.write("drag.json", still(100, 100));
        self.write("picture", picture);
        let ended = self
            .shortest_edit(&["picture", "--drag", "drag.json", "-o", "rejected.png"])
            .status(2)
            .run();
        assert!(!self.path("rejected.png").exists());
        ended
    }
}

/// Returns a drag file that moves nothing: the result has the pixels of the picture, and no model is needed.
pub(crate) fn still(width: usize, height: usize) -> String {
    drag(width, height, 0.0)
}

/// Returns a drag file that moves the middle to the right. Only [`editable`] may change.
pub(crate) fn moved(width: usize, height: usize) -> String {
    drag(width, height, 0.2)
}

/// Returns left, top, right and bottom of the editable area of [`moved`].
pub(crate) fn editable(width: usize, height: usize) -> [usize; 4] {
    [width / 8, height / 8, width * 7 / 8, height * 7 / 8]
}

fn drag(width: usize, height: usize, way: f64) -> String {
    let (width_, height_) = (width as f64, height as f64);
    let [left, top, right, bottom] = editable(width, height);
    let (x, y) = (width_ * 0.4, height_ * 0.5);
    serde_json::json!({
        "version": 1,
        "editable": { "rect": [left, top, right, bottom] },
        "regions": [ {
            "type": "translation",
            "region": { "rect": [width_ * 0.25, height_ * 0.25, width_ * 0.55, height_ * 0.75] },
            "handle": [x, y], "target": [x + width_ * way, y],
        } ],
    })
    .to_string()
}
