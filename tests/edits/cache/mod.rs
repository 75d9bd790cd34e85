//! The cache of intermediate results: what it reuses, that results have the same bytes as without it, and that it never fails an edit.

mod faults;
mod folder;
mod reuse;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::bench::pictures::png::Png;
use crate::bench::pictures::{Bench, model, names, smooth};
use png::{BitDepth, ColorType};
use serde_json::{Value, json};

const SIDES: [usize; 2] = [72, 66];
const NOTHING: [&str; 0] = [];
const BOTH: [&str; 2] = ["lora", "invert"];

/// A folder with a picture, two drag files and a cache.
struct Scene {
    bench: Bench,
}

/// A successful edit.
struct Edited {
    record: Value,
    png: Vec<u8>,
    stderr: String,
}

impl Edited {
    /// Returns the stages whose results came from the cache.
    fn cached(&self) -> Vec<&str> {
        self.record["cached"]
            .as_array()
            .map(|stages| stages.iter().map(|stage| stage.as_str().unwrap()).collect())
            .unwrap_or_default()
    }

    /// Returns the kinds of warnings about the cache.
    fn warnings(&self) -> Vec<&str> {
        let warnings = self.record["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|warning| warning["kind"].as_str().unwrap());
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

    fn dragnext(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dragnext"));
        command
            .env_clear()
            .env("HOME", self.bench.folder())
            .env("DRAGNEXT_CACHE", self.path("cache"))
            .current_dir(self.bench.folder());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Returns the command of an edit with few steps, unless `arguments` say otherwise.
    fn command(&self, picture: &str, drag: &str, arguments: &[&str]) -> Command {
        let mut command =
            self.dragnext(&["edit", picture, "--drag", drag, "--json", "--overwrite"]);
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
                command.arg(flag).arg(value);
            }
        }
        if !arguments.contains(&"-o") {
            command.args(["-o", "out.png"]);
        }
        if !arguments.contains(&"--model") {
            command.arg("--model").arg(model());
        }
        command.args(arguments);
        command
    }

    fn edit(&self, picture: &str, drag: &str, arguments: &[&str]) -> Edited {
        self.edited(&mut self.command(picture, drag, arguments))
    }

    fn edited(&self, command: &mut Command) -> Edited {
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        let record: Value = serde_json::from_slice(&output.stdout).unwrap();
        let png = self.bench.read(record["out"].as_str().unwrap());
        Edited {
            record,
            png,
            stderr,
        }
    }

    /// Edits without the cache.
    fn without_cache(&self, picture: &str, drag: &str, arguments: &[&str]) -> Edited {
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

    fn cache(&self, arguments: &[&str]) -> Output {
        self.dragnext(&[&["cache"], arguments].concat())
            .output()
            .unwrap()
    }

    fn list(&self) -> Value {
        let output = self.cache(&["list", "--json"]);
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
