//! The noise predictor: diffusers' `UNet2DConditionModel` of Stable Diffusion 1, with its outputs inside the decoder and its way back.

mod blocks;
mod context;
mod network;
mod resnet;
mod shared;
mod time;
mod transformer;

use std::ops::Range;

pub use context::{Context, Prompt};
pub use network::Network;
pub use resnet::Resnet;
pub use shared::{SharedUNet, UNetClient};

use super::config::UNetConfig;
use super::layout;
use super::source::Source;
use super::weights::Weights;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::{Adapter, Conv, GroupNorm, Linear, Pass, Tensor};
use blocks::{DownBlock, UpBlock};
use time::TimeEmbedding;
use transformer::Transformer;

/// The noise predictor's weights.
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
    digest: String,
}

/// What is wanted of a trip through the network. It ends where nothing more is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// The noise prediction.
    pub noise: bool,
    /// Outputs of decoder stages, 1 (coarsest) to the number of levels.
    pub taps: &'a [usize],
}

/// What a trip gave.
#[derive(Debug)]
pub struct Output<B: Backend> {
    /// The noise prediction (batch, height, width, 4), if wanted.
    pub noise: Option<Tensor<B>>,
    /// The decoder stages' outputs, in the order in which they were asked for.
    pub taps: Vec<Tensor<B>>,
    /// Tape depth after each decoder stage.
    depths: Vec<usize>,
    /// The number of a trip of several edits, of which this is a part.
    trip: Option<u64>,
}

impl<B: Backend> Output<B> {
    /// What some pictures have of it.
    fn part(&self, pictures: Range<usize>, trip: Option<u64>) -> Self {
        let part = |tensor: &Tensor<B>| tensor.pictures(pictures.clone());
        Self {
            noise: self.noise.as_ref().map(part),
            taps: self.taps.iter().map(part).collect(),
            depths: Vec::new(),
            trip,
        }
    }
}

/// Gradients to what a trip gave, for the way back.
#[derive(Debug)]
pub struct Gradients<B: Backend> {
    /// About how large the larger ones are. A device with a short number format brings them to the middle of its range by it.
    pub magnitude: f32,
    /// To the noise prediction.
    pub noise: Option<Tensor<B>>,
    /// To decoder stages' outputs: (stage, gradient).
    pub taps: Vec<(usize, Tensor<B>)>,
}

impl<B: Backend> UNet<B> {
    /// Reads the weights.
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
        let mut weights = Weights::open(backend, source, &layout::UNET, interrupt)?;
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
            digest,
        })
    }

    fn backend(&self) -> &B {
        self.norm_out.backend()
    }

    /// SHA-256 of the weights as they were read.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Keys and values of the prompt's tokens (1, 1, tokens, channels) for the weights as they are now.
    pub fn prepare(&self, tokens: &Tensor<B>) -> Prompt<B> {
        self.prepare_for(0, tokens)
    }

    /// The same for one set of adapters.
    pub fn prepare_for(&self, set: usize, tokens: &Tensor<B>) -> Prompt<B> {
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

    /// Latents z (b, h, w, 4) at one timestep each, and the prompt.
    ///
    /// # Panics
    /// When the shapes do not fit, or a decoder stage is asked for that the network does not have.
    pub fn forward<'c>(
        &self,
        z: &Tensor<B>,
        timesteps: &[f64],
        context: impl Into<Context<'c, B>>,
        want: Want,
        pass: &mut Pass<B>,
    ) -> Output<B> {
        let backend = self.backend();
        let mut context = context.into();
        assert_eq!(
            timesteps.len(),
            z.shape().batch,
            "a timestep for every latent"
        );
        let tokens;
        if let Context::Tokens(full) = context {
            assert!(
                [1, z.shape().batch].contains(&full.shape().batch),
                "one prompt, or one for every latent"
            );
            tokens = full.compact(backend, 1.0);
            context = Context::Tokens(&tokens);
        }
        backend.run(|| self.walk(&z.compact(backend, 1.0), timesteps, context, want, pass))
    }

    fn walk(
        &self,
        z: &Tensor<B>,
        timesteps: &[f64],
        context: Context<B>,
        want: Want,
        pass: &mut Pass<B>,
    ) -> Output<B> {
        let down = self.down.iter().flat_map(DownBlock::resnets);
        let up = self.up.iter().flat_map(UpBlock::resnets);
        let resnets: Vec<&Resnet<B>> = down
            .chain([&self.mid_first, &self.mid_second])
            .chain(up)
            .collect();
        let shifts = self.time.shifts(z.backend(), timesteps, &resnets);
        let shifts = &mut shifts.iter();
        let mut skips = Vec::new();
        let mut x = self.conv_in.forward(z, pass);
        skips.push(x.clone());
        for block in &self.down {
            x = block.forward(x, shifts, context, &mut skips, pass);
        }
        x = self.mid_first.forward(&x, shifts.next(), pass);
        x = self.mid_attention.forward(&x, context, pass);
        x = self.mid_second.forward(&x, shifts.next(), pass);
        let mut stages: Vec<Tensor<B>> = Vec::new();
        let mut depths = Vec::new();
        let needed = if want.noise {
            self.up.len()
        } else {
            want.taps.iter().copied().max().unwrap_or(0)
        };
        for block in &self.up[..needed.min(self.up.len())] {
            x = block.forward(x, shifts, context, &mut skips, pass);
            stages.push(x.clone());
            depths.push(pass.depth());
        }
        let noise = want.noise.then(|| {
            let x = self.norm_out.forward(&x, pass);
            self.conv_out.forward(&x, pass).full(1.0)
        });
        let taps = want
            .taps
            .iter()
            .map(|stage| stages[stage - 1].clone())
            .collect();
        Output {
            noise,
            taps,
            depths,
            trip: None,
        }
    }

    /// The noise prediction alone, all latents at one timestep.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn predict<'c>(
        &self,
        z: &Tensor<B>,
        timestep: f64,
        context: impl Into<Context<'c, B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let timesteps = vec![timestep; z.shape().batch];
        let output = self.forward(
            z,
            &timesteps,
            context,
            Want {
                noise: true,
                taps: &[],
            },
            pass,
        );
        output
            .noise
            .unwrap_or_else(|| unreachable!("the noise was asked for"))
    }

    /// From gradients of what [`UNet::forward`] gave to the gradient of z. Adapters' gradients are added where the pass
    /// collects them. Without `need_input` the way ends at the last adapter and returns nothing.
    ///
    /// # Panics
    /// When `pass` does not hold the tape of `output`.
    pub fn backward(
        &self,
        output: &Output<B>,
        gradients: Gradients<B>,
        need_input: bool,
        pass: &mut Pass<B>,
    ) -> Option<Tensor<B>> {
        let backend = self.backend();
        // A power of two: what is multiplied by it here and divided by it at the end is the same number.
        let magnitude = if gradients.magnitude.is_normal() {
            gradients.magnitude.log2().round().clamp(-60.0, 60.0)
        } else {
            0.0
        };
        let scale = backend
            .loss_scale()
            .map_or(1.0, |size| size / magnitude.exp2());
        pass.set_gradient_scale(scale);
        backend.run(|| self.walk_back(output, gradients, need_input, pass))
    }

    fn walk_back(
        &self,
        output: &Output<B>,
        gradients: Gradients<B>,
        need_input: bool,
        pass: &mut Pass<B>,
    ) -> Option<Tensor<B>> {
        let Gradients {
            noise, mut taps, ..
        } = gradients;
        let (backend, scale) = (self.backend(), pass.loss_scale());
        let deepest = if noise.is_some() {
            output.depths.len()
        } else {
            taps.iter().map(|(stage, _)| *stage).max()?
        };
        let mut dx = noise.map(|noise| {
            let dx = self.conv_out.backward(&noise.compact(backend, scale), pass);
            self.norm_out.backward(&dx, pass)
        });
        if dx.is_none() {
            pass.rewind(output.depths[deepest - 1]);
        }
        let mut skips = Vec::new(); // gradients of the skip connections, finest first
        for (stage, block) in self.up.iter().enumerate().take(deepest).rev() {
            while let Some(position) = taps.iter().position(|(tap, _)| *tap == stage + 1) {
                let gradient = taps.swap_remove(position).1.compact(backend, scale);
                dx = Some(match dx {
                    Some(dx) => dx.plus(&gradient),
                    None => gradient,
                });
            }
            let Some(dy) = dx else {
                unreachable!("the deepest stage has a gradient")
            };
            dx = Some(block.backward(dy, &mut skips, pass));
        }
        let mut dx = dx?;
        dx = self.mid_second.backward(&dx, pass);
        dx = self.mid_attention.backward(&dx, pass);
        dx = self.mid_first.backward(&dx, pass);
        // Skip connections of stages that were not walked carry no gradient: the list is counted from its coarse end.
        let last_adapter = self.down.iter().position(DownBlock::has_attention);
        for (level, block) in self.down.iter().enumerate().rev() {
            let stop = !need_input && last_adapter == Some(level);
            dx = block.backward(dx, &mut skips, stop, pass)?;
        }
        if let Some(skip) = skips.pop() {
            dx = dx.plus(&skip);
        }
        Some(self.conv_in.backward(&dx, pass).full(1.0 / scale))
    }

    /// Query, key, value and output projections of all attentions in execution order, with their names in diffusers.
    fn adapted(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let mut found = Vec::new();
        for block in &mut self.down {
            block.adapted(&mut found);
        }
        self.mid_attention.adapted(&mut found);
        for block in &mut self.up {
            block.adapted(&mut found);
        }
        found
    }

    /// Gives all attention projections an adapter of this rank; returns their places, in the order of the parameters.
    pub fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace> {
        self.attach_adapters_of(0, rank)
    }

    /// The same for one set of adapters; which one a picture goes through, its pass says ([`Pass::with_runs`]).
    pub fn attach_adapters_of(&mut self, set: usize, rank: usize) -> Vec<AdapterPlace> {
        let mut offset = 0;
        let mut places = Vec::new();
        for (name, linear) in self.adapted() {
            let adapter = Adapter { offset, rank };
            linear.set_adapter(set, Some(adapter));
            places.push(AdapterPlace {
                name,
                inputs: linear.inputs(),
                outputs: linear.outputs(),
                adapter,
            });
            offset += linear.adapter_len(rank);
        }
        places
    }

    /// Adds up * down to every adapted weight, in f32, starting from the weights as loaded.
    pub fn merge_adapters(&mut self, parameters: &Tensor<B>) {
        self.merge_adapters_of(0, parameters);
    }

    /// The same for one set of adapters.
    pub fn merge_adapters_of(&mut self, set: usize, parameters: &Tensor<B>) {
        self.adapted()
            .into_iter()
            .for_each(|(_, linear)| linear.merge(set, parameters));
    }

    /// Restores the weights exactly as loaded, and takes the adapters away.
    pub fn detach_adapters(&mut self) {
        self.detach_adapters_of(0);
    }

    /// The same for one set of adapters.
    pub fn detach_adapters_of(&mut self, set: usize) {
        self.adapted()
            .into_iter()
            .for_each(|(_, linear)| linear.set_adapter(set, None));
    }
}

/// One adapted projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterPlace {
    /// Its module in diffusers, such as `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`.
    pub name: String,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Its place in the flat list of parameters.
    pub adapter: Adapter,
}

impl AdapterPlace {
    /// Numbers of `down` (rank, in); those of `up` (out, rank) follow.
    pub fn down_len(&self) -> usize {
        self.adapter.rank * self.inputs
    }

    /// Numbers of both.
    pub fn len(&self) -> usize {
        self.adapter.rank * (self.inputs + self.outputs)
    }

    /// Has it no numbers?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
