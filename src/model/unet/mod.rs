//! The noise predictor: diffusers' `UNet2DConditionModel` of Stable Diffusion 1 and 2, with decoder features and a backward pass.
//!
//! A method sees it as a [`Network`]: it gives an [`Input`], says what it [`Want`]s, and gets the outputs, or a [`Recorded`] pass
//! whose backward pass returns the gradient. A [`UNet`] serves one edit, a [`SharedUNet`] several, each
//! through a [`UNetClient`]. The weights are frozen; LoRA adapters are merged into them.

mod adapters;
mod backward_pass;
mod blocks;
mod context;
#[cfg(test)]
mod counted;
mod forward_pass;
mod input;
mod network;
mod recorded;
mod resnet;
mod shared;
mod time;
mod transformer;
mod velocity;
mod want;

pub use adapters::AdapterPlace;
pub use backward_pass::InputGradients;
pub use context::{Context, Prompt};
#[cfg(test)]
pub use counted::Counted;
pub use input::Input;
pub use network::Network;
pub use recorded::Recorded;
pub use resnet::Resnet;
pub use shared::{SharedUNet, UNetClient};
pub use want::{Features, Noise, NoiseAndFeatures, NoiseAndKeys, Recordable, SelfAttentions, Want};

use super::config::UNetConfig;
use super::layout;
use super::lora::{Component, Merges};
use super::source::Source;
use super::weights::Weights;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::{Conv, GroupNorm, Tensor};
use blocks::{DownBlock, UpBlock};
use time::TimeEmbedding;
use transformer::Transformer;
use velocity::Velocity;

/// A noise predictor.
#[derive(Debug)]
pub struct UNet<B: Backend> {
    time: TimeEmbedding<B>,
    conv_in: Conv<B>,
    down: Vec<DownBlock<B>>,
    mid_first: Resnet<B>,
    mid_attention: Transformer<B>,
    mid_second: Resnet<B>,
    up: Vec<UpBlock<B>>,
    norm_out: GroupNorm<B>,
    conv_out: Conv<B>,
    /// Of a network whose last layer predicts the velocity.
    velocity: Option<Velocity>,
    digest: String,
}

impl<B: Backend> UNet<B> {
    /// Reads the weights. The network predicts noise; [`UNet::of_velocity`] is for one that was trained to predict the velocity.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the file is missing, damaged, or does not fit the configuration;
    /// [`crate::Error::Interrupted`].
    pub fn load(
        backend: &B,
        source: &Source,
        config: &UNetConfig,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let merges = Merges::none(Component::UNet);
        Self::load_merged(backend, source, config, merges, interrupt)
    }

    /// As [`UNet::load`], with LoRA files added to the weights.
    ///
    /// # Errors
    /// As [`UNet::load`]; [`crate::Error::Weights`] when a LoRA file does not fit.
    pub fn load_merged(
        backend: &B,
        source: &Source,
        config: &UNetConfig,
        merges: Merges,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut weights = Weights::open(backend, source, &layout::UNET, interrupt)?;
        weights.merge(merges);
        Self::of_weights(weights, config)
    }

    /// Makes a network with random weights, which predicts nothing sensible and computes like any other.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn seeded(backend: &B, config: &UNetConfig, interrupt: &Interrupt) -> Result<Self> {
        Self::of_weights(Weights::seeded(backend, interrupt), config)
    }

    fn of_weights(mut weights: Weights<B>, config: &UNetConfig) -> Result<Self> {
        let w = &mut weights;
        let channels = &config.channels;
        let (levels, last) = (channels.len(), channels[channels.len() - 1]);
        let mut layer = 0;
        let time = TimeEmbedding::load(w, config)?;
        let conv_in = w.conv3("conv_in", 4, channels[0])?;
        let mut down = Vec::new();
        for level in 0..levels {
            down.push(DownBlock::load(w, config, level, &mut layer)?);
        }
        let mid_first = Resnet::load(w, config, "mid_block.resnets.0", last, last)?;
        let mid_attention = Transformer::load(
            w,
            config,
            "mid_block.attentions.0",
            last,
            config.heads[levels - 1],
            &mut layer,
        )?;
        let mid_second = Resnet::load(w, config, "mid_block.resnets.1", last, last)?;
        let mut up = Vec::new();
        for stage in 0..levels {
            up.push(UpBlock::load(w, config, stage, &mut layer)?);
        }
        let norm_out = w.group_norm(
            "conv_norm_out",
            channels[0],
            config.groups,
            config.eps,
            true,
        )?;
        let conv_out = w.conv3("conv_out", channels[0], 4)?;
        let digest = weights.finish()?;
        Ok(Self {
            time,
            conv_in,
            down,
            mid_first,
            mid_attention,
            mid_second,
            up,
            norm_out,
            conv_out,
            velocity: None,
            digest,
        })
    }

    fn backend(&self) -> &B {
        self.norm_out.backend()
    }

    /// Returns the SHA-256 digest of the weights as loaded.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// As [`Network::prepare`], for one set of adapters.
    pub(super) fn prepare_for(&self, set: usize, tokens: &Tensor<B>) -> Prompt<B> {
        let down = self.down.iter().flat_map(DownBlock::transformers);
        let up = self.up.iter().flat_map(UpBlock::transformers);
        let all = down.chain([&self.mid_attention]).chain(up);
        let backend = self.backend();
        let tokens = tokens.compact(backend, 1.0);
        backend.run(|| {
            Prompt::new(
                all.map(|transformer| transformer.prepare(set, &tokens))
                    .collect(),
            )
        })
    }
}
