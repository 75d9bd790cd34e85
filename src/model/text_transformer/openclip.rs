//! The text transformer with the exact GELU, as in OpenCLIP's models and Stable Diffusion 2. candle-transformers has this activation only for
//! models of fixed sizes (`stable_diffusion::clip::Config`), so that layers of candle are put together here.

use candle_core::{D, Device, Module, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear};

use super::{EPS, TextConfig};
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::weights::Weights;

/// Embeddings, layers and the final layer normalisation.
#[derive(Debug)]
pub(super) struct OpenClip {
    tokens: Embedding,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

impl OpenClip {
    /// Takes the weights, whose names start with `prefix`.
    ///
    /// # Errors
    /// As [`Weights::values`].
    pub(super) fn load<B: Backend>(
        weights: &mut Weights<B>,
        prefix: &str,
        config: &TextConfig,
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
            .map(|index| Layer::load(weights, &format!("{prefix}encoder.layers.{index}"), config))
            .collect::<Result<_>>()?;
        let norm = layer_norm(weights, &format!("{prefix}final_layer_norm"), channels)?;
        Ok(Self {
            tokens: Embedding::new(tokens, channels),
            positions,
            layers,
            norm,
        })
    }

    /// Computes the hidden states of all tokens after the final layer normalisation: (tokens, channels).
    pub(super) fn encode(&self, tokens: &[u32]) -> Result<Vec<f32>> {
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
}

impl Layer {
    fn load<B: Backend>(w: &mut Weights<B>, name: &str, config: &TextConfig) -> Result<Self> {
        let TextConfig {
            channels,
            wide,
            heads,
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
        })
    }

    /// Tokens (tokens, channels) to tokens of the same shape.
    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let y = self.attention(&self.norm1.forward(x)?, mask)?;
        let x = (x + y)?;
        let y = self.widen.forward(&self.norm2.forward(&x)?)?;
        Ok((x + self.narrow.forward(&y.gelu_erf()?)?)?)
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
