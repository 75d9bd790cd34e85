//! `unet/config.json`: diffusers' `UNet2DConditionModel`.

use serde_json::Value;

use super::ConfigFile;
use crate::error::Result;
use crate::model::source::Source;

/// Sizes of the UNet.
#[derive(Debug, Clone, PartialEq)]
pub struct UNetConfig {
    /// Channels of each level, finest first.
    pub channels: Vec<usize>,
    /// Residual blocks of each down block; up blocks have one more.
    pub layers_per_block: usize,
    /// Whether each down block has attention, finest level first.
    pub down_attention: Vec<bool>,
    /// Whether each up block has attention, coarsest level first.
    pub up_attention: Vec<bool>,
    /// Attention heads of each level, finest first.
    pub heads: Vec<usize>,
    /// Channels of the text encoder's hidden states.
    pub cross_attention_dim: usize,
    /// Groups of all group normalisations.
    pub groups: usize,
    /// Epsilon of the group normalisations outside transformers.
    pub eps: f64,
    /// Height and width of the latents in training.
    pub sample_size: usize,
    /// Whether the time embedding has cosine before sine.
    pub flip_sin_to_cos: bool,
    /// Shift of the frequencies of the time embedding.
    pub freq_shift: f64,
    /// Size of an embedding of the guidance scale that the time embedding takes, in models that were distilled with guidance (latent
    /// consistency models, arXiv 2310.04378). Nothing is passed to it here.
    pub guidance_embedding: Option<usize>,
}

impl UNetConfig {
    /// Reads `unet/config.json`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when it is missing or has an unsupported value.
    pub fn read(source: &Source) -> Result<Self> {
        let file = ConfigFile::read(source, "unet/config.json")?;
        check_inputs(&file)?;
        file.check_values(&[
            ("in_channels", 4.into()),
            ("out_channels", 4.into()),
            ("act_fn", "silu".into()),
            ("mid_block_type", "UNetMidBlock2DCrossAttn".into()),
            ("downsample_padding", 1.into()),
            ("mid_block_scale_factor", 1.into()),
            ("resnet_out_scale_factor", 1.into()),
            ("conv_in_kernel", 3.into()),
            ("conv_out_kernel", 3.into()),
            ("transformer_layers_per_block", 1.into()),
            ("time_embedding_type", "positional".into()),
            ("resnet_time_scale_shift", "default".into()),
            ("attention_type", "default".into()),
            ("center_input_sample", false.into()),
            ("only_cross_attention", false.into()),
            ("dual_cross_attention", false.into()),
            ("resnet_skip_time_act", false.into()),
            ("class_embeddings_concat", false.into()),
        ])?;
        let absent = [
            "class_embed_type",
            "num_class_embeds",
            "addition_embed_type",
            "encoder_hid_dim",
            "encoder_hid_dim_type",
            "time_embedding_dim",
            "time_embedding_act_fn",
            "timestep_post_act",
            "cross_attention_norm",
            "num_attention_heads",
            "reverse_transformer_layers_per_block",
            "mid_block_only_cross_attention",
        ];
        for key in absent {
            if file.get(key).is_some() {
                return Err(file.unsupported(key, "only null"));
            }
        }
        let channels = file.sizes("block_out_channels", &[320, 640, 1280, 1280])?;
        let levels = channels.len();
        let down = [
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        ];
        let up = [
            "UpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
        ];
        let down = file.blocks(
            "down_block_types",
            &down,
            &["CrossAttnDownBlock2D", "DownBlock2D"],
            levels,
        )?;
        let up = file.blocks(
            "up_block_types",
            &up,
            &["CrossAttnUpBlock2D", "UpBlock2D"],
            levels,
        )?;
        let heads = heads(&file, &channels)?;
        let groups = file.size("norm_num_groups", Some(32), 4096)?;
        file.divides("norm_num_groups", groups, &channels)?;
        let guidance_embedding = match file.get("time_cond_proj_dim") {
            Some(_) => Some(file.size("time_cond_proj_dim", None, 16384)?),
            None => None,
        };
        if channels[0] % 2 != 0 {
            return Err(file.unsupported("block_out_channels", "even numbers"));
        }
        Ok(Self {
            layers_per_block: file.size("layers_per_block", Some(2), 16)?,
            down_attention: down.iter().map(|kind| *kind == 0).collect(),
            up_attention: up.iter().map(|kind| *kind == 0).collect(),
            heads,
            cross_attention_dim: file.size("cross_attention_dim", Some(1280), 16384)?,
            groups,
            eps: file.number("norm_eps", 1e-5)?,
            sample_size: file.size("sample_size", Some(64), 1024)?,
            flip_sin_to_cos: file.boolean("flip_sin_to_cos", true)?,
            freq_shift: file.number("freq_shift", 0.0)?,
            guidance_embedding,
            channels,
        })
    }
}

/// Refuses, by name, the relatives of Stable Diffusion whose networks take more than latents and a prompt.
fn check_inputs(file: &ConfigFile) -> Result<()> {
    let is = |key: &str, value: Value| file.get(key) == Some(&value);
    let channels = |count: u64| is("in_channels", count.into());
    let relative = if is("addition_embed_type", "text_time".into()) {
        (
            "addition_embed_type",
            "Stable Diffusion XL",
            "takes a second text encoder and sizes",
        )
    } else if channels(9) {
        (
            "in_channels",
            "an inpainting model",
            "takes a mask and a masked picture",
        )
    } else if channels(8) {
        (
            "in_channels",
            "an InstructPix2Pix model",
            "takes a second picture",
        )
    } else if channels(7) {
        ("in_channels", "an upscaler", "takes a small picture")
    } else if channels(5) {
        ("in_channels", "a depth model", "takes a depth map")
    } else if file.get("class_embed_type").is_some() {
        (
            "class_embed_type",
            "an unCLIP model or an upscaler",
            "takes an embedding of a picture or a noise level",
        )
    } else {
        return Ok(());
    };
    let (key, name, takes) = relative;
    Err(file.refused(key, &format!("{name}, whose network also {takes}")))
}

/// Returns the attention heads of each level, of which there are as many as `channels`.
fn heads(file: &ConfigFile, channels: &[usize]) -> Result<Vec<usize>> {
    let heads = match file.get("attention_head_dim") {
        Some(Value::Array(_)) => file.sizes("attention_head_dim", &[])?,
        _ => vec![file.size("attention_head_dim", Some(8), 1024)?; channels.len()],
    };
    if heads.len() != channels.len()
        || heads
            .iter()
            .zip(channels)
            .any(|(heads, channels)| channels % heads != 0)
    {
        return Err(file.unsupported(
            "attention_head_dim",
            &format!("numbers of heads that divide the channels {channels:?}"),
        ));
    }
    Ok(heads)
}
