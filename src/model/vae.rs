//! The VAE between pictures and latents (diffusers' `AutoencoderKL`). Inference only: it has no backward pass.

use super::config::VaeConfig;
use super::layout;
use super::source::Source;
use super::unet::Resnet;
use super::weights::Weights;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::{Attention, Conv, GroupNorm, Linear, Pass, Shape, Tensor, upsample};

/// Pixels per latent cell in each direction.
pub const DOWNSCALE: usize = 8;

/// Epsilon of all group normalisations.
const EPS: f64 = 1e-6;

/// Encoder and decoder.
#[derive(Debug)]
pub struct Vae<B: Backend> {
    encoder: Encoder<B>,
    quant: Linear<B>,
    post_quant: Linear<B>,
    decoder: Decoder<B>,
    scaling_factor: f32,
    digest: String,
}

/// The Gaussian over unscaled latents that the encoder predicts; both tensors are (b, h / 8, w / 8, 4).
#[derive(Debug)]
pub struct Posterior<B: Backend> {
    /// Mean.
    pub mean: Tensor<B>,
    /// Logarithm of the variance, not clamped.
    pub logvar: Tensor<B>,
}

impl<B: Backend> Posterior<B> {
    /// Returns mean + standard deviation * noise, with the log variance clamped to [-30, 20] as in diffusers.
    ///
    /// # Panics
    /// When the noise does not have the length of the mean.
    pub fn sample(&self, noise: &[f32]) -> Tensor<B> {
        let (mean, logvar) = (self.mean.to_host(), self.logvar.to_host());
        assert_eq!(noise.len(), mean.len(), "one noise value per latent value");
        let value = |((mean, logvar), noise): ((&f32, &f32), &f32)| {
            mean + (0.5 * logvar.clamp(-30.0, 20.0)).exp() * noise
        };
        let values = mean.iter().zip(&logvar).zip(noise).map(value).collect();
        Tensor::from_host(self.mean.backend(), self.mean.shape(), values)
    }
}

impl<B: Backend> Vae<B> {
    /// Loads the weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the file is missing, damaged, or does not fit the configuration;
    /// [`crate::Error::Interrupted`].
    pub fn load(backend: &B, source: &Source, interrupt: &Interrupt) -> Result<Self> {
        let config = VaeConfig::read(source)?;
        let mut weights = Weights::open(backend, source, &layout::VAE, interrupt)?;
        let encoder = Encoder::load(&mut weights, &config)?;
        let quant = weights.linear("quant_conv", 8, 8, true)?;
        let post_quant = weights.linear("post_quant_conv", 4, 4, true)?;
        let decoder = Decoder::load(&mut weights, &config)?;
        let digest = weights.finish()?;
        Ok(Self {
            encoder,
            quant,
            post_quant,
            decoder,
            scaling_factor: config.scaling_factor as f32,
            digest,
        })
    }

    /// Returns the SHA-256 of the loaded weights.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Computes the posterior of pictures (b, h, w, 3) in [-1, 1], whose h and w are multiples of 8.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn posterior(&self, picture: &Tensor<B>, interrupt: &Interrupt) -> Result<Posterior<B>> {
        let backend = self.encoder.backend();
        let encoded = backend.run(|| {
            self.encoder
                .forward(&picture.compact(backend, 1.0), interrupt)
        })?;
        let moments = self
            .quant
            .forward(&encoded, &mut Pass::inference())
            .full(1.0);
        let (mean, logvar) = moments.split(4);
        Ok(Posterior { mean, logvar })
    }

    /// Encodes pictures (b, h, w, 3) in [-1, 1] to the scaled mean latent (b, h / 8, w / 8, 4).
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn encode(&self, picture: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        Ok(scaled(
            self.posterior(picture, interrupt)?.mean,
            self.scaling_factor,
        ))
    }

    /// Decodes scaled latents (b, h, w, 4) to pictures (b, 8 h, 8 w, 3), approximately in [-1, 1].
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn decode(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        self.decode_unscaled(
            &scaled(latent.clone(), 1.0 / self.scaling_factor),
            interrupt,
        )
    }

    /// Decodes unscaled latents, as [`Posterior`] has them, otherwise as [`Vae::decode`].
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn decode_unscaled(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let backend = self.encoder.backend();
        let latent = self
            .post_quant
            .forward(&latent.compact(backend, 1.0), &mut Pass::inference());
        Ok(backend
            .run(|| self.decoder.forward(&latent, interrupt))?
            .full(1.0))
    }
}

fn scaled<B: Backend>(latent: Tensor<B>, factor: f32) -> Tensor<B> {
    let zeros = Tensor::zeros(latent.backend(), latent.shape());
    latent.combined(factor, 0.0, &zeros)
}

/// The residual blocks of one resolution, and the convolution that changes to the next one.
#[derive(Debug)]
struct Level<B: Backend> {
    resnets: Vec<Resnet<B>>,
    change: Option<Conv<B>>,
}

/// The middle block: residual block, self-attention, residual block.
#[derive(Debug)]
struct Middle<B: Backend> {
    first: Resnet<B>,
    norm: GroupNorm<B>,
    attention: Attention<B>,
    second: Resnet<B>,
}

impl<B: Backend> Middle<B> {
    fn load(w: &mut Weights<B>, side: &str, channels: usize, groups: usize) -> Result<Self> {
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

    fn forward(&self, x: &Tensor<B>) -> Tensor<B> {
        let pass = &mut Pass::inference();
        let x = self.first.forward(x, None, pass);
        let y = self.norm.forward(&x, pass);
        let x = self.attention.forward_self(&y, 0, Some(&x), pass);
        self.second.forward(&x, None, pass)
    }
}

#[derive(Debug)]
struct Encoder<B: Backend> {
    conv_in: Conv<B>,
    levels: Vec<Level<B>>,
    middle: Middle<B>,
    norm_out: GroupNorm<B>,
    conv_out: Conv<B>,
}

impl<B: Backend> Encoder<B> {
    fn backend(&self) -> &B {
        self.norm_out.backend()
    }

    fn load(w: &mut Weights<B>, config: &VaeConfig) -> Result<Self> {
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
                change: downsample,
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

    fn forward(&self, picture: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let pass = &mut Pass::inference();
        let mut x = self.conv_in.forward(picture, pass);
        for Level { resnets, change } in &self.levels {
            for resnet in resnets {
                interrupt.check()?;
                x = resnet.forward(&x, None, pass);
            }
            if let Some(downsample) = change {
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

#[derive(Debug)]
struct Decoder<B: Backend> {
    conv_in: Conv<B>,
    middle: Middle<B>,
    stages: Vec<Level<B>>,
    norm_out: GroupNorm<B>,
    conv_out: Conv<B>,
}

impl<B: Backend> Decoder<B> {
    fn load(w: &mut Weights<B>, config: &VaeConfig) -> Result<Self> {
        let channels = &config.channels;
        let levels = channels.len();
        let last = channels[levels - 1];
        let mut stages = Vec::new();
        for stage in 0..levels {
            let outputs = channels[levels - 1 - stage];
            let inputs = channels[(levels - stage).min(levels - 1)];
            let mut resnets = Vec::new();
            for index in 0..=config.layers_per_block {
                let name = format!("decoder.up_blocks.{stage}.resnets.{index}");
                resnets.push(Resnet::load_plain(
                    w,
                    &name,
                    if index == 0 { inputs } else { outputs },
                    outputs,
                    config.groups,
                    EPS,
                )?);
            }
            let name = format!("decoder.up_blocks.{stage}.upsamplers.0.conv");
            let grow = if stage + 1 < levels {
                Some(w.conv3(&name, outputs, outputs)?)
            } else {
                None
            };
            stages.push(Level {
                resnets,
                change: grow,
            });
        }
        Ok(Self {
            conv_in: w.conv3("decoder.conv_in", 4, last)?,
            middle: Middle::load(w, "decoder", last, config.groups)?,
            stages,
            norm_out: w.group_norm(
                "decoder.conv_norm_out",
                channels[0],
                config.groups,
                EPS,
                true,
            )?,
            conv_out: w.conv3("decoder.conv_out", channels[0], 3)?,
        })
    }

    fn forward(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let pass = &mut Pass::inference();
        let x = self.conv_in.forward(latent, pass);
        let mut x = self.middle.forward(&x);
        for Level { resnets, change } in &self.stages {
            for resnet in resnets {
                interrupt.check()?;
                x = resnet.forward(&x, None, pass);
            }
            if let Some(conv) = change {
                let Shape { height, width, .. } = x.shape();
                x = conv.forward(&upsample(&x, [2 * height, 2 * width], pass), pass);
            }
        }
        interrupt.check()?;
        Ok(self
            .conv_out
            .forward(&self.norm_out.forward(&x, pass), pass))
    }
}
