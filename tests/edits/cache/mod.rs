//! The cache of edits: which stages it saves, that results do not depend on it, and that none of its faults fails an edit.

mod faults;
mod reuse;
mod storage;

use std::path::PathBuf;

use png::{BitDepth, ColorType};
use serde_json::json;

use crate::bench::pictures::png::Png;
use crate::bench::pictures::smooth;
use crate::bench::program::names;
use crate::bench::tiny::model;
use crate::bench::{Bench, Ended, Record, Run};

pub(super) const SIDES: [usize; 2] = [72, 66];
pub(super) const NOTHING: [&str; 0] = [];
pub(super) const BOTH: [&str; 2] = ["lora", "invert"];

/// A bench with a picture, drag files and a cache.
pub(super) struct Scene {
    pub(super) bench: Bench,
}

/// An edit that succeeded.
pub(super) struct Edited {
    pub(super) ended: Ended,
    pub(super) png: Vec<u8>,
}

impl Edited {
    /// Returns the stages whose results came from the cache.
    pub(super) fn cached(&self) -> Vec<&str> {
        self.ended.record["cached"]
            .as_array()
            .map(|stages| stages.iter().map(|stage| stage.as_str().unwrap()).collect())
            .unwrap_or_default()
    }

    /// Returns the kinds of the warnings about the cache.
    pub(super) fn warnings(&self) -> Vec<&str> {
        let warnings = self.ended.warnings().into_iter();
        warnings.filter(|kind| kind.starts_with("cache.")).collect()
    }
}

pub(super) fn drag(prompt: &str, target: f64) -> String {
    json!({
        "version": 1, "prompt": prompt, "editable": { "rect": [8, 8, 64, 58] },
        "regions": [ { "type": "translation", "region": { "rect": [18, 16, 40, 48] }, "handle": [28, 32], "target": [target, 32] } ],
    })
    .to_string()
}

impl Scene {
    pub(super) fn new() -> Self {
        let scene = Self {
            bench: Bench::new(),
        };
        scene.picture("in.png", 0);
        scene.bench.write("drag.json", drag("", 42.0));
        scene.bench.write("other.json", drag("", 20.0));
        scene
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    pub(super) fn picture(&self, name: &str, add: u8) {
        let [width, height] = SIDES;
        let samples: Vec<u8> = smooth(width, height, 3)
            .iter()
            .map(|sample| sample.wrapping_add(add))
            .collect();
        self.bench.write(
            name,
            Png::encode(width, height, ColorType::Rgb, BitDepth::Eight, &samples).bytes(),
        );
    }

    /// Returns `dragnext` with the cache of the scene.
    pub(super) fn dragnext(&self, arguments: &[&str]) -> Run {
        self.bench
            .dragnext(arguments)
            .env("DRAGNEXT_CACHE", self.path("cache"))
            .without_env("DRAGNEXT_CACHE_LIMIT")
    }

    /// Returns an edit with few steps in every stage, except those given in `arguments`.
    pub(super) fn command(&self, picture: &str, drag: &str, arguments: &[&str]) -> Run {
        let mut run = self
            .dragnext(&["edit", picture, "--drag", drag, "--json", "--overwrite"])
            .any_stdout()
            .any_stderr();
        for (name, value) in [
            ("timesteps", "1"),
            ("iterations", "2"),
            ("lora-steps", "2"),
            ("lora-rank", "2"),
            ("size", "64"),
            ("strength", "0.08"),
        ] {
            let flag = format!("--{name}");
            if !arguments.contains(&flag.as_str()) {
                run = run.arg(flag).arg(value);
            }
        }
        if !arguments.contains(&"-o") {
            run = run.args(["-o", "out.png"]);
        }
        if !arguments.contains(&"--model") {
            run = run.arg("--model").arg(model());
        }
        run.args(arguments)
    }

    pub(super) fn edit(&self, picture: &str, drag: &str, arguments: &[&str]) -> Edited {
        self.edited(self.command(picture, drag, arguments))
    }

    pub(super) fn edited(&self, run: Run) -> Edited {
        let ended = run.run();
        let png = self.bench.read(ended.record["out"].as_str().unwrap());
        Edited { ended, png }
    }

    /// Runs the same edit without the cache.
    pub(super) fn uncached(&self, picture: &str, drag: &str, arguments: &[&str]) -> Edited {
        let edited = self.edit(picture, drag, &[arguments, &["--no-cache"]].concat());
        assert_eq!(edited.cached(), NOTHING);
        edited
    }

    pub(super) fn entries(&self) -> Vec<String> {
        if self.path("cache").is_dir() {
            names(&self.path("cache"))
        } else {
            Vec::new()
        }
    }

    pub(super) fn entry(&self, kind: &str) -> PathBuf {
        let name = self
            .entries()
            .into_iter()
            .find(|name| name.starts_with(kind))
            .unwrap_or_else(|| panic!("no {kind}"));
        self.path("cache").join(name)
    }

    /// Returns `dragnext cache` with these arguments.
    pub(super) fn cache(&self, arguments: &[&str]) -> Run {
        self.dragnext(&[&["cache"], arguments].concat())
    }

    pub(super) fn list(&self) -> Record {
        self.cache(&["list", "--json"]).record()
    }
}
