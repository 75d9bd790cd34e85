//! The spatial transformer: self-attention, cross-attention to the prompt and a feed-forward layer, each with a residual connection.

use super::Context;
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::config::UNetConfig;
use crate::model::weights::Weights;
use crate::nn::{Attention, BackwardPass, FeedForward, GroupNorm, LayerNorm, Linear, Pass, Tensor};

/// diffusers' `Transformer2DModel` with one block.
#[derive(Debug)]
pub(super) struct Transformer<B: Backend> {
    name: String,
    /// Index among all transformers, in execution order.
    layer: usize,
    norm: GroupNorm<B>,
    proj_in: Linear<B>,
    norm1: LayerNorm<B>,
    attention1: Attention<B>,
    norm2: LayerNorm<B>,
    attention2: Attention<B>,
    norm3: LayerNorm<B>,
    feed_forward: FeedForward<B>,
    proj_out: Linear<B>,
}

impl<B: Backend> Transformer<B> {
    /// Loads the transformer `name`; `layer` counts them.
    pub(super) fn load(
        w: &mut Weights<B>,
        config: &UNetConfig,
        name: &str,
        channels: usize,
        heads: usize,
        layer: &mut usize,
    ) -> Result<Self> {
        let block = format!("{name}.transformer_blocks.0");
        let attention = |w: &mut Weights<B>, part: &str, context: usize| -> Result<Attention<B>> {
            let q = w.linear(&format!("{block}.{part}.to_q"), channels, channels, false)?;
            let k = w.linear(&format!("{block}.{part}.to_k"), context, channels, false)?;
            let v = w.linear(&format!("{block}.{part}.to_v"), context, channels, false)?;
            let out = w.linear(
                &format!("{block}.{part}.to_out.0"),
                channels,
                channels,
                true,
            )?;
            Ok(Attention::new([q, k, v, out], heads))
        };
        let attention1 = attention(w, "attn1", channels)?;
        let attention2 = attention(w, "attn2", config.cross_attention_dim)?;
        *layer += 1;
        Ok(Self {
            layer: *layer - 1,
            norm: w.group_norm(
                &format!("{name}.norm"),
                channels,
                config.groups,
                1e-6,
                false,
            )?,
            proj_in: w.linear(&format!("{name}.proj_in"), channels, channels, true)?,
            norm1: w.layer_norm(&format!("{block}.norm1"), channels, 1e-5)?,
            attention1,
            norm2: w.layer_norm(&format!("{block}.norm2"), channels, 1e-5)?,
            attention2,
            norm3: w.layer_norm(&format!("{block}.norm3"), channels, 1e-5)?,
            feed_forward: FeedForward::new(
                w.linear(
                    &format!("{block}.ff.net.0.proj"),
                    channels,
                    8 * channels,
                    true,
                )?,
                w.linear(&format!("{block}.ff.net.2"), 4 * channels, channels, true)?,
            ),
            proj_out: w.linear(&format!("{name}.proj_out"), channels, channels, true)?,
            name: block,
        })
    }

    /// Returns the keys and values of the prompt's tokens with one set of adapters.
    pub(super) fn prepare(&self, set: usize, tokens: &Tensor<B>) -> [Tensor<B>; 2] {
        self.attention2.prepare(set, tokens)
    }

    /// x (b, h, w, c) and the prompt to (b, h, w, c).
    pub(super) fn forward(
        &self,
        x: &Tensor<B>,
        context: &Context<B>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let h = self.norm.forward(x, pass);
        let h = self.proj_in.forward(&h, pass);
        let y = self.norm1.forward(&h, pass);
        let h = self.attention1.forward_self(&y, self.layer, Some(&h), pass);
        let y = self.norm2.forward(&h, pass);
        let h = match context {
            Context::Tokens(tokens) => self.attention2.forward_cross(&y, tokens, Some(&h), pass),
            Context::Prepared(prompt) => {
                self.attention2
                    .forward_prepared(&y, prompt.of_layer(self.layer), Some(&h), pass)
            }
        };
        let y = self.norm3.forward(&h, pass);
        let h = self.feed_forward.forward(&y, Some(&h), pass);
        self.proj_out.forward_plus(&h, Some(x), pass)
    }

    /// dy to dx.
    pub(super) fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let d = self.proj_out.backward(dy, pass);
        let inner = self.feed_forward.backward(&d, pass);
        let d = self.norm3.backward_plus(&inner, Some(&d), pass);
        let inner = self.attention2.backward_cross(&d, pass);
        let d = self.norm2.backward_plus(&inner, Some(&d), pass);
        let inner = self.attention1.backward_self(&d, pass);
        let d = self.norm1.backward_plus(&inner, Some(&d), pass);
        let d = self.proj_in.backward(&d, pass);
        self.norm.backward_plus(&d, Some(dy), pass)
    }

    /// Returns both attentions.
    pub(super) fn attentions(&mut self) -> [&mut Attention<B>; 2] {
        [&mut self.attention1, &mut self.attention2]
    }

    /// Appends the projections of both attentions, with their names in diffusers.
    pub(super) fn adapted<'a>(&'a mut self, found: &mut Vec<(String, &'a mut Linear<B>)>) {
        for (part, attention) in [
            ("attn1", &mut self.attention1),
            ("attn2", &mut self.attention2),
        ] {
            let Attention {
                to_q,
                to_k,
                to_v,
                to_out,
                ..
            } = attention;
            for (name, linear) in [
                ("to_q", to_q),
                ("to_k", to_k),
                ("to_v", to_v),
                ("to_out.0", to_out),
            ] {
                found.push((format!("{}.{part}.{name}", self.name), linear));
            }
        }
    }
}
