//! `--model` and `--vae`, which several subcommands take.

use std::path::PathBuf;

use crate::error::Result;
use crate::model::Model;

const DEFAULT: &str = "demo";

/// Which model.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// The model: `demo`, which is built in, or a folder in the diffusers layout of Stable Diffusion 1.5 [default: demo].
    #[arg(long, value_name = "MODEL", env = "DRAGNEXT_MODEL")]
    model: Option<String>,

    /// A folder with another VAE for the model; `demo` is the one that is built in.
    #[arg(long, value_name = "FOLDER", env = "DRAGNEXT_VAE")]
    vae: Option<PathBuf>,
}

impl ModelArguments {
    /// Was a model given, on the command line or in the environment?
    pub(super) fn is_given(&self) -> bool {
        self.model.is_some()
    }

    /// The model's configuration, without its weights: of the model that was given, else of `fallback`, else of the default.
    pub(super) fn open_or(&self, fallback: Option<&str>) -> Result<Model> {
        Model::open(self.model.as_deref().or(fallback).unwrap_or(DEFAULT), self.vae.as_deref())
    }
}
