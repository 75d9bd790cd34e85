//! The encoder: pictures to the moments of their posterior.

use super::EPS;
use super::middle::Middle;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::config::VaeConfig;
use crate::model::unet::Resnet;
use crate::model::weights::Weights;
use crate::nn::{Conv, GroupNorm, Pass, Tensor};

/// The residual blocks of one resolution, and the convolution that halves it.
#[derive(Debug)]
struct Level<B: Backend> {
    resnets: Vec<Resnet<B>>,
    shrink: Option<Conv<B>>,
}

#[derive(Debug)]
pub(super) struct Encoder<B: Backend> {
    conv_in: Conv<B>,
    levels: Vec<Level<B>>,
    middle: Middle<B>,
    norm_out: GroupNorm<B>,
    conv_out: Conv<B>,
}

impl<B: Backend> Encoder<B> {
    pub(super) fn backend(&self) -> &B {
        self.norm_out.backend()
    }

    pub(super) fn load(w: &mut Weights<B>, config: &VaeConfig) -> Result<Self> {
        let channels = &config.channels;
        let last = channels[channels.len() - 1];
        let mut levels = Vec::new();
        for (level, outputs) in channels.iter().enumerate() {
            let inputs = channels[level.saturating_sub(1)];
            let mut resnets = Vec::new();
            for index in 0..config.layers_per_block {
                let name = format!("encoder.down_blocks.{level}.resnets.{index}");
                resnets.push(Resnet::load_plain(
                    w,
                    &name,
                    if index == 0 { inputs } else { *outputs },
                    *outputs,
                    config.groups,
                    EPS,
                )?);
            }
            let name = format!("encoder.down_blocks.{level}.downsamplers.0.conv");
            // Padded with zeros at the bottom and the right only.
            let downsample = if level + 1 < channels.len() {
                Some(w.conv(&name, *outputs, *outputs, 3, 2, [0, 1])?)
            } else {
                None
            };
            levels.push(Level {
                resnets,
                shrink: downsample,
            });
        }
        Ok(Self {
            conv_in: w.conv3("encoder.conv_in", 3, channels[0])?,
            levels,
            middle: Middle::load(w, "encoder", last, config.groups)?,
            norm_out: w.group_norm("encoder.conv_norm_out", last, config.groups, EPS, true)?,
            conv_out: w.conv3("encoder.conv_out", last, 8)?,
        })
    }

    pub(super) fn forward(&self, picture: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let pass = &mut Pass::inference();
        let mut x = self.conv_in.forward(picture, pass);
        for Level { resnets, shrink } in &self.levels {
            for resnet in resnets {
                interrupt.check()?;
                x = resnet.forward(&x, None, pass);
            }
            if let Some(downsample) = shrink {
                x = downsample.forward(&x, pass);
            }
        }
        interrupt.check()?;
        let x = self.middle.forward(&x);
        Ok(self
            .conv_out
            .forward(&self.norm_out.forward(&x, pass), pass))
    }
}
