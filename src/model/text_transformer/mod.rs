//! The text transformer of CLIP (arXiv 2103.00020), with the activations of OpenAI's and of OpenCLIP's models: a prompt encoder, and a part of a CLIP.
//!
//! It is computed on the CPU and without gradients: OpenAI's by candle-transformers ([`openai`]), OpenCLIP's, whose activation candle-transformers has
//! for fixed sizes only, by layers of candle ([`openclip`]). Weights are read and checked as those of the other components, so that one
//! message names every tensor that does not fit.

mod openai;
mod openclip;

use openai::OpenAi;
use openclip::OpenClip;

use super::config::ConfigFile;
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Backend;

/// Tokens that the text encoders of Stable Diffusion 1.x and 2 read of a prompt, with start and end.
pub const POSITIONS: usize = 77;

/// Epsilon of all layer normalisations.
const EPS: f64 = 1e-5;

/// The activation inside the MLPs, by transformers' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// x * sigmoid(1.702 x): models of OpenAI, as in Stable Diffusion 1.
    QuickGelu,
    /// The exact GELU: models of OpenCLIP, as in Stable Diffusion 2.
    Gelu,
}

/// Sizes of a text transformer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextConfig {
    pub(super) vocabulary: usize,
    /// Tokens of a padded prompt.
    pub(super) positions: usize,
    /// Channels of a token.
    pub(super) channels: usize,
    /// Channels inside the MLPs.
    pub(super) wide: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) activation: Activation,
}

impl TextConfig {
    /// Reads the configuration of a text transformer. Absent keys have the defaults of transformers' `CLIPTextConfig`.
    ///
    /// # Errors
    /// [`Error::Weights`] for an unsupported value.
    pub(super) fn read(file: &ConfigFile) -> Result<Self> {
        file.check_values(&[("layer_norm_eps", EPS.into())])?;
        let activation = match file.get("hidden_act").map(|value| value.as_str()) {
            None | Some(Some("quick_gelu")) => Activation::QuickGelu,
            Some(Some("gelu")) => Activation::Gelu,
            Some(_) => return Err(file.unsupported("hidden_act", "quick_gelu and gelu")),
        };
        let channels = file.size("hidden_size", Some(512), 16384)?;
        let heads = file.size("num_attention_heads", Some(8), 1024)?;
        file.divides("num_attention_heads", heads, &[channels])?;
        Ok(Self {
            vocabulary: file.size("vocab_size", Some(49408), 1 << 20)?,
            positions: file.size("max_position_embeddings", Some(POSITIONS), 65536)?,
            channels,
            wide: file.size("intermediate_size", Some(2048), 65536)?,
            layers: file.size("num_hidden_layers", Some(12), 256)?,
            heads,
            activation,
        })
    }
}

/// The program that computes the layers.
#[derive(Debug)]
enum Layers {
    OpenAi(OpenAi),
    OpenClip(OpenClip),
}

/// CLIP's text transformer on the CPU.
#[derive(Debug)]
pub struct TextTransformer {
    config: TextConfig,
    layers: Layers,
    location: String,
}

impl TextTransformer {
    /// Takes the weights, whose names start with `prefix`. `location` names the model in messages.
    ///
    /// # Errors
    /// As [`Weights::values`].
    pub(super) fn load<B: Backend>(
        weights: &mut Weights<B>,
        prefix: &str,
        config: TextConfig,
        location: String,
    ) -> Result<Self> {
        let layers = match config.activation {
            Activation::QuickGelu => Layers::OpenAi(OpenAi::load(weights, prefix, &config)?),
            Activation::Gelu => Layers::OpenClip(OpenClip::load(weights, prefix, &config)?),
        };
        Ok(Self {
            config,
            layers,
            location,
        })
    }

    /// Returns the number of tokens of a padded prompt.
    pub fn positions(&self) -> usize {
        self.config.positions
    }

    /// Returns the channels of a token.
    pub fn channels(&self) -> usize {
        self.config.channels
    }

    /// Computes the hidden states of all tokens after the final layer normalisation: (tokens, channels).
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] for more tokens than positions, [`Error::Weights`] for a token outside the vocabulary.
    pub fn encode(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        if tokens.len() > self.positions() {
            return Err(Error::PromptTooLong {
                tokens: tokens.len(),
                limit: self.positions(),
            });
        }
        if let Some(token) = tokens
            .iter()
            .find(|token| **token as usize >= self.config.vocabulary)
        {
            return Err(Error::Weights {
                path: self.location.clone(),
                kind: ErrorKind::WeightsMismatch,
                reason: format!(
                    "the tokenizer gives token {token}, the text encoder has {} tokens",
                    self.config.vocabulary
                ),
                hint: "use tokenizer and text encoder of the same model".into(),
            });
        }
        match &self.layers {
            Layers::OpenAi(layers) => layers.encode(tokens),
            Layers::OpenClip(layers) => layers.encode(tokens),
        }
    }
}
