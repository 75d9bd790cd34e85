//! Pictures made by hand, and the program run on them.
#![allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "a chunk's name is written as a byte string, which is a reference"
)]

pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod webp;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What `cargo test -- --nocapture` shows.
#[allow(
    clippy::print_stdout,
    reason = "the test runner keeps it to itself unless asked"
)]
pub(crate) fn report(line: &str) {
    println!("{line}");
}

/// A folder of its own for each test, where the program runs with an empty environment.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) record: Value,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn kind(&self) -> &str {
        self.record["error"]["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.record["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|warning| warning["kind"].as_str().unwrap())
            .collect()
    }

    pub(crate) fn peak_bytes(&self) -> u64 {
        self.record["peak_bytes"].as_u64().unwrap()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Names of what lies in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.folder())
    }

    /// `dragnext edit` with these arguments, few steps of everything, and its record on stdout.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dragnext"));
        command
            .env_clear()
            .env("HOME", self.folder())
            .env("DRAGNEXT_CACHE_LIMIT", "0")
            .current_dir(self.folder());
        command
            .arg("edit")
            .args(arguments)
            .arg("--json")
            .arg("--model")
            .arg(model());
        command.args([
            "--size",
            "64",
            "--strength",
            "0.04",
            "--timesteps",
            "1",
            "--iterations",
            "1",
            "--no-lora",
        ]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        run(self.command(arguments))
    }

    /// Edits `picture` with `drag` into `out.png`, replacing it, and returns the run, which must end well.
    pub(crate) fn edit(&self, picture: &[u8], drag: &str) -> Run {
        self.write("picture", picture);
        let run = self.run_with_drag("picture", drag);
        assert_eq!(run.status, Some(0), "{}", run.stderr);
        run
    }

    /// Edits the file `picture` with `drag` into `out.png`, replacing it; whatever comes of it.
    pub(crate) fn run_with_drag(&self, picture: &str, drag: &str) -> Run {
        self.write("drag.json", drag);
        self.run(&[
            picture,
            "--drag",
            "drag.json",
            "-o",
            "out.png",
            "--overwrite",
        ])
    }

    /// Tries to edit `picture`, which must be refused before anything is written.
    pub(crate) fn refusal(&self, picture: &[u8]) -> Run {
        self.write("drag.json", still(100, 100));
        self.write("picture", picture);
        let run = self.run(&["picture", "--drag", "drag.json", "-o", "refused.png"]);
        assert!(!self.path("refused.png").exists());
        run
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Runs a command that prints a record.
pub(crate) fn run(mut command: Command) -> Run {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let record = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Run {
        status: output.status.code(),
        record,
        stderr,
    }
}

/// The tiny model with random weights.
pub(crate) fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

/// A drag that moves nothing: the pixels of the result are the picture's, and no model is needed.
pub(crate) fn still(width: usize, height: usize) -> String {
    drag(width, height, 0.0)
}

/// A drag of the middle to the right. Outside [`editable`] nothing may change.
pub(crate) fn moved(width: usize, height: usize) -> String {
    drag(width, height, 0.2)
}

/// Left, top, right and bottom of where [`moved`] may change a picture of this size.
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

/// A TIFF header with one entry: Orientation (0x0112), SHORT, one value.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

/// Bytes without order, the same at each call.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let states = std::iter::successors(Some(1_u32), |state| {
        Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    });
    states
        .map(|state| (state >> 24) as u8)
        .take(length)
        .collect()
}

/// A smooth picture, 8 bits a sample. (height, width, channels)
pub(crate) fn smooth(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let sample = |index: usize| {
        let (channel, x, y) = (
            index % channels,
            index / channels % width,
            index / channels / width,
        );
        let wave = (x as f32 * 0.11 + channel as f32).sin() * 70.0 + (y as f32 * 0.07).cos() * 50.0;
        (wave + 128.0) as u8
    };
    (0..width * height * channels).map(sample).collect()
}

/// A JUMBF superbox whose description box says that it is a C2PA manifest store.
pub(crate) fn manifest() -> Vec<u8> {
    let uuid = b"c2pa\0\x11\0\x10\x80\0\0\xAA\0\x38\x9B\x71";
    let description = [
        &33_u32.to_be_bytes()[..],
        b"jumd",
        uuid,
        b"\x03c2pa\0",
        &[0; 3],
    ]
    .concat();
    [
        &(8 + description.len() as u32).to_be_bytes()[..],
        b"jumb",
        &description,
    ]
    .concat()
}
