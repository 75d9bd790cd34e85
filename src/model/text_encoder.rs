//! The prompt encoder: the text transformer of CLIP (arXiv 2103.00020). A whole CLIP ([`super::clip`]) has the same transformer.
//!
//! candle computes it. Its weights are read and checked here, as those of the other components, so that one message names every tensor
//! that does not fit.

use std::collections::HashMap;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use candle_transformers::models::clip::text_model::{
    Activation, ClipTextConfig, ClipTextTransformer,
};

use super::config::ConfigFile;
use super::layout;
use super::source::Source;
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
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
    /// [`Error::Weights`] when a file is missing or damaged, the weights do not fit the configuration, or the configuration has an
    /// unsupported value; [`Error::Interrupted`].
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
    /// [`Error::Weights`] when the configuration is missing or has an unsupported value.
    pub fn positions_of(source: &Source, cross_attention_dim: usize) -> Result<usize> {
        Ok(read_config(source, cross_attention_dim)?.max_position_embeddings)
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

/// CLIP's text transformer on the CPU: the whole of a prompt encoder, and a part of a CLIP.
#[derive(Debug)]
pub struct TextTransformer {
    transformer: ClipTextTransformer,
    config: ClipTextConfig,
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
        config: ClipTextConfig,
        location: String,
    ) -> Result<Self> {
        let mut tensors = HashMap::new();
        for (name, shape) in tensors_of(&config) {
            let values = weights.values(&format!("{prefix}{name}"), &[&shape])?;
            tensors.insert(
                name,
                candle_core::Tensor::from_vec(values, shape, &Device::Cpu)?,
            );
        }
        let transformer = ClipTextTransformer::new(
            VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu),
            &config,
        )?;
        Ok(Self {
            transformer,
            config,
            location,
        })
    }

    /// Returns the number of tokens of a padded prompt.
    pub fn positions(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// Returns the channels of a token.
    pub fn channels(&self) -> usize {
        self.config.embed_dim
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
            .find(|token| **token as usize >= self.config.vocab_size)
        {
            return Err(Error::Weights {
                path: self.location.clone(),
                kind: ErrorKind::WeightsMismatch,
                reason: format!(
                    "the tokenizer gives token {token}, the text encoder has {} tokens",
                    self.config.vocab_size
                ),
                hint: "use tokenizer and text encoder of the same model".into(),
            });
        }
        let input = candle_core::Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        // `forward` would return the last token only. With this mask position, only the causal mask applies.
        let hidden = self.transformer.forward_with_mask(&input, usize::MAX)?;
        Ok(hidden.flatten_all()?.to_vec1()?)
    }
}

/// Reads `text_encoder/config.json`.
fn read_config(source: &Source, cross_attention_dim: usize) -> Result<ClipTextConfig> {
    let file = ConfigFile::read(source, "text_encoder/config.json")?;
    let config = read_sizes(&file)?;
    if config.embed_dim != cross_attention_dim {
        return Err(file.unsupported(
            "hidden_size",
            &format!("only {cross_attention_dim} here, the UNet's `cross_attention_dim`"),
        ));
    }
    Ok(config)
}

/// Reads the configuration of a text transformer. Absent keys have the defaults of transformers' `CLIPTextConfig`.
///
/// # Errors
/// [`Error::Weights`] for an unsupported value.
pub(super) fn read_sizes(file: &ConfigFile) -> Result<ClipTextConfig> {
    // candle supports only this activation and this epsilon.
    file.check_values(&[
        ("hidden_act", "quick_gelu".into()),
        ("layer_norm_eps", 1e-5.into()),
    ])?;
    let embed_dim = file.size("hidden_size", Some(512), 16384)?;
    let num_attention_heads = file.size("num_attention_heads", Some(8), 1024)?;
    file.divides("num_attention_heads", num_attention_heads, &[embed_dim])?;
    Ok(ClipTextConfig {
        vocab_size: file.size("vocab_size", Some(49408), 1 << 20)?,
        embed_dim,
        activation: Activation::QuickGelu,
        intermediate_size: file.size("intermediate_size", Some(2048), 65536)?,
        max_position_embeddings: file.size("max_position_embeddings", Some(77), 65536)?,
        pad_with: None,
        num_hidden_layers: file.size("num_hidden_layers", Some(12), 256)?,
        num_attention_heads,
        projection_dim: embed_dim,
    })
}

/// Returns the names and shapes of all tensors.
fn tensors_of(config: &ClipTextConfig) -> Vec<(String, Vec<usize>)> {
    let (channels, wide) = (config.embed_dim, config.intermediate_size);
    let mut tensors = vec![
        (
            "embeddings.token_embedding.weight".to_owned(),
            vec![config.vocab_size, channels],
        ),
        (
            "embeddings.position_embedding.weight".to_owned(),
            vec![config.max_position_embeddings, channels],
        ),
    ];
    let mut affine = |name: String, weight: Vec<usize>| {
        tensors.push((format!("{name}.bias"), weight[..1].to_vec()));
        tensors.push((format!("{name}.weight"), weight));
    };
    for index in 0..config.num_hidden_layers {
        let layer = format!("encoder.layers.{index}");
        for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            affine(
                format!("{layer}.self_attn.{projection}"),
                vec![channels, channels],
            );
        }
        affine(format!("{layer}.layer_norm1"), vec![channels]);
        affine(format!("{layer}.mlp.fc1"), vec![wide, channels]);
        affine(format!("{layer}.mlp.fc2"), vec![channels, wide]);
        affine(format!("{layer}.layer_norm2"), vec![channels]);
    }
    affine("final_layer_norm".into(), vec![channels]);
    tensors
}
