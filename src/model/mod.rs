//! Stable Diffusion 1.5, 2.1 and models fine-tuned from them: their files, configuration and components. Beside them, a [`clip`] for methods that
//! follow a text.
//!
//! [`Model::open`] reads and checks the configuration. The components (UNet, VAE, text encoder, tokenizer) are loaded separately, because
//! an edit does not need all of them at the same time. Fetching models is up to [`crate::hub`].

mod additions;
pub mod clip;
pub mod config;
mod contents;
pub mod embedding;
pub mod layout;
pub mod lora;
pub mod original;
pub mod safetensors;
mod seeded;
pub mod source;
mod tensors;
pub mod text_encoder;
pub mod text_transformer;
pub mod tokenizer;
pub mod unet;
pub mod vae;
pub mod weights;

pub use additions::{AdditionNotes, EmbeddingNote, StyleNote};
pub use clip::{Clip, ClipModel};
pub use embedding::Embedding;
pub use source::Source;
pub use text_encoder::TextEncoder;
pub use text_transformer::POSITIONS;
pub use tokenizer::{Excess, Tokenizer, least_tokens};
pub use unet::UNet;
pub use vae::Vae;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use additions::Additions;
use config::Prediction;
use lora::{Component, LoraFile, Merges, StyleLora};

/// A model whose configuration is read and checked and whose weights are not loaded.
#[derive(Debug)]
pub struct Model {
    source: Source,
    vae_source: Option<Source>,
    clip: Option<String>,
    additions: Additions,
    unet: config::UNetConfig,
    schedule: config::ScheduleConfig,
    defaults: Map<String, Value>,
}

impl Model {
    /// Reads the configuration of `demo`, of a folder in diffusers layout, or of a model of the hub in the cache. `vae` replaces the VAE of the
    /// model: a folder of a model or of a VAE alone, a VAE of the hub in the cache, or `demo` for the built-in one.
    ///
    /// # Errors
    /// [`Error::Weights`] when a file is missing or has an unsupported value, [`Error::Hub`] when the cache lacks files of the model or
    /// has damaged ones.
    pub fn open(name: &str, vae: Option<&Path>) -> Result<Self> {
        let source = Source::parse(name)?;
        let unet = config::UNetConfig::read(&source)?;
        let schedule = config::ScheduleConfig::read(&source)?;
        let defaults = match source.text("dragnext.json")? {
            None => Map::new(),
            Some(text) => serde_json::from_str(&text).map_err(|error| Error::Weights {
                path: source.location("dragnext.json"),
                kind: ErrorKind::WeightsUnsupported,
                reason: error.to_string(),
                hint: "this file has the model's defaults for settings of `dragnext edit`".into(),
            })?,
        };
        let vae_source = vae.map(Source::of_vae).transpose()?;
        if let Some(vae) = &vae_source {
            check_family(vae, &source)?;
        }
        Ok(Self {
            source,
            vae_source,
            clip: None,
            additions: Additions::default(),
            unet,
            schedule,
            defaults,
        })
    }

    /// Returns the model with another CLIP than the default: a folder of transformers, or a model of the hub in the cache. It is opened when a
    /// method needs it.
    #[must_use]
    pub fn with_clip(self, name: Option<String>) -> Self {
        Self { clip: name, ..self }
    }

    /// Returns the model with a LoRA file merged into its weights, times `weight`, when they are read. A picture's own LoRA is trained on top. Several
    /// files add up.
    ///
    /// # Errors
    /// As [`StyleLora::open`]. Layers that the model does not have are errors of loading.
    pub fn with_style_lora(mut self, path: &Path, weight: f64) -> Result<Self> {
        let style = StyleLora::open(path, weight, self.unet.cross_attention_dim)?;
        self.additions.styles.push(style);
        Ok(self)
    }

    /// Returns the model with a LoRA file merged into its weights that stands for the picture's own LoRA.
    ///
    /// # Errors
    /// As [`Model::with_style_lora`].
    pub fn with_own_lora(mut self, path: &Path) -> Result<Self> {
        let own = StyleLora::open(path, 1.0, self.unet.cross_attention_dim)?;
        self.additions.own = Some(own);
        Ok(self)
    }

    /// Checks that a LoRA file was made for a model of this family, as far as it tells.
    ///
    /// # Errors
    /// As [`LoraFile::check_context`].
    pub fn check_lora(&self, file: &LoraFile) -> Result<()> {
        file.check_context(self.unet.cross_attention_dim)
    }

    /// Returns the model with the embedding of a word: `token`, or that of the file.
    ///
    /// # Errors
    /// As [`Embedding::open`]; [`Error::Setting`] for a word that has an embedding already.
    pub fn with_embedding(mut self, path: &Path, token: Option<&str>) -> Result<Self> {
        let embedding = Embedding::open(path, token, self.unet.cross_attention_dim)?;
        self.additions.add_embedding(embedding)?;
        Ok(self)
    }

    /// Returns the LoRA files and embeddings that were added, for records.
    pub fn additions(&self) -> AdditionNotes {
        self.additions.notes()
    }

    /// Opens the CLIP that stands beside the model, for methods that follow a text.
    ///
    /// # Errors
    /// As [`ClipModel::open`].
    pub fn clip(&self) -> Result<ClipModel> {
        ClipModel::open(self.clip.as_deref().unwrap_or(layout::CLIP.repository))
    }

    /// Returns the name of the model in records: `demo`, the name of the folder without its path, or `owner/name@commit`.
    pub fn name(&self) -> String {
        self.source.name()
    }

    /// Returns all files of the model on disk. Outputs must not overwrite them.
    pub fn files(&self) -> Vec<PathBuf> {
        [Some(&self.source), self.vae_source.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(Source::files)
            .chain(self.additions.files())
            .collect()
    }

    /// Returns a hash of names, lengths and modification times of all files; `None` where the system keeps no modification times.
    pub fn fingerprint(&self) -> Option<String> {
        let vae = self
            .vae_source
            .as_ref()
            .map_or(Some(String::new()), Source::fingerprint)?;
        let additions = self.additions.fingerprint()?;
        Some(format!("{}{vae}{additions}", self.source.fingerprint()?))
    }

    /// Returns the model's own defaults for settings, as its `dragnext.json` has them.
    pub fn defaults(&self) -> &Map<String, Value> {
        &self.defaults
    }

    /// Returns the path of the file with the defaults, for messages.
    pub fn defaults_location(&self) -> String {
        self.source.location("dragnext.json")
    }

    /// Returns the shorter side, in pixels, of the pictures in training.
    pub fn native_size(&self) -> usize {
        self.unet.sample_size * vae::DOWNSCALE
    }

    /// Returns the noise schedule of the training.
    pub fn schedule(&self) -> &config::ScheduleConfig {
        &self.schedule
    }

    /// Returns the SHA-256 of the configuration files of all components, which affect results as the weights do.
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

    /// Returns whether the UNet has the form of Stable Diffusion 2.1: its sizes, and the velocity as its output.
    pub fn is_sd21(&self) -> bool {
        self.unet.cross_attention_dim == 1024
            && self.unet.channels == [320, 640, 1280, 1280]
            && self.unet.heads == [5, 10, 20, 20]
            && self.schedule.prediction == Prediction::Velocity
    }

    /// Returns the number of decoder stages of the UNet.
    pub fn decoder_stages(&self) -> usize {
        self.unet.channels.len()
    }

    /// Returns what the text encoder does not read of a prompt; `None` where it fits. No weight is read.
    ///
    /// # Errors
    /// [`Error::Weights`] when the tokenizer or the configuration is missing or damaged, [`Error::Setting`] for the word of an embedding that the
    /// vocabulary has already.
    pub fn excess(&self, prompt: &str) -> Result<Option<Excess>> {
        if prompt.is_empty() && self.additions.embeddings.is_empty() {
            return Ok(None);
        }
        let [positions, rows] = TextEncoder::sizes_of(&self.source, self.unet.cross_attention_dim)?;
        // A prompt has at most one token per byte of the normalised text, which is at most three times as long as the prompt, and the
        // start and end tokens. Most prompts fit by that bound and need no tokenizer.
        if 2 + 3 * prompt.len() <= positions && self.additions.embeddings.is_empty() {
            return Ok(None);
        }
        self.tokenizer(rows)?.excess(prompt, positions)
    }

    /// Returns the words of embeddings that a prompt does not have. No weight is read.
    ///
    /// # Errors
    /// As [`Model::excess`].
    pub fn absent_embeddings(&self, prompt: &str) -> Result<Vec<String>> {
        if self.additions.embeddings.is_empty() {
            return Ok(Vec::new());
        }
        let [_, rows] = TextEncoder::sizes_of(&self.source, self.unet.cross_attention_dim)?;
        self.tokenizer(rows)?.absent_embeddings(prompt)
    }

    fn tokenizer(&self, rows: usize) -> Result<Tokenizer> {
        Tokenizer::load_with(&self.source, &self.additions.embeddings, rows)
    }

    /// Loads the UNet.
    ///
    /// # Errors
    /// [`Error::Weights`] when its file is missing, damaged, or does not fit the configuration; [`Error::Interrupted`].
    pub fn unet<B: Backend>(&self, backend: &B, interrupt: &Interrupt) -> Result<UNet<B>> {
        let merges = Merges::open(Component::UNet, &self.additions.merged())?;
        let unet = UNet::load_merged(backend, &self.source, &self.unet, merges, interrupt)?;
        Ok(match self.schedule.prediction {
            Prediction::Noise => unet,
            Prediction::Velocity => unet.of_velocity(self.schedule.alphas()),
        })
    }

    /// Loads the VAE.
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

    /// Loads tokenizer and text encoder.
    ///
    /// # Errors
    /// As [`Model::unet`].
    pub fn text(&self, interrupt: &Interrupt) -> Result<(Tokenizer, TextEncoder)> {
        let channels = self.unet.cross_attention_dim;
        let [_, rows] = TextEncoder::sizes_of(&self.source, channels)?;
        let merges = Merges::open(Component::TextEncoder, &self.additions.merged())?;
        let embeddings = &self.additions.embeddings;
        Ok((
            self.tokenizer(rows)?,
            TextEncoder::load_with(&self.source, channels, merges, embeddings, interrupt)?,
        ))
    }
}

/// Checks that a VAE is of the family of the model's own, as far as its configuration tells.
fn check_family(vae: &Source, model: &Source) -> Result<()> {
    let found = config::VaeConfig::read(vae)?.scaling_factor;
    // A model may come without a VAE.
    let Ok(own) = config::VaeConfig::read(model) else {
        return Ok(());
    };
    let expected = own.scaling_factor;
    if (found - expected).abs() <= 1e-3 * expected {
        return Ok(());
    }
    let family = if (found - SDXL_FACTOR).abs() < 1e-3 {
        " (that of SDXL)"
    } else {
        ""
    };
    Err(Error::Weights {
        path: vae.location("vae/config.json"),
        kind: ErrorKind::WeightsMismatch,
        reason: format!(
            "its `scaling_factor` is {found}{family}, that of the model's own VAE {expected}: its latents are those of another family of models"
        ),
        hint: "use a VAE that was made for this model, such as `stabilityai/sd-vae-ft-mse` for Stable Diffusion 1.x".into(),
    })
}

/// The scaling factor of SDXL's VAE.
const SDXL_FACTOR: f64 = 0.13025;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vae_is_demo_or_a_folder() {
        let vae_of = |path: &str| Model::open("demo", Some(Path::new(path)));
        assert_eq!(
            vae_of("demo").expect("built in").vae_source,
            Some(Source::Demo)
        );
        let error = vae_of("./demo").expect_err("no such folder");
        assert_eq!(error.kind(), ErrorKind::WeightsMissing);
    }
}
