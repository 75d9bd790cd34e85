//! A temporary home folder, a local hub, and runs of the program with both.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::server::{COMMIT, Server, etag};

/// The repository of most tests. The server has its files under any name.
pub(crate) const MODEL: &str = "someone/tiny";

pub(crate) const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
pub(crate) const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
pub(crate) const TEXT_ENCODER: &str = "text_encoder/model.safetensors";

/// Files that are fetched of the tiny model: three weights, six required files, index and tokenizer configuration.
pub(crate) const FILES: usize = 11;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub(crate) struct Bench {
    pub(crate) home: tempfile::TempDir,
    pub(crate) server: Server,
}

/// A finished run of the program.
pub(crate) struct Finished {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Finished {
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        self
    }

    /// Asserts exit status 75 and that stderr contains all `parts`.
    pub(crate) fn failed_temporarily(self, parts: &[&str]) -> Self {
        assert_eq!(self.status, Some(75), "{}{}", self.stdout, self.stderr);
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "`{part}` is not in {}",
                self.stderr
            );
        }
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            server: Server::start(&fixture("tiny")),
        }
    }

    /// Returns a bench whose cache has the model, with an empty log.
    pub(crate) fn with_model() -> Self {
        let bench = Self::new();
        bench.fetch().succeeded();
        bench.server.reset();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Returns a command of the program whose environment has only this home folder and this hub.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("dragnext"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("DRAGNEXT_CACHE_LIMIT", "0")
            .env("HF_ENDPOINT", self.server.endpoint());
        command
            .current_dir(self.home.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.command(arguments).output().unwrap().into()
    }

    pub(crate) fn fetch(&self) -> Finished {
        self.run(&["fetch", MODEL])
    }

    /// Returns a command of a very short edit with further arguments.
    pub(crate) fn edit_with(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["edit", "--json", "--overwrite"]);
        command
            .arg(fixture("edit/input.png"))
            .arg("--drag")
            .arg(fixture("edit/drag.json"))
            .args(arguments);
        command.args([
            "--size",
            "80",
            "--no-lora",
            "--strength",
            "0.04",
            "--timesteps",
            "1",
            "--iterations",
            "1",
        ]);
        command
    }

    pub(crate) fn edit(&self, model: &str) -> Command {
        self.edit_with(&["-o", "out.png", "--model", model])
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.path(".cache/huggingface/hub/models--someone--tiny")
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.folder().join("snapshots").join(COMMIT)
    }

    pub(crate) fn blob(&self, name: &str) -> PathBuf {
        self.folder()
            .join("blobs")
            .join(etag(name, &self.server.file(name)))
    }

    /// Returns the file names in the folder of the blobs.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder().join("blobs"))
            .into_iter()
            .flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Asserts that snapshot and blobs have the bytes of the server and that no partial file is left.
    pub(crate) fn assert_complete(&self) {
        let blobs = self.blobs();
        assert_eq!(blobs.len(), FILES, "{blobs:?}");
        for name in [
            UNET,
            VAE,
            TEXT_ENCODER,
            "unet/config.json",
            "tokenizer/vocab.json",
            "scheduler/scheduler_config.json",
            "model_index.json",
        ] {
            assert!(
                std::fs::read(self.snapshot().join(name)).unwrap() == self.server.file(name),
                "{name}"
            );
            assert!(
                std::fs::read(self.blob(name)).unwrap() == self.server.file(name),
                "{name}"
            );
        }
    }

    /// Asserts that every blob has the hash of its name, except partial files.
    pub(crate) fn assert_blobs_complete(&self) {
        for name in self
            .blobs()
            .iter()
            .filter(|name| !name.ends_with(".incomplete"))
        {
            let bytes = std::fs::read(self.folder().join("blobs").join(name)).unwrap();
            assert!(
                dragnext::digest::sha256(&bytes).starts_with(name.as_str()),
                "{name} has other bytes"
            );
        }
    }
}
