//! The middle block of encoder and decoder: residual block, self-attention, residual block.

use super::EPS;
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::unet::Resnet;
use crate::model::weights::Weights;
use crate::nn::{Attention, GroupNorm, Pass, Tensor};

/// The middle block: residual block, self-attention, residual block.
#[derive(Debug)]
pub(super) struct Middle<B: Backend> {
    pub(super) first: Resnet<B>,
    pub(super) norm: GroupNorm<B>,
    pub(super) attention: Attention<B>,
    pub(super) second: Resnet<B>,
}

impl<B: Backend> Middle<B> {
    pub(super) fn load(
        w: &mut Weights<B>,
        side: &str,
        channels: usize,
        groups: usize,
    ) -> Result<Self> {
        let name = format!("{side}.mid_block");
        let block = format!("{name}.attentions.0");
        let mut projection = |name: &str, legacy: &str| {
            // Early Stable Diffusion repositories have the names of an older diffusers.
            let is_legacy = w.has(&format!("{block}.{legacy}.weight"));
            let name = if is_legacy { legacy } else { name };
            w.linear(&format!("{block}.{name}"), channels, channels, true)
        };
        let projections = [
            projection("to_q", "query")?,
            projection("to_k", "key")?,
            projection("to_v", "value")?,
            projection("to_out.0", "proj_attn")?,
        ];
        Ok(Self {
            first: Resnet::load_plain(
                w,
                &format!("{name}.resnets.0"),
                channels,
                channels,
                groups,
                EPS,
            )?,
            norm: w.group_norm(&format!("{block}.group_norm"), channels, groups, EPS, false)?,
            attention: Attention::new(projections, 1),
            second: Resnet::load_plain(
                w,
                &format!("{name}.resnets.1"),
                channels,
                channels,
                groups,
                EPS,
            )?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor<B>) -> Tensor<B> {
        let pass = &mut Pass::inference();
        let x = self.first.forward(x, None, pass);
        let y = self.norm.forward(&x, pass);
        let x = self.attention.forward_self(&y, 0, Some(&x), pass);
        self.second.forward(&x, None, pass)
    }
}
