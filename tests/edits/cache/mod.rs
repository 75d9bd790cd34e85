//! The cache of edits: which stages it saves, that results do not depend on it, and that none of its faults fails an edit.

mod faults;
mod folder;
mod reuse;

use std::path::PathBuf;

use crate::bench::pictures::png::Png;
use crate::bench::pictures::smooth;
use crate::bench::program::names;
use crate::bench::tiny::model;
use crate::bench::{Bench, Ended, Record, Run};
use png::{BitDepth, ColorType};
use serde_json::json;

const SIDES: [usize; 2] = [72, 66];
const NOTHING: [&str; 0] = [];
const BOTH: [&str; 2] = ["lora", "invert"];

/// A bench with a picture, drag files and a cache.
struct Scene {
    bench: Bench,
}

/// An edit that succeeded.
struct Edited {
    ended: Ended,
    png: Vec<u8>,
}

impl Edited {
    /// Returns the stages whose results came from the cache.
    fn cached(&self) -> Vec<&str> {
        self.ended.record["cached"]
            .as_array()
            .map(|stages| stages.iter().map(|stage| stage.as_str().unwrap()).collect())
            .unwrap_or_default()
    }

    /// Returns the kinds of the warnings about the cache.
    fn warnings(&self) -> Vec<&str> {
        let warnings = self.ended.warnings().into_iter();
        warnings.filter(|kind| kind.starts_with("cache.")).collect()
    }
}

fn drag(prompt: &str, target: f64) -> String {
    json!({
        "version": 1, "prompt": prompt, "editable": { "rect": [8, 8, 64, 58] },
        "regions": [ { "type": "translation", "region": { "rect": [18, 16, 40, 48] }, "handle": [28, 32], "target": [target, 32] } ],
    })
    .to_string()
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            bench: Bench::new(),
        };
        scene.picture("in.png", 0);
        scene.bench.write("drag.json", drag("", 42.0));
        scene.bench.write("other.json", drag("", 20.0));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    fn picture(&self, name: &str, add: u8) {
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
    fn dragnext(&self, arguments: &[&str]) -> Run {
        self.bench
            .dragnext(arguments)
            .env("DRAGNEXT_CACHE", self.path("cache"))
            .without_env("DRAGNEXT_CACHE_LIMIT")
    }

    /// Returns an edit with few steps in every stage, except those given in `arguments`.
    fn command(&self, picture: &str, drag: &str, arguments: &[&str]) -> Run {
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
            // The inversion of the picture itself does not depend on the drag.
            ("start", "moved"),
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

    fn edit(&self, picture: &str, drag: &str, arguments: &[&str]) -> Edited {
        self.edited(self.command(picture, drag, arguments))
    }

    fn edited(&self, run: Run) -> Edited {
        let ended = run.run();
        let png = self.bench.read(ended.record["out"].as_str().unwrap());
        Edited { ended, png }
    }

    /// Runs the same edit without the cache.
    fn uncached(&self, picture: &str, drag: &str, arguments: &[&str]) -> Edited {
        let edited = self.edit(picture, drag, &[arguments, &["--no-cache"]].concat());
        assert_eq!(edited.cached(), NOTHING);
        edited
    }

    fn entries(&self) -> Vec<String> {
        if self.path("cache").is_dir() {
            names(&self.path("cache"))
        } else {
            Vec::new()
        }
    }

    fn entry(&self, kind: &str) -> PathBuf {
        let name = self
            .entries()
            .into_iter()
            .find(|name| name.starts_with(kind))
            .unwrap_or_else(|| panic!("no {kind}"));
        self.path("cache").join(name)
    }

    /// Returns `dragnext cache` with these arguments.
    fn cache(&self, arguments: &[&str]) -> Run {
        self.dragnext(&[&["cache"], arguments].concat())
    }

    fn list(&self) -> Record {
        self.cache(&["list", "--json"]).record()
    }
}
