//! Runs `dragnext batch` on a folder of small pictures with drag files.
#![allow(dead_code, reason = "some tests need failpoints")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::pictures::{png::Png, smooth};
use crate::bench::tiny::{model, moved};
use crate::bench::{Bench, Ended, Run};
use png::{BitDepth, ColorType};

/// Sides of the pictures.
const SIDES: [usize; 2] = [72, 66];

/// A test bench with the folder `in/`; results go to `out/`.
pub(crate) struct Folder {
    pub(crate) bench: Bench,
}

impl Folder {
    /// Creates `in/p0.png` and so on, all different, each with a drag file such as `in/p0.json`.
    pub(crate) fn new(count: usize) -> Self {
        let folder = Self {
            bench: Bench::new(),
        };
        std::fs::create_dir(folder.path("in")).unwrap();
        (0..count).for_each(|index| folder.item(&format!("in/p{index}"), index));
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    /// Adds a picture and its drag file.
    pub(crate) fn item(&self, name: &str, number: usize) {
        self.picture(&format!("{name}.png"), number);
        self.write(&format!("{name}.json"), moved(SIDES[0], SIDES[1]));
    }

    pub(crate) fn picture(&self, name: &str, number: usize) {
        let [width, height] = SIDES;
        let mut samples = smooth(width, height, 3);
        samples.iter_mut().enumerate().for_each(|(index, sample)| {
            *sample = sample.wrapping_add((index * number / 7 % 50) as u8);
        });
        self.write(
            name,
            Png::encode(width, height, ColorType::Rgb, BitDepth::Eight, &samples).bytes(),
        );
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        self.bench.write(name, bytes);
    }

    /// Returns `dragnext COMMAND` with few steps in every stage. Its output is for the test to check.
    pub(crate) fn dragnext(&self, command: &str, arguments: &[&str]) -> Run {
        self.plain(&[&[command], arguments].concat())
            .arg("--model")
            .arg(model())
            .args(["--size", "64", "--strength", "0.04", "--timesteps", "1"])
            .args(["--iterations", "1", "--lora-steps", "1", "--lora-rank", "2"])
    }

    /// Returns `dragnext` with exactly these arguments.
    pub(crate) fn plain(&self, arguments: &[&str]) -> Run {
        self.bench.dragnext(arguments).any_stdout().any_stderr()
    }

    pub(crate) fn batch(&self, arguments: &[&str]) -> Run {
        self.dragnext("batch", arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.batch(arguments).ended()
    }

    /// Runs the whole folder to `out/`.
    pub(crate) fn whole(&self, arguments: &[&str]) -> Ended {
        self.run(&[&["in", "-o", "out"], arguments].concat())
    }

    pub(crate) fn whole_at(&self, failpoints: &str, arguments: &[&str]) -> Ended {
        self.batch(&[&["in", "-o", "out"], arguments].concat())
            .env("DRAGNEXT_FAILPOINTS", failpoints)
            .ended()
    }

    /// Returns all records in `out/`, which must be complete lines.
    pub(crate) fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        for name in crate::bench::program::names(&self.path("out/records")) {
            if Path::new(&name)
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                let text = self.bench.text(Path::new("out/records").join(name));
                let lines = text.lines().map(serde_json::from_str::<Value>);
                records.extend(lines.map(Result::unwrap));
            }
        }
        records
    }

    /// Returns id, status and error kind of every record, in order.
    pub(crate) fn statuses(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.records()
            .iter()
            .map(|record| {
                (
                    text(&record["id"]),
                    text(&record["status"]),
                    text(&record["error"]["kind"]),
                )
            })
            .collect()
    }

    pub(crate) fn done(&self) -> Vec<String> {
        self.statuses()
            .into_iter()
            .filter(|(_, status, _)| status == "done")
            .map(|(id, ..)| id)
            .collect()
    }

    /// Returns the results by their paths in `out/`.
    pub(crate) fn results(&self) -> BTreeMap<String, Vec<u8>> {
        results(&self.path("out"))
    }

    /// Returns the results of an undisturbed run in another output folder.
    pub(crate) fn expected(&self) -> BTreeMap<String, Vec<u8>> {
        self.run(&["in", "-o", "undisturbed"]).assert(0);
        results(&self.path("undisturbed"))
    }
}

pub(crate) fn results(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(&inner)
            .into_iter()
            .flatten()
            .map(Result::unwrap)
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "png") {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
