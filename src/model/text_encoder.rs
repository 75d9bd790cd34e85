//! The prompt encoder: a text transformer of CLIP ([`super::text_transformer`]) whose channels are those of the UNet's context.

use super::config::ConfigFile;
use super::embedding::Embedding;
use super::layout;
use super::lora::{Component, Merges};
use super::source::Source;
use super::text_transformer::{TextConfig, TextTransformer};
use super::weights::Weights;
use crate::digest::sha256;
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
        let merges = Merges::none(Component::TextEncoder);
        Self::load_with(source, cross_attention_dim, merges, &[], interrupt)
    }

    /// As [`TextEncoder::load`], with LoRA files added to the weights, and with the vectors of embeddings after the vocabulary.
    ///
    /// # Errors
    /// As [`TextEncoder::load`]; [`crate::Error::Weights`] when a LoRA file does not fit.
    pub fn load_with(
        source: &Source,
        cross_attention_dim: usize,
        merges: Merges,
        embeddings: &[Embedding],
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut config = read_config(source, cross_attention_dim)?;
        let mut weights = Weights::open(&Cpu, source, &layout::TEXT_ENCODER, interrupt)?;
        weights.merge(merges);
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
        if !embeddings.is_empty() {
            let rows: Vec<f32> = embeddings
                .iter()
                .flat_map(Embedding::values)
                .copied()
                .collect();
            config.vocabulary += rows.len() / config.channels;
            weights.append_rows(&format!("{prefix}embeddings.token_embedding.weight"), rows);
        }
        let location = source.location("text_encoder");
        let transformer = TextTransformer::load(&mut weights, prefix, config, location)?;
        let mut digest = weights.finish()?;
        for embedding in embeddings {
            let added = [&digest, embedding.sha256(), embedding.token()].concat();
            digest = sha256(added.as_bytes());
        }
        Ok(Self {
            transformer,
            digest,
        })
    }

    /// Reads [`TextEncoder::positions`] and the number of tokens of the vocabulary from the configuration, without weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the configuration is missing or has an unsupported value.
    pub fn sizes_of(source: &Source, cross_attention_dim: usize) -> Result<[usize; 2]> {
        let config = read_config(source, cross_attention_dim)?;
        Ok([config.positions, config.vocabulary])
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
