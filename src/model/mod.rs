//! A Stable Diffusion model: where its files come from, what they must hold, and its parts.

pub mod config;
pub mod layout;
pub mod lora;
pub mod safetensors;
pub mod source;
pub mod text_encoder;
pub mod tokenizer;
pub mod unet;
pub mod vae;
pub mod weights;

pub use source::Source;
pub use text_encoder::TextEncoder;
pub use tokenizer::Tokenizer;
pub use unet::UNet;
pub use vae::Vae;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::kernels::Backend;

/// A model whose configuration is read and checked, but whose weights still lie on disk.
#[derive(Debug)]
pub struct Model {
    source: Source,
    vae_source: Option<Source>,
    unet: config::UNetConfig,
    schedule: config::ScheduleConfig,
    defaults: Map<String, Value>,
}

impl Model {
    /// Reads the configuration of `demo`, of a folder in diffusers layout, or of a model of the hub that is in the cache; `vae` names a
    /// folder whose VAE replaces the model's own, or `demo` for the one that is built in.
    ///
    /// # Errors
    /// [`Error::Weights`] when a file is missing or holds a value that is not supported, [`Error::Hub`] when the cache does not have the
    /// model, or not as it was fetched.
    pub fn open(name: &str, vae: Option<&Path>) -> Result<Self> {
        let source = Source::parse(name)?;
        let unet = config::UNetConfig::read(&source)?;
        let schedule = config::ScheduleConfig::read(&source)?;
        let defaults = match source.text("dragnext.json")? {
            None => Map::new(),
            Some(text) => serde_json::from_str(&text).map_err(|error| Error::Weights {
                path: source.place("dragnext.json"),
                kind: ErrorKind::WeightsUnsupported,
                reason: error.to_string(),
                hint: "this file holds the model's own defaults for settings of `dragnext edit`"
                    .into(),
            })?,
        };
        // A folder may have a name that is no text.
        let vae_source = |folder: &Path| {
            if folder.is_dir() && folder != Path::new("demo") {
                Ok(Source::Folder(folder.to_path_buf()))
            } else {
                Source::parse_path(&folder.to_string_lossy())
            }
        };
        let vae_source = vae.map(vae_source).transpose()?;
        Ok(Self {
            source,
            vae_source,
            unet,
            schedule,
            defaults,
        })
    }

    /// What the model is called in records: `demo`, the folder's own name without its path, or `owner/name@commit`.
    pub fn name(&self) -> String {
        self.source.name()
    }

    /// All files of the model that lie on the disk, for whoever must not write to them.
    pub fn files(&self) -> Vec<PathBuf> {
        [Some(&self.source), self.vae_source.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(Source::files)
            .collect()
    }

    /// What tells the files of this model and its VAE from others without reading them; `None` where the system does not tell.
    pub fn stamp(&self) -> Option<String> {
        let vae = self
            .vae_source
            .as_ref()
            .map_or(Some(String::new()), Source::stamp)?;
        Some(format!("{}{vae}", self.source.stamp()?))
    }

    /// Returns the model's own defaults for settings, as its `dragnext.json` has them.
    pub fn defaults(&self) -> &Map<String, Value> {
        &self.defaults
    }

    /// Returns the place of the defaults, for messages.
    pub fn defaults_place(&self) -> String {
        self.source.place("dragnext.json")
    }

    /// Shorter side, in pixels, of the pictures the model was trained on.
    pub fn native_size(&self) -> usize {
        self.unet.sample_size * vae::DOWNSCALE
    }

    /// The training noise schedule.
    pub fn schedule(&self) -> &config::ScheduleConfig {
        &self.schedule
    }

    /// SHA-256 of the configuration files of all parts, which decide numbers as the weights do.
    ///
    /// # Errors
    /// [`Error::Weights`] or [`Error::File`] when one cannot be read.
    pub fn configuration(&self) -> Result<String> {
        let vae = self.vae_source.as_ref().unwrap_or(&self.source);
        let texts = [
            self.source.required_text("unet/config.json")?,
            vae.required_text("vae/config.json")?,
            self.source.required_text("text_encoder/config.json")?,
            self.source
                .required_text("scheduler/scheduler_config.json")?,
        ];
        Ok(sha256(
            texts
                .map(|text| sha256(text.as_bytes()))
                .concat()
                .as_bytes(),
        ))
    }

    /// Returns the number of decoder stages of the UNet.
    pub fn decoder_stages(&self) -> usize {
        self.unet.channels.len()
    }

    /// Checks that the prompt fits the text encoder. No weight is read.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`].
    pub fn check_prompt(&self, prompt: &str) -> Result<()> {
        if prompt.is_empty() {
            return Ok(());
        }
        let positions = TextEncoder::positions_of(&self.source, self.unet.cross_attention_dim)?;
        // Begin, end, and no more tokens than bytes of the normalised text, which is at most three times as long: most prompts
        // fit without being looked at.
        if 2 + 3 * prompt.len() > positions {
            Tokenizer::load(&self.source)?.encode(prompt, positions)?;
        }
        Ok(())
    }

    /// Loads the noise predictor.
    ///
    /// # Errors
    /// [`Error::Weights`] when its file is missing, damaged, or does not fit the configuration; [`Error::Interrupted`].
    pub fn unet<B: Backend>(&self, backend: &B, interrupt: &Interrupt) -> Result<UNet<B>> {
        UNet::load(backend, &self.source, &self.unet, interrupt)
    }

    /// Loads picture encoder and decoder.
    ///
    /// # Errors
    /// As [`Model::unet`].
    pub fn vae<B: Backend>(&self, backend: &B, interrupt: &Interrupt) -> Result<Vae<B>> {
        Vae::load(
            backend,
            self.vae_source.as_ref().unwrap_or(&self.source),
            interrupt,
        )
    }

    /// Loads what turns a prompt into tokens, and what turns tokens into the network's context.
    ///
    /// # Errors
    /// As [`Model::unet`].
    pub fn text(&self, interrupt: &Interrupt) -> Result<(Tokenizer, TextEncoder)> {
        Ok((
            Tokenizer::load(&self.source)?,
            TextEncoder::load(&self.source, self.unet.cross_attention_dim, interrupt)?,
        ))
    }
}
