//! `vae/config.json`: diffusers' `AutoencoderKL`.

use super::ConfigFile;
use crate::error::Result;
use crate::model::source::Source;

/// Sizes of the VAE.
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of each level, finest first.
    pub channels: Vec<usize>,
    /// Residual blocks of each encoder level; decoder levels have one more.
    pub layers_per_block: usize,
    /// Groups of all group normalisations.
    pub groups: usize,
    /// Factor from the encoder's output to latents.
    pub scaling_factor: f64,
}

impl VaeConfig {
    /// Reads `vae/config.json`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when it is missing or has an unsupported value.
    pub fn read(source: &Source) -> Result<Self> {
        let file = ConfigFile::read(source, "vae/config.json")?;
        file.check_values(&[
            ("in_channels", 3.into()),
            ("out_channels", 3.into()),
            ("latent_channels", 4.into()),
            ("act_fn", "silu".into()),
            ("mid_block_add_attention", true.into()),
            ("use_quant_conv", true.into()),
            ("use_post_quant_conv", true.into()),
            ("shift_factor", 0.into()),
        ])?;
        let channels = file.sizes("block_out_channels", &[64])?;
        if channels.len() != 4 {
            return Err(file.unsupported(
                "block_out_channels",
                "four levels (latents of 1/8 of the picture)",
            ));
        }
        file.blocks(
            "down_block_types",
            &["DownEncoderBlock2D"; 4],
            &["DownEncoderBlock2D"],
            4,
        )?;
        file.blocks(
            "up_block_types",
            &["UpDecoderBlock2D"; 4],
            &["UpDecoderBlock2D"],
            4,
        )?;
        let groups = file.size("norm_num_groups", Some(32), 4096)?;
        file.divides("norm_num_groups", groups, &channels)?;
        let scaling_factor = file.number("scaling_factor", 0.18215)?;
        if !(scaling_factor.is_finite() && scaling_factor > 0.0) {
            return Err(file.unsupported("scaling_factor", "positive numbers"));
        }
        Ok(Self {
            layers_per_block: file.size("layers_per_block", Some(1), 16)?,
            groups,
            scaling_factor,
            channels,
        })
    }
}
