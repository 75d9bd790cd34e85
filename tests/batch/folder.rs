//! Runs `dragnext batch` on a folder of small pictures with drag files.
#![allow(dead_code, reason = "some tests need failpoints")]

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::bench::Bench;
use crate::bench::pictures::{png::Png, smooth};
use crate::bench::tiny::{model, moved};
use png::{BitDepth, ColorType};

/// Sides of the pictures.
const SIDES: [usize; 2] = [72, 66];

/// A test bench with the folder `in/`; results go to `out/`.
pub(crate) struct Folder {
    pub(crate) bench: Bench,
}

/// Exit status and output of a run.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn assert(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{}", self.stderr);
        self
    }

    pub(crate) fn stderr_has(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "`{text}` is not in: {}",
            self.stderr
        );
        self
    }

    pub(crate) fn stderr_lacks(self, text: &str) -> Self {
        assert!(
            !self.stderr.contains(text),
            "`{text}` is in: {}",
            self.stderr
        );
        self
    }
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
            *sample = sample.wrapping_add((index * number / 7 % 50) as u8)
        });
        self.write(
            name,
            Png::encode(width, height, ColorType::Rgb, BitDepth::Eight, &samples).bytes(),
        );
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        if let Some(parent) = self.path(name).parent() {
            std::fs::create_dir_all(parent).unwrap();
        }
        self.bench.write(name, bytes);
    }

    /// Returns `dragnext COMMAND` with few steps in every stage.
    pub(crate) fn dragnext(&self, command: &str, arguments: &[&str]) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_dragnext"));
        run.env_clear()
            .env("HOME", self.bench.folder())
            .env("DRAGNEXT_CACHE_LIMIT", "0")
            .current_dir(self.bench.folder())
            .arg(command)
            .args(arguments);
        run.arg("--model").arg(model());
        run.args([
            "--size",
            "64",
            "--strength",
            "0.04",
            "--timesteps",
            "1",
            "--iterations",
            "1",
            "--lora-steps",
            "1",
            "--lora-rank",
            "2",
        ]);
        run.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        run
    }

    /// Returns `dragnext` with exactly these arguments.
    pub(crate) fn plain(&self, arguments: &[&str]) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_dragnext"));
        run.env_clear()
            .current_dir(self.bench.folder())
            .args(arguments);
        run.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        run
    }

    pub(crate) fn batch(&self, arguments: &[&str]) -> Command {
        self.dragnext("batch", arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.batch(arguments))
    }

    /// Runs the whole folder to `out/`.
    pub(crate) fn whole(&self, arguments: &[&str]) -> Ended {
        self.run(&[&["in", "-o", "out"], arguments].concat())
    }

    pub(crate) fn whole_at(&self, failpoints: &str, arguments: &[&str]) -> Ended {
        let mut command = self.batch(&[&["in", "-o", "out"], arguments].concat());
        command.env("DRAGNEXT_FAILPOINTS", failpoints);
        ended(command)
    }

    /// Returns all records in `out/`, which must be complete lines.
    pub(crate) fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        for name in crate::bench::program::names(&self.path("out/records")) {
            if Path::new(&name)
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                let bytes = std::fs::read(self.path("out/records").join(name)).unwrap();
                records.extend(
                    bytes
                        .lines()
                        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()),
                );
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

pub(crate) fn ended(mut command: Command) -> Ended {
    wait(command.spawn().unwrap())
}

pub(crate) fn wait(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Starts a run that hangs at the failpoint `place` and waits until it gets there. Returns the rest of stderr.
pub(crate) fn start_at(
    mut command: Command,
    place: &str,
) -> (Child, std::io::BufReader<std::process::ChildStderr>) {
    let mut child = command.env("DRAGNEXT_FAILPOINTS", place).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let name = place.split('#').next().unwrap();
    let (mut line, mut all) = (String::new(), String::new());
    while stderr.read_line(&mut line).unwrap() > 0 {
        all += &line;
        if line == format!("failpoint {name}\n") {
            return (child, stderr);
        }
        line.clear();
    }
    let ended = child.wait();
    panic!("it did not reach {place} ({ended:?}): {all}");
}

#[cfg(unix)]
pub(crate) fn send(signal: &str, child: &Child) {
    assert!(
        Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(child.id().to_string())
            .status()
            .unwrap()
            .success()
    );
}
