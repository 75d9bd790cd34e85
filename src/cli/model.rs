//! `--model`, `--vae`, `--clip` and `--offline`, the model arguments of several subcommands.

use std::path::{Path, PathBuf};

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
    /// safetensors file, in the original layout of Stable Diffusion 1.x or 2; or `demo`, which is built in
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

    /// A LoRA for the whole model, such as a style: `FILE` or `FILE:WEIGHT`, with a weight from -10 to 10 [default: 1].
    ///
    /// It is merged into the weights when they are read, and a LoRA of the picture is trained on top. May be given several times; the files add up. Files of
    /// diffusers, peft, kohya, LyCORIS and ComfyUI (LoRA, LoCon, LoHa, LoKr) are read, with layers of the text encoder.
    #[arg(long, value_name = "FILE[:WEIGHT]", value_parser = style)]
    style_lora: Vec<(PathBuf, f64)>,

    /// An embedding of textual inversion for a word of the prompt: `FILE` or `FILE:WORD`.
    ///
    /// FILE is a safetensors file of A1111's web UI, whose word is the file's name, or of diffusers (`learned_embeds.safetensors`), which has the word in it. May
    /// be given several times.
    #[arg(long, value_name = "FILE[:WORD]", value_parser = embedding)]
    embedding: Vec<(PathBuf, Option<String>)>,

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
        let mut model = Model::open(self.name(), self.vae.as_deref())?.with_clip(self.clip.clone());
        for (path, weight) in &self.style_lora {
            model = model.with_style_lora(path, *weight)?;
        }
        for (path, word) in &self.embedding {
            model = model.with_embedding(path, word.as_deref())?;
        }
        Ok(model)
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

/// Parses `FILE` or `FILE:WEIGHT`. What follows the last colon is a weight if it is a number and no file has the whole name.
fn style(text: &str) -> std::result::Result<(PathBuf, f64), String> {
    let split = text.rsplit_once(':').filter(|_| !Path::new(text).exists());
    let weighted = split.and_then(|(path, weight)| Some((path, weight.trim().parse().ok()?)));
    match weighted {
        Some(("", _)) => Err("no file is given".into()),
        Some((path, weight)) => Ok((path.into(), weight)),
        None => Ok((text.into(), 1.0)),
    }
}

/// Parses `FILE` or `FILE:WORD`. What follows the last colon is a word if it has no separators of paths and no file has the whole name.
#[expect(clippy::unnecessary_wraps, reason = "the form of clap's parsers")]
fn embedding(text: &str) -> std::result::Result<(PathBuf, Option<String>), String> {
    let split = text.rsplit_once(':').filter(|(path, word)| {
        !Path::new(text).exists() && path.len() > 1 && !word.contains(['/', '\\'])
    });
    Ok(match split {
        Some((path, word)) => (path.into(), Some(word.to_owned())),
        None => (text.into(), None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_follows_the_last_colon() {
        for (text, path, weight) in [
            ("a.safetensors", "a.safetensors", 1.0),
            ("a.safetensors:0.5", "a.safetensors", 0.5),
            ("a:b.safetensors:-2", "a:b.safetensors", -2.0),
            (r"C:\loras\a.safetensors", r"C:\loras\a.safetensors", 1.0),
            ("a.safetensors:heavy", "a.safetensors:heavy", 1.0),
        ] {
            let found = style(text).expect("a file");
            assert_eq!(found, (path.into(), weight), "{text}");
        }
        style(":0.5").expect_err("no file");
    }

    #[test]
    fn a_word_follows_the_last_colon() {
        for (text, path, word) in [
            ("a.safetensors", "a.safetensors", None),
            ("a.safetensors:<toy>", "a.safetensors", Some("<toy>")),
            (r"C:\e\a.safetensors", r"C:\e\a.safetensors", None),
            (
                r"C:\e\a.safetensors:toy",
                r"C:\e\a.safetensors",
                Some("toy"),
            ),
        ] {
            let found = embedding(text).expect("a file");
            assert_eq!(found, (path.into(), word.map(str::to_owned)), "{text}");
        }
    }
}
