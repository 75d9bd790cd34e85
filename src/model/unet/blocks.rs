//! The levels of the encoder and the stages of the decoder.

use std::slice::Iter;

use super::{Context, Resnet, Transformer};
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::config::UNetConfig;
use crate::model::weights::Weights;
use crate::nn::{BackwardPass, Conv, Linear, Pass, Tensor, upsample, upsample_backward};

/// A level of the encoder; the outputs of its layers are skip connections to the decoder.
#[derive(Debug)]
pub(super) struct DownBlock<B: Backend> {
    resnets: Vec<Resnet<B>>,
    /// One after each residual block, or none.
    attentions: Vec<Transformer<B>>,
    downsample: Option<Conv<B>>,
}

impl<B: Backend> DownBlock<B> {
    /// Loads level `level`, 0 the finest; `layer` counts self-attentions.
    pub(super) fn load(
        w: &mut Weights<B>,
        config: &UNetConfig,
        level: usize,
        layer: &mut usize,
    ) -> Result<Self> {
        let outputs = config.channels[level];
        let inputs = config.channels[level.saturating_sub(1)];
        let mut block = Self {
            resnets: Vec::new(),
            attentions: Vec::new(),
            downsample: None,
        };
        for index in 0..config.layers_per_block {
            let name = format!("down_blocks.{level}.resnets.{index}");
            block.resnets.push(Resnet::load(
                w,
                config,
                &name,
                if index == 0 { inputs } else { outputs },
                outputs,
            )?);
            if config.down_attention[level] {
                let name = format!("down_blocks.{level}.attentions.{index}");
                block.attentions.push(Transformer::load(
                    w,
                    config,
                    &name,
                    outputs,
                    config.heads[level],
                    layer,
                )?);
            }
        }
        if level + 1 < config.channels.len() {
            block.downsample = Some(w.conv(
                &format!("down_blocks.{level}.downsamplers.0.conv"),
                outputs,
                outputs,
                3,
                2,
                [1, 1],
            )?);
        }
        Ok(block)
    }

    /// Returns the residual blocks in execution order.
    pub(super) fn resnets(&self) -> &[Resnet<B>] {
        &self.resnets
    }

    /// Returns the transformers in execution order.
    pub(super) fn transformers(&self) -> &[Transformer<B>] {
        &self.attentions
    }

    /// Whether the level has attention.
    pub(super) fn has_attention(&self) -> bool {
        !self.attentions.is_empty()
    }

    /// x to the level's output; pushes the output of every layer on `skips`, and takes a shift for every residual block.
    pub(super) fn forward(
        &self,
        mut x: Tensor<B>,
        shifts: &mut Iter<Tensor<B>>,
        context: &Context<B>,
        skips: &mut Vec<Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(&x, shifts.next(), pass);
            if let Some(attention) = self.attentions.get(index) {
                x = attention.forward(&x, context, pass);
            }
            skips.push(x.clone());
        }
        if let Some(downsample) = &self.downsample {
            x = downsample.forward(&x, pass);
            skips.push(x.clone());
        }
        x
    }

    /// dy to dx; pops the gradients of the skip connections.
    pub(super) fn backward(
        &self,
        d: Tensor<B>,
        skips: &mut Vec<Tensor<B>>,
        pass: &mut BackwardPass<B>,
    ) -> Tensor<B> {
        let d = self.backward_to_attention(d, skips, pass);
        self.resnets[0].backward(&d, pass)
    }

    /// dy to the gradient with respect to the first residual block's output, which is the input of the first attention; pops the
    /// gradients of the skip connections.
    pub(super) fn backward_to_attention(
        &self,
        mut d: Tensor<B>,
        skips: &mut Vec<Tensor<B>>,
        pass: &mut BackwardPass<B>,
    ) -> Tensor<B> {
        if let Some(downsample) = &self.downsample {
            d = downsample.backward(&with_skip(d, skips), pass);
        }
        for (index, resnet) in self.resnets.iter().enumerate().rev() {
            d = with_skip(d, skips);
            if let Some(attention) = self.attentions.get(index) {
                d = attention.backward(&d, pass);
            }
            if index > 0 {
                d = resnet.backward(&d, pass);
            }
        }
        d
    }

    /// Returns the transformers in execution order, for their adapters.
    pub(super) fn transformers_mut(&mut self) -> &mut [Transformer<B>] {
        &mut self.attentions
    }

    /// Appends the projections of all attentions.
    pub(super) fn adapted<'a>(&'a mut self, found: &mut Vec<(String, &'a mut Linear<B>)>) {
        self.attentions
            .iter_mut()
            .for_each(|attention| attention.adapted(found));
    }
}

/// Adds the last gradient of `skips` to `d`. There is none for skip connections to stages that the pass did not run.
pub(super) fn with_skip<B: Backend>(d: Tensor<B>, skips: &mut Vec<Tensor<B>>) -> Tensor<B> {
    match skips.pop() {
        Some(skip) => d.plus(&skip),
        None => d,
    }
}

/// A stage of the decoder: every residual block takes its input concatenated with a skip connection.
#[derive(Debug)]
pub(super) struct UpBlock<B: Backend> {
    resnets: Vec<Resnet<B>>,
    attentions: Vec<Transformer<B>>,
    upsample: Option<Conv<B>>,
    /// Channels of each residual block's input without the skip connection.
    inputs: Vec<usize>,
}

impl<B: Backend> UpBlock<B> {
    /// Loads stage `stage`, 0 the coarsest; `layer` counts self-attentions.
    pub(super) fn load(
        w: &mut Weights<B>,
        config: &UNetConfig,
        stage: usize,
        layer: &mut usize,
    ) -> Result<Self> {
        let levels = config.channels.len();
        let level = levels - 1 - stage;
        let outputs = config.channels[level];
        let previous = config.channels[(level + 1).min(levels - 1)];
        let finer = config.channels[level.saturating_sub(1)];
        let mut block = Self {
            resnets: Vec::new(),
            attentions: Vec::new(),
            upsample: None,
            inputs: Vec::new(),
        };
        for index in 0..=config.layers_per_block {
            let own = if index == 0 { previous } else { outputs };
            let skip = if index == config.layers_per_block {
                finer
            } else {
                outputs
            };
            let name = format!("up_blocks.{stage}.resnets.{index}");
            block
                .resnets
                .push(Resnet::load(w, config, &name, own + skip, outputs)?);
            block.inputs.push(own);
            if config.up_attention[stage] {
                let name = format!("up_blocks.{stage}.attentions.{index}");
                block.attentions.push(Transformer::load(
                    w,
                    config,
                    &name,
                    outputs,
                    config.heads[level],
                    layer,
                )?);
            }
        }
        if level > 0 {
            block.upsample = Some(w.conv3(
                &format!("up_blocks.{stage}.upsamplers.0.conv"),
                outputs,
                outputs,
            )?);
        }
        Ok(block)
    }

    /// Returns the residual blocks in execution order.
    pub(super) fn resnets(&self) -> &[Resnet<B>] {
        &self.resnets
    }

    /// Returns the transformers in execution order.
    pub(super) fn transformers(&self) -> &[Transformer<B>] {
        &self.attentions
    }

    /// x to the stage's output, upsampled to the size of the next stage's skip connections; pops its own from `skips`.
    pub(super) fn forward(
        &self,
        mut x: Tensor<B>,
        shifts: &mut Iter<Tensor<B>>,
        context: &Context<B>,
        skips: &mut Vec<Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let own = skips.split_off(skips.len() - self.resnets.len());
        let layers = self.resnets.iter().zip(own.into_iter().rev());
        for (index, (resnet, skip)) in layers.enumerate() {
            x = resnet.forward_joined([&x, &skip], shifts.next(), pass);
            if let Some(attention) = self.attentions.get(index) {
                x = attention.forward(&x, context, pass);
            }
        }
        if let (Some(conv), Some(next)) = (&self.upsample, skips.last()) {
            x = upsample(&x, [next.shape().height, next.shape().width], pass);
            x = conv.forward(&x, pass);
        }
        x
    }

    /// dy to dx; pushes the gradients of the skip connections on `skips`, the finest first.
    pub(super) fn backward(
        &self,
        mut d: Tensor<B>,
        skips: &mut Vec<Tensor<B>>,
        pass: &mut BackwardPass<B>,
    ) -> Tensor<B> {
        if let Some(conv) = &self.upsample {
            d = conv.backward(&d, pass);
            d = upsample_backward(&d, pass);
        }
        for (index, resnet) in self.resnets.iter().enumerate().rev() {
            if let Some(attention) = self.attentions.get(index) {
                d = attention.backward(&d, pass);
            }
            let [own, skip] = resnet.backward_split(&d, self.inputs[index], pass);
            skips.push(skip);
            d = own;
        }
        d
    }

    /// Returns the transformers in execution order, for their adapters.
    pub(super) fn transformers_mut(&mut self) -> &mut [Transformer<B>] {
        &mut self.attentions
    }

    /// Appends the projections of all attentions.
    pub(super) fn adapted<'a>(&'a mut self, found: &mut Vec<(String, &'a mut Linear<B>)>) {
        self.attentions
            .iter_mut()
            .for_each(|attention| attention.adapted(found));
    }
}
