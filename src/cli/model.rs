//! `--model` and `--vae`, which several subcommands take.

use std::path::PathBuf;

use crate::error::Result;
use crate::model::Model;

/// Which model.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// The model: `demo`, which is built in, or a folder in the diffusers layout of Stable Diffusion 1.5.
    #[arg(long, value_name = "MODEL", default_value = "demo", env = "DRAGNEXT_MODEL")]
    model: String,

    /// A folder with another VAE for the model.
    #[arg(long, value_name = "FOLDER", env = "DRAGNEXT_VAE")]
    vae: Option<PathBuf>,
}

impl ModelArguments {
    /// The model's configuration, without its weights.
    pub(super) fn open(&self) -> Result<Model> {
        Model::open(&self.model, self.vae.as_deref())
    }
}
