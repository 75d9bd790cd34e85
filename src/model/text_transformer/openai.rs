//! The text transformer with the activation of OpenAI's models, as in Stable Diffusion 1: candle-transformers computes it.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::clip::text_model::{
    Activation, ClipTextConfig, ClipTextTransformer,
};

use super::TextConfig;
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::weights::Weights;

/// candle-transformers' text transformer.
#[derive(Debug)]
pub(super) struct OpenAi(ClipTextTransformer);

impl OpenAi {
    /// Takes the weights, whose names start with `prefix`.
    ///
    /// # Errors
    /// As [`Weights::values`].
    pub(super) fn load<B: Backend>(
        weights: &mut Weights<B>,
        prefix: &str,
        config: &TextConfig,
    ) -> Result<Self> {
        let mut tensors = HashMap::new();
        for (name, shape) in tensors_of(config) {
            let values = weights.values(&format!("{prefix}{name}"), &[&shape])?;
            tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        }
        let transformer = ClipTextTransformer::new(
            VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu),
            &ClipTextConfig {
                vocab_size: config.vocabulary,
                embed_dim: config.channels,
                activation: Activation::QuickGelu,
                intermediate_size: config.wide,
                max_position_embeddings: config.positions,
                pad_with: None,
                num_hidden_layers: config.layers,
                num_attention_heads: config.heads,
                projection_dim: config.channels,
            },
        )?;
        Ok(Self(transformer))
    }

    /// Computes the hidden states of all tokens after the final layer normalisation: (tokens, channels).
    pub(super) fn encode(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        // `forward` would return the last token only. With this mask position, only the causal mask applies.
        let hidden = self.0.forward_with_mask(&input, usize::MAX)?;
        Ok(hidden.flatten_all()?.to_vec1()?)
    }
}

/// Returns the names and shapes of all tensors.
fn tensors_of(config: &TextConfig) -> Vec<(String, Vec<usize>)> {
    let (channels, wide) = (config.channels, config.wide);
    let mut tensors = vec![
        (
            "embeddings.token_embedding.weight".to_owned(),
            vec![config.vocabulary, channels],
        ),
        (
            "embeddings.position_embedding.weight".to_owned(),
            vec![config.positions, channels],
        ),
    ];
    let mut affine = |name: String, weight: Vec<usize>| {
        tensors.push((format!("{name}.bias"), weight[..1].to_vec()));
        tensors.push((format!("{name}.weight"), weight));
    };
    for index in 0..config.layers {
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
