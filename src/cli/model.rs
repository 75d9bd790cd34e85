//! `--model`, `--vae` and `--offline`, which several subcommands take.

use std::path::PathBuf;

use crate::error::Result;
use crate::hub::{self, Environment, Found, HubId};
use crate::interrupt::Interrupt;
use crate::model::layout::STABLE_DIFFUSION;
use crate::model::{Model, Source};
use crate::progress::Transfer;

/// Which model.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ModelArguments {
    /// The model: a name on the Hugging Face hub, as `owner/name` or `owner/name@revision`, which is fetched when it is not in the
    /// cache; a folder in the diffusers layout of Stable Diffusion 1.5; or `demo`, which is built in
    /// [default: stable-diffusion-v1-5/stable-diffusion-v1-5].
    #[arg(long, value_name = "MODEL", env = "DRAGNEXT_MODEL")]
    model: Option<String>,

    /// A folder with another VAE for the model; `demo` is the one that is built in, `./demo` a folder of that name.
    #[arg(long, value_name = "FOLDER", env = "DRAGNEXT_VAE")]
    vae: Option<PathBuf>,

    /// Fetch nothing: use what is in the cache of the hub. `HF_HUB_OFFLINE=1` does the same.
    #[arg(long)]
    offline: bool,
}

impl ModelArguments {
    /// These arguments, with `name` for the model when none was given on the command line or in the environment.
    pub(super) fn or(&self, name: Option<&str>) -> Self {
        Self {
            model: self.model.clone().or(name.map(str::to_owned)),
            ..self.clone()
        }
    }

    /// Was a model given, on the command line or in the environment?
    pub(super) fn is_given(&self) -> bool {
        self.model.is_some()
    }

    /// What the model is called where it was asked for.
    pub(super) fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(STABLE_DIFFUSION.repository)
    }

    /// The model's configuration, without its weights. A model of the hub is fetched when something of it is missing.
    pub(super) fn open(&self, quiet: bool, interrupt: &Interrupt) -> Result<Model> {
        if let Some((environment, id)) = self.absent()?
            && !environment.offline
            && !self.offline
        {
            hub::fetch(
                &environment,
                &id,
                &STABLE_DIFFUSION,
                &mut Transfer::for_terminal(quiet),
                interrupt,
            )?;
        }
        self.open_cached()
    }

    /// The same, but nothing is ever fetched.
    pub(super) fn open_cached(&self) -> Result<Model> {
        Model::open(self.name(), self.vae.as_deref())
    }

    /// The model, when it can be used without a download: nothing is fetched, and one that is not here yet is no error.
    pub(super) fn open_present(&self) -> Result<Option<Model>> {
        if self.absent()?.is_some() {
            Ok(None)
        } else {
            self.open_cached().map(Some)
        }
    }

    /// The model's name on the hub, when something of it is missing in the cache.
    fn absent(&self) -> Result<Option<(Environment, HubId)>> {
        let Some(id) = Source::hub_id(self.name()) else {
            return Ok(None);
        };
        let environment = Environment::read();
        match hub::look_up(&environment, &id, &STABLE_DIFFUSION)? {
            Found::Complete(_) => Ok(None),
            Found::Missing(_) => Ok(Some((environment, id))),
        }
    }
}
