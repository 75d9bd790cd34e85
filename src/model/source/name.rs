//! What the name of a model or of a VAE means: `demo`, a path, or a repository of the hub.

use std::path::Path;

use super::refusal::pickle_error;
use super::{Source, VAE_FOLDER};
use crate::error::{Error, ErrorKind, Result};
use crate::hub::{self, Environment, HubId, is_pickle};
use crate::model::layout::{STABLE_DIFFUSION, VAE_ALONE, long_name};
use crate::model::original::Checkpoint;

impl Source {
    /// Parses `demo`, a folder, or the name of a model of the hub that is in the cache. Does not fetch; [`hub::fetch`] does.
    ///
    /// # Errors
    /// [`Error::Hub`] when the cache lacks files of the model, [`Error::Weights`] for any other name.
    pub fn parse(name: &str) -> Result<Self> {
        if name == "demo" {
            return Ok(Self::Demo);
        }
        match Self::hub_id(name) {
            Some(id) => hub::find(&Environment::read(), &id, &STABLE_DIFFUSION).map(Self::Hub),
            None => Self::from_folder(Path::new(name)),
        }
    }

    /// Returns the files in the folder at `path`, or of the checkpoint that `path` is.
    ///
    /// # Errors
    /// [`Error::Weights`] when `path` is neither.
    pub fn from_folder(path: &Path) -> Result<Self> {
        let location = path.display().to_string();
        let reject = |kind, reason: &str, hint: &str| {
            Err(Error::Weights {
                path: location.clone(),
                kind,
                reason: reason.into(),
                hint: hint.into(),
            })
        };
        if path.is_dir() {
            return Ok(Self::Folder(path.to_path_buf()));
        }
        if is_pickle(path) {
            return Err(pickle_error(
                &location,
                "convert it to a diffusers folder with safetensors files, for example with `save_pretrained(.., safe_serialization=True)`",
            ));
        }
        if path.is_file() {
            return Checkpoint::open(path).map(Self::File);
        }
        if let Some((_, rest)) = location.split_once("://") {
            let mut parts = rest.split('/').skip(1).filter(|part| !part.is_empty());
            let hint = match (parts.next(), parts.next()) {
                (Some(owner), Some(name)) => {
                    format!(
                        "give the name of a model of the hub, such as `{owner}/{name}`, or a file that was downloaded"
                    )
                }
                _ => {
                    "give a model of the hub as `owner/name`, or a file that was downloaded".into()
                }
            };
            return reject(
                ErrorKind::WeightsMissing,
                "is an address, not a model's name",
                &hint,
            );
        }
        reject(
            ErrorKind::WeightsMissing,
            "no such folder",
            "give `demo` (built in), a checkpoint in one safetensors file, a folder with unet/, vae/, text_encoder/, tokenizer/ and scheduler/, or a model of the hub as `owner/name`",
        )
    }

    /// Returns the files of a VAE: `demo`, a folder of a model or of a VAE alone, or the name of a VAE of the hub that is in the cache. Does not
    /// fetch.
    ///
    /// # Errors
    /// As [`Source::parse`].
    pub fn of_vae(path: &Path) -> Result<Self> {
        if path == Path::new("demo") {
            return Ok(Self::Demo);
        }
        if let Some(id) = Self::vae_id(path) {
            let found = hub::find(&Environment::read(), &id, &VAE_ALONE)?;
            return Ok(Self::Alone(Box::new(Self::Hub(found)), VAE_FOLDER));
        }
        if path.is_file() && !is_pickle(path) {
            let beside = path
                .parent()
                .filter(|folder| folder.join("config.json").is_file());
            let is_published = path
                .file_name()
                .is_some_and(|name| VAE_ALONE.all().any(|file| name == file));
            return match beside.filter(|_| is_published) {
                Some(folder) => Ok(Self::Alone(
                    Box::new(Self::Folder(folder.into())),
                    VAE_FOLDER,
                )),
                None => Checkpoint::open_vae(path).map(Self::File),
            };
        }
        let folder = Self::from_folder(path)?;
        let has = |name: &str| path.join(name).is_file();
        Ok(if has("config.json") && !has("vae/config.json") {
            Self::Alone(Box::new(folder), VAE_FOLDER)
        } else {
            folder
        })
    }

    /// Parses the name of a VAE of the hub; `None` for `demo`, existing paths, and names that the hub cannot have.
    pub fn vae_id(path: &Path) -> Option<HubId> {
        let name = path.to_str()?;
        (name != "demo" && !path.exists() && !is_pickle(path))
            .then(|| VAE_ALONE.id(name))
            .flatten()
    }

    /// Parses the name of a model of the hub; `None` for `demo`, existing paths, and names that the hub cannot have.
    pub fn hub_id(name: &str) -> Option<HubId> {
        let path = Path::new(name);
        (!path.exists() && !is_pickle(path))
            .then(|| STABLE_DIFFUSION.id(long_name(name)))
            .flatten()
    }
}
