//! The text transformer of CLIP (arXiv 2103.00020), with the activations of OpenAI's and of OpenCLIP's models: a prompt encoder, and a part of a CLIP.
//!
//! candle computes it, on the CPU and without gradients. Its weights are read and checked here, as those of the other components, so that one
//! message names every tensor that does not fit.

use candle_core::{D, Device, Module, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear};

use super::config::ConfigFile;
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Backend;

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
            positions: file.size("max_position_embeddings", Some(77), 65536)?,
            channels,
            wide: file.size("intermediate_size", Some(2048), 65536)?,
            layers: file.size("num_hidden_layers", Some(12), 256)?,
            heads,
            activation,
        })
    }
}

/// CLIP's text transformer on the CPU.
#[derive(Debug)]
pub struct TextTransformer {
    config: TextConfig,
    tokens: Embedding,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
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
        let channels = config.channels;
        let embedding = |weights: &mut Weights<B>, name: &str, rows: usize| {
            tensor(
                weights,
                &format!("{prefix}embeddings.{name}.weight"),
                &[rows, channels],
            )
        };
        let tokens = embedding(weights, "token_embedding", config.vocabulary)?;
        let positions = embedding(weights, "position_embedding", config.positions)?;
        let layers = (0..config.layers)
            .map(|index| Layer::load(weights, &format!("{prefix}encoder.layers.{index}"), &config))
            .collect::<Result<_>>()?;
        let norm = layer_norm(weights, &format!("{prefix}final_layer_norm"), channels)?;
        Ok(Self {
            tokens: Embedding::new(tokens, channels),
            positions,
            layers,
            norm,
            location,
            config,
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
        let count = tokens.len();
        let input = Tensor::new(tokens, &Device::Cpu)?;
        let mut x = (self.tokens.forward(&input)? + self.positions.narrow(0, 0, count)?)?;
        let mask = causal_mask(count)?;
        for layer in &self.layers {
            x = layer.forward(&x, &mask)?;
        }
        Ok(self.norm.forward(&x)?.flatten_all()?.to_vec1()?)
    }
}

/// Returns what is added to the scores (tokens, tokens): no token reads a later one.
fn causal_mask(tokens: usize) -> Result<Tensor> {
    let score = |at: usize| {
        if at % tokens > at / tokens {
            f32::MIN
        } else {
            0.0
        }
    };
    let scores: Vec<f32> = (0..tokens * tokens).map(score).collect();
    Ok(Tensor::from_vec(scores, (tokens, tokens), &Device::Cpu)?)
}

/// Self-attention and an MLP, each with a layer norm before it and a residual around it.
#[derive(Debug)]
struct Layer {
    norm1: LayerNorm,
    /// The projections to queries, keys and values, and of the output.
    projections: [Linear; 4],
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
    heads: usize,
    activation: Activation,
}

impl Layer {
    fn load<B: Backend>(w: &mut Weights<B>, name: &str, config: &TextConfig) -> Result<Self> {
        let TextConfig {
            channels,
            wide,
            heads,
            activation,
            ..
        } = *config;
        let mut projection =
            |part: &str| linear(w, &format!("{name}.self_attn.{part}"), [channels, channels]);
        let projections = [
            projection("q_proj")?,
            projection("k_proj")?,
            projection("v_proj")?,
            projection("out_proj")?,
        ];
        Ok(Self {
            norm1: layer_norm(w, &format!("{name}.layer_norm1"), channels)?,
            projections,
            norm2: layer_norm(w, &format!("{name}.layer_norm2"), channels)?,
            widen: linear(w, &format!("{name}.mlp.fc1"), [channels, wide])?,
            narrow: linear(w, &format!("{name}.mlp.fc2"), [wide, channels])?,
            heads,
            activation,
        })
    }

    /// Tokens (tokens, channels) to tokens of the same shape.
    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let y = self.attention(&self.norm1.forward(x)?, mask)?;
        let x = (x + y)?;
        let y = self.widen.forward(&self.norm2.forward(&x)?)?;
        let y = match self.activation {
            Activation::QuickGelu => (&y * candle_nn::ops::sigmoid(&(&y * 1.702)?)?)?,
            Activation::Gelu => y.gelu_erf()?,
        };
        Ok((x + self.narrow.forward(&y)?)?)
    }

    fn attention(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (tokens, channels) = x.dims2()?;
        let size = channels / self.heads;
        let [q, k, v, out] = &self.projections;
        let by_head = |linear: &Linear| -> Result<Tensor> {
            let y = linear.forward(x)?.reshape((tokens, self.heads, size))?;
            Ok(y.transpose(0, 1)?.contiguous()?)
        };
        let q = (by_head(q)? * (size as f64).powf(-0.5))?;
        let scores = q.matmul(&by_head(k)?.t()?)?.broadcast_add(mask)?;
        let y = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&by_head(v)?)?;
        let y = y.transpose(0, 1)?.reshape((tokens, channels))?;
        Ok(out.forward(&y)?)
    }
}

fn tensor<B: Backend>(w: &mut Weights<B>, name: &str, shape: &[usize]) -> Result<Tensor> {
    let values = w.values(name, &[shape])?;
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Loads a linear layer from `inputs` to `outputs`.
fn linear<B: Backend>(
    w: &mut Weights<B>,
    name: &str,
    [inputs, outputs]: [usize; 2],
) -> Result<Linear> {
    let weight = tensor(w, &format!("{name}.weight"), &[outputs, inputs])?;
    let bias = tensor(w, &format!("{name}.bias"), &[outputs])?;
    Ok(Linear::new(weight, Some(bias)))
}

fn layer_norm<B: Backend>(w: &mut Weights<B>, name: &str, channels: usize) -> Result<LayerNorm> {
    let weight = tensor(w, &format!("{name}.weight"), &[channels])?;
    let bias = tensor(w, &format!("{name}.bias"), &[channels])?;
    Ok(LayerNorm::new(weight, bias, EPS))
}
