//! `--model` and `--vae`, which several subcommands take.

use std::path::PathBuf;

use crate::error::Result;
use crate::model::Model;

const DEFAULT: &str = "demo";

/// Which model.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ModelArguments {
    /// The model: `demo`, which is built in, or a folder in the diffusers layout of Stable Diffusion 1.5 [default: demo].
    #[arg(long, value_name = "MODEL", env = "DRAGNEXT_MODEL")]
    model: Option<String>,

    /// A folder with another VAE for the model; `demo` is the one that is built in, `./demo` a folder of that name.
    #[arg(long, value_name = "FOLDER", env = "DRAGNEXT_VAE")]
    vae: Option<PathBuf>,
}

impl ModelArguments {
    /// These arguments, with `name` for the model when none was given on the command line or in the environment.
    pub(super) fn or(&self, name: Option<&str>) -> Self {
        Self { model: self.model.clone().or(name.map(str::to_owned)), ..self.clone() }
    }

    /// Was a model given, on the command line or in the environment?
    pub(super) fn is_given(&self) -> bool {
        self.model.is_some()
    }

    /// What the model is called where it was asked for.
    pub(super) fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(DEFAULT)
    }

    /// The model's configuration, without its weights.
    pub(super) fn open(&self) -> Result<Model> {
        Model::open(self.name(), self.vae.as_deref())
    }
}
