//! A layer of the image tower.

use super::EPS;
use super::config::ImageConfig;
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::weights::Weights;
use crate::nn::{
    Attention, BackwardPass, LayerNorm, Linear, Pass, Shape, Tensor, silu, silu_backward,
};

/// The factor of CLIP's activation, x * sigmoid(1.702 x): an approximation of GELU (Hendrycks and Gimpel, arXiv 1606.08415).
const QUICK_GELU: f32 = 1.702;

/// Self-attention and an MLP, each with a layer norm before it and a residual around it.
///
/// The MLP's activation is x * sigmoid(a x) = SiLU(a x) / a. Both factors are part of the weights: `widen` returns a x, and `narrow` divides by a.
#[derive(Debug)]
pub(super) struct Layer<B: Backend> {
    norm1: LayerNorm<B>,
    attention: Attention<B>,
    norm2: LayerNorm<B>,
    widen: Linear<B>,
    narrow: Linear<B>,
}

impl<B: Backend> Layer<B> {
    pub(super) fn load(w: &mut Weights<B>, name: &str, config: &ImageConfig) -> Result<Self> {
        let (channels, wide) = (config.channels, config.wide);
        let mut projection = |part: &str| {
            w.linear(
                &format!("{name}.self_attn.{part}"),
                channels,
                channels,
                true,
            )
        };
        let projections = [
            projection("q_proj")?,
            projection("k_proj")?,
            projection("v_proj")?,
            projection("out_proj")?,
        ];
        Ok(Self {
            norm1: w.layer_norm(&format!("{name}.layer_norm1"), channels, EPS)?,
            attention: Attention::new(projections, config.heads),
            norm2: w.layer_norm(&format!("{name}.layer_norm2"), channels, EPS)?,
            widen: scaled(
                w,
                &format!("{name}.mlp.fc1"),
                [channels, wide],
                [QUICK_GELU, QUICK_GELU],
            )?,
            narrow: scaled(
                w,
                &format!("{name}.mlp.fc2"),
                [wide, channels],
                [1.0 / QUICK_GELU, 1.0],
            )?,
        })
    }

    /// Tokens (1, 1, tokens, channels) to tokens of the same shape.
    pub(super) fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let y = self.norm1.forward(x, pass);
        let x = self.attention.forward_self(&y, 0, Some(x), pass);
        let y = self.norm2.forward(&x, pass);
        let y = silu(&self.widen.forward(&y, pass), pass);
        self.narrow.forward_plus(&y, Some(&x), pass)
    }

    /// dy to dx.
    pub(super) fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let d = silu_backward(&self.narrow.backward(dy, pass), pass);
        let d = self.widen.backward(&d, pass);
        let d_middle = self.norm2.backward_plus(&d, Some(dy), pass);
        let d = self.attention.backward_self(&d_middle, pass);
        self.norm1.backward_plus(&d, Some(&d_middle), pass)
    }
}

/// Loads a linear layer from `inputs` to `outputs`, with its weight and its bias multiplied by a factor each.
fn scaled<B: Backend>(
    w: &mut Weights<B>,
    name: &str,
    [inputs, outputs]: [usize; 2],
    [weight_factor, bias_factor]: [f32; 2],
) -> Result<Linear<B>> {
    let mut values = |part: &str, shape: &[usize], factor: f32| -> Result<Vec<f32>> {
        let values = w.values(&format!("{name}.{part}"), &[shape])?;
        Ok(values.into_iter().map(|value| factor * value).collect())
    };
    let weight = values("weight", &[outputs, inputs], weight_factor)?;
    let bias = values("bias", &[outputs], bias_factor)?;
    let weight = Tensor::from_host(w.backend(), Shape::new(1, 1, outputs, inputs), weight);
    Ok(Linear::new(
        &weight,
        Some(Tensor::vector(w.backend(), bias)),
    ))
}
