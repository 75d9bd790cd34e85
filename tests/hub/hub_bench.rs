//! A temporary home folder, a local hub, and runs of the program with both.

use std::path::{Path, PathBuf};

use crate::bench::fixture::path as fixture;
use crate::bench::{Bench, Ended, Run};
use crate::server::{COMMIT, Server, etag};

/// The repository of most tests. The server has its files under any name.
pub(crate) const MODEL: &str = "someone/tiny";

pub(crate) const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
pub(crate) const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
pub(crate) const TEXT_ENCODER: &str = "text_encoder/model.safetensors";

/// Files that are fetched of the tiny model: three weights, six required files, index and tokenizer configuration.
pub(crate) const FILES: usize = 11;

pub(crate) struct HubBench {
    bench: Bench,
    pub(crate) server: Server,
}

impl HubBench {
    pub(crate) fn new() -> Self {
        Self {
            bench: Bench::new(),
            server: Server::start(&fixture("tiny")),
        }
    }

    /// Returns a bench whose cache has the model, with an empty log.
    pub(crate) fn with_model() -> Self {
        let bench = Self::new();
        bench.fetch().assert(0);
        bench.server.reset();
        bench
    }

    /// The folder of the test, which is the user's home folder.
    pub(crate) fn home(&self) -> &Path {
        self.bench.folder()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    /// `dragnext` with these arguments and this hub. Its output is for the test to check.
    pub(crate) fn command(&self, arguments: &[&str]) -> Run {
        self.bench
            .dragnext(arguments)
            .env("HF_ENDPOINT", self.server.endpoint())
            .any_stdout()
            .any_stderr()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).ended()
    }

    pub(crate) fn fetch(&self) -> Ended {
        self.run(&["fetch", MODEL])
    }

    /// A very short edit with further arguments.
    pub(crate) fn edit_with(&self, arguments: &[&str]) -> Run {
        self.command(&["edit", "--json", "--overwrite"])
            .arg(fixture("edit/input.png"))
            .arg("--drag")
            .arg(fixture("edit/drag.json"))
            .args(arguments)
            .args(["--size", "80", "--no-lora", "--strength", "0.04"])
            .args(["--timesteps", "1", "--iterations", "1"])
    }

    pub(crate) fn edit(&self, model: &str) -> Run {
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
