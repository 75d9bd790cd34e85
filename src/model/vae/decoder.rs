//! The decoder: latents to pictures, as a sequence of blocks with a forward and a backward pass each.

use super::EPS;
use super::middle::Middle;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::config::VaeConfig;
use crate::model::unet::Resnet;
use crate::model::weights::Weights;
use crate::nn::{
    Attention, BackwardPass, Conv, GroupNorm, Pass, Shape, Tensor, upsample, upsample_backward,
};

/// A part of the decoder. The backward pass keeps what a block saved, or computes the block again from its input.
#[derive(Debug)]
pub(super) enum Block<B: Backend> {
    /// The first convolution.
    First(Conv<B>),
    /// A residual block, after doubling the resolution where `grow` is given.
    Residual {
        grow: Option<Conv<B>>,
        resnet: Box<Resnet<B>>,
    },
    /// The self-attention of the middle.
    Attention {
        norm: GroupNorm<B>,
        attention: Box<Attention<B>>,
    },
    /// Norm, SiLU and the last convolution.
    Last { norm: GroupNorm<B>, conv: Conv<B> },
}

impl<B: Backend> Block<B> {
    pub(super) fn forward(&self, x: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        match self {
            Self::First(conv) => conv.forward(x, pass),
            Self::Residual { grow: None, resnet } => resnet.forward(x, None, pass),
            Self::Residual {
                grow: Some(conv),
                resnet,
            } => {
                let Shape { height, width, .. } = x.shape();
                let x = conv.forward(&upsample(x, [2 * height, 2 * width], pass), pass);
                resnet.forward(&x, None, pass)
            }
            Self::Attention { norm, attention } => {
                let y = norm.forward(x, pass);
                attention.forward_self(&y, 0, Some(x), pass)
            }
            Self::Last { norm, conv } => conv.forward(&norm.forward(x, pass), pass),
        }
    }

    /// dy to dx.
    pub(super) fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        match self {
            Self::First(conv) => conv.backward(dy, pass),
            Self::Residual { grow: None, resnet } => resnet.backward(dy, pass),
            Self::Residual {
                grow: Some(conv),
                resnet,
            } => {
                let dx = resnet.backward(dy, pass);
                upsample_backward(&conv.backward(&dx, pass), pass)
            }
            Self::Attention { norm, attention } => {
                let dx = attention.backward_self(dy, pass);
                norm.backward_plus(&dx, Some(dy), pass)
            }
            Self::Last { norm, conv } => norm.backward(&conv.backward(dy, pass), pass),
        }
    }
}

/// The blocks in the order of the forward pass.
#[derive(Debug)]
pub(super) struct Decoder<B: Backend> {
    pub(super) blocks: Vec<Block<B>>,
}

impl<B: Backend> Decoder<B> {
    pub(super) fn load(w: &mut Weights<B>, config: &VaeConfig) -> Result<Self> {
        let (channels, groups) = (&config.channels, config.groups);
        let levels = channels.len();
        let last = channels[levels - 1];
        let plain = |resnet| Block::Residual {
            grow: None,
            resnet: Box::new(resnet),
        };
        let mut blocks = vec![Block::First(w.conv3("decoder.conv_in", 4, last)?)];
        let middle = Middle::load(w, "decoder", last, groups)?;
        blocks.push(plain(middle.first));
        blocks.push(Block::Attention {
            norm: middle.norm,
            attention: Box::new(middle.attention),
        });
        blocks.push(plain(middle.second));
        for stage in 0..levels {
            let outputs = channels[levels - 1 - stage];
            let inputs = channels[(levels - stage).min(levels - 1)];
            for index in 0..=config.layers_per_block {
                let is_first = index == 0;
                let name = format!("decoder.up_blocks.{stage}.resnets.{index}");
                let resnet = Resnet::load_plain(
                    w,
                    &name,
                    if is_first { inputs } else { outputs },
                    outputs,
                    groups,
                    EPS,
                )?;
                // The convolution after the upsampling belongs to the stage before.
                let grow = if is_first && stage > 0 {
                    let name = format!("decoder.up_blocks.{}.upsamplers.0.conv", stage - 1);
                    Some(w.conv3(&name, inputs, inputs)?)
                } else {
                    None
                };
                blocks.push(Block::Residual {
                    grow,
                    resnet: Box::new(resnet),
                });
            }
        }
        blocks.push(Block::Last {
            norm: w.group_norm("decoder.conv_norm_out", channels[0], groups, EPS, true)?,
            conv: w.conv3("decoder.conv_out", channels[0], 3)?,
        });
        Ok(Self { blocks })
    }

    pub(super) fn forward(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let mut x = latent.clone();
        for block in &self.blocks {
            interrupt.check()?;
            x = block.forward(&x, &mut Pass::inference());
        }
        Ok(x)
    }
}
