//! The prompt encoder: a text transformer of CLIP ([`super::text_transformer`]) whose channels are those of the UNet's context.

use super::config::ConfigFile;
use super::layout;
use super::source::Source;
use super::text_transformer::{TextConfig, TextTransformer};
use super::weights::Weights;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::kernels::cpu::Cpu;
use crate::nn::{Shape, Tensor};

/// Prefix of all names in older files.
const PREFIX: &str = "text_model.";

/// The prompt encoder. It computes on the CPU, because a prompt is encoded once per edit.
#[derive(Debug)]
pub struct TextEncoder {
    transformer: TextTransformer,
    digest: String,
}

impl TextEncoder {
    /// Loads the weights. The encoder must have `cross_attention_dim` channels, as the UNet's context.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when a file is missing or damaged, the weights do not fit the configuration, or the configuration has an
    /// unsupported value; [`crate::Error::Interrupted`].
    pub fn load(
        source: &Source,
        cross_attention_dim: usize,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let config = read_config(source, cross_attention_dim)?;
        let mut weights = Weights::open(&Cpu, source, &layout::TEXT_ENCODER, interrupt)?;
        let prefix = if weights.has(&format!("{PREFIX}final_layer_norm.weight")) {
            PREFIX
        } else {
            ""
        };
        // Neither the position indices nor the projection to CLIP's joint space is part of the computation.
        weights.ignore(&[
            &format!("{prefix}embeddings.position_ids"),
            "text_projection.weight",
        ]);
        let location = source.location("text_encoder");
        let transformer = TextTransformer::load(&mut weights, prefix, config, location)?;
        let digest = weights.finish()?;
        Ok(Self {
            transformer,
            digest,
        })
    }

    /// Reads [`TextEncoder::positions`] from the configuration, without weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the configuration is missing or has an unsupported value.
    pub fn positions_of(source: &Source, cross_attention_dim: usize) -> Result<usize> {
        Ok(read_config(source, cross_attention_dim)?.positions)
    }

    /// Returns the number of tokens of a padded prompt.
    pub fn positions(&self) -> usize {
        self.transformer.positions()
    }

    /// Returns the SHA-256 of the loaded weights.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Computes the hidden states of all tokens after the final layer normalisation: (1, 1, tokens, channels).
    ///
    /// # Errors
    /// As [`TextTransformer::encode`].
    pub fn encode<B: Backend>(&self, backend: &B, tokens: &[u32]) -> Result<Tensor<B>> {
        let shape = Shape::new(1, 1, tokens.len(), self.transformer.channels());
        let hidden = self.transformer.encode(tokens)?;
        Ok(Tensor::from_host(backend, shape, hidden))
    }
}

/// Reads `text_encoder/config.json`.
fn read_config(source: &Source, cross_attention_dim: usize) -> Result<TextConfig> {
    let file = ConfigFile::read(source, "text_encoder/config.json")?;
    let config = TextConfig::read(&file)?;
    if config.channels != cross_attention_dim {
        return Err(file.unsupported(
            "hidden_size",
            &format!("only {cross_attention_dim} here, the UNet's `cross_attention_dim`"),
        ));
    }
    Ok(config)
}
