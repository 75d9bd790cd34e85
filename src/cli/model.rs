//! `--model`, `--vae`, `--clip` and `--offline`, the model arguments of several subcommands.

use std::path::PathBuf;

use crate::error::Result;
use crate::hub::{self, Environment, Found, HubId};
use crate::interrupt::Interrupt;
use crate::model::layout::{CLIP, STABLE_DIFFUSION, VAE_ALONE};
use crate::model::{ClipModel, Model, Source};
use crate::progress::Transfer;

/// The model arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ModelArguments {
    /// The model: `owner/name` or `owner/name@revision` on the Hugging Face hub, which is fetched if it is not in the
    /// cache; `sd15`, `sd21` or `sd21-base` in short; a folder in the diffusers layout of Stable Diffusion 1.5 or 2.1; a checkpoint in one
    /// safetensors file, in the original layout of Stable Diffusion 1.x; or `demo`, which is built in
    /// [default: stable-diffusion-v1-5/stable-diffusion-v1-5].
    #[arg(long, value_name = "MODEL", env = "DRAGNEXT_MODEL")]
    model: Option<String>,

    /// Another VAE for the model: a folder with a VAE or a model, a file in the original layout, or `owner/name` on the hub, which is fetched if it is not in the cache, such as
    /// stabilityai/sd-vae-ft-mse. `demo` is the built-in VAE; `./demo` is a folder of that name.
    #[arg(long, value_name = "VAE", env = "DRAGNEXT_VAE")]
    vae: Option<PathBuf>,

    /// The CLIP of methods that follow a text, such as clip-drag: a folder as transformers writes it, or `owner/name` on the hub, which is fetched
    /// if it is not in the cache [default: openai/clip-vit-large-patch14].
    #[arg(long, value_name = "CLIP", env = "DRAGNEXT_CLIP")]
    clip: Option<String>,

    /// Do not use the network; use only models in the hub's cache. `HF_HUB_OFFLINE=1` does the same.
    #[arg(long)]
    offline: bool,
}

impl ModelArguments {
    /// Returns these arguments with `name` as the model if none was given on the command line or in the environment.
    pub(super) fn or(&self, name: Option<&str>) -> Self {
        Self {
            model: self.model.clone().or(name.map(str::to_owned)),
            ..self.clone()
        }
    }

    /// Returns whether a model was given on the command line or in the environment.
    pub(super) fn is_given(&self) -> bool {
        self.model.is_some()
    }

    /// Returns the given model, else the default.
    pub(super) fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(STABLE_DIFFUSION.repository)
    }

    /// Opens the model without loading weights. Missing files of a model of the hub are fetched.
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
        if let Some((environment, id)) = self.absent_vae()?
            && !environment.offline
            && !self.offline
        {
            let mut transfer = Transfer::for_terminal(quiet);
            hub::fetch(&environment, &id, &VAE_ALONE, &mut transfer, interrupt)?;
        }
        self.open_cached()
    }

    /// Returns the environment and the VAE's id if it is one of the hub with files missing from the cache.
    fn absent_vae(&self) -> Result<Option<(Environment, HubId)>> {
        let Some(id) = self.vae.as_deref().and_then(Source::vae_id) else {
            return Ok(None);
        };
        let environment = Environment::read();
        match hub::look_up(&environment, &id, &VAE_ALONE)? {
            Found::Complete(_) => Ok(None),
            Found::Missing(_) => Ok(Some((environment, id))),
        }
    }

    /// Fetches the CLIP if it is one of the hub with files missing from the cache, unless the network is not to be used.
    pub(super) fn fetch_clip(&self, quiet: bool, interrupt: &Interrupt) -> Result<()> {
        let name = self.clip.as_deref().unwrap_or(CLIP.repository);
        let Some(id) = ClipModel::hub_id(name) else {
            return Ok(());
        };
        let environment = Environment::read();
        if environment.offline || self.offline {
            return Ok(());
        }
        if let Found::Missing(_) = hub::look_up(&environment, &id, &CLIP)? {
            let mut transfer = Transfer::for_terminal(quiet);
            hub::fetch(&environment, &id, &CLIP, &mut transfer, interrupt)?;
        }
        Ok(())
    }

    /// Opens the model without fetching.
    pub(super) fn open_cached(&self) -> Result<Model> {
        Ok(Model::open(self.name(), self.vae.as_deref())?.with_clip(self.clip.clone()))
    }

    /// Opens the model without fetching; `None` if files of a model of the hub are missing.
    pub(super) fn open_present(&self) -> Result<Option<Model>> {
        if self.absent()?.is_some() || self.absent_vae()?.is_some() {
            Ok(None)
        } else {
            self.open_cached().map(Some)
        }
    }

    /// Returns the environment and the model's id if it is a hub model with files missing from the cache.
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
