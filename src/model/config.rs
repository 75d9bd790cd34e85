//! What diffusers' and transformers' configuration files say, as sizes. A key whose value this program cannot honour is an
//! error that names it; keys without meaning for the numbers are ignored; absent keys take diffusers' defaults.

use serde_json::{Map, Value};

use super::source::Source;
use crate::error::{Error, ErrorKind, Result};

/// A configuration file being read.
#[derive(Debug)]
pub struct ConfigFile {
    place: String,
    values: Map<String, Value>,
}

impl ConfigFile {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file is missing or holds something else.
    pub fn read(source: &Source, name: &str) -> Result<Self> {
        let text = source.required_text(name)?;
        let values = serde_json::from_str(&text).map_err(|error| Error::Weights {
            path: source.place(name),
            kind: ErrorKind::WeightsDamaged,
            reason: format!("not a configuration: {error}"),
            hint: "get the model's files again".into(),
        })?;
        Ok(Self {
            place: source.place(name),
            values,
        })
    }

    /// The value of a key; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// An error about a key.
    pub fn unsupported(&self, key: &str, supported: &str) -> Error {
        let value = self.values.get(key).unwrap_or(&Value::Null);
        Error::Weights {
            path: self.place.clone(),
            kind: ErrorKind::WeightsUnsupported,
            reason: format!("`{key}` is {value}; this program supports {supported}"),
            hint: "models of Stable Diffusion 1's family work".into(),
        }
    }

    /// Keys that may only be absent or have one value.
    ///
    /// # Errors
    /// [`Error::Weights`] for the first that has another.
    pub fn only(&self, allowed: &[(&str, Value)]) -> Result<()> {
        for (key, value) in allowed {
            let same = |found: &Value| {
                found == value
                    || found
                        .as_f64()
                        .zip(value.as_f64())
                        .is_some_and(|(a, b)| a == b)
            };
            if self.get(key).is_some_and(|found| !same(found)) {
                return Err(self.unsupported(key, &format!("{value} alone")));
            }
        }
        Ok(())
    }

    /// A size between 1 and `most`.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is none, or absent without a default.
    pub fn size(&self, key: &str, default: Option<usize>, most: usize) -> Result<usize> {
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (value, _) => match value.and_then(Value::as_u64) {
                Some(size) if (1..=most as u64).contains(&size) => Ok(size as usize),
                _ => Err(self.unsupported(key, &format!("whole numbers from 1 to {most}"))),
            },
        }
    }

    /// A number.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is something else.
    pub fn number(&self, key: &str, default: f64) -> Result<f64> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_f64()
                .ok_or_else(|| self.unsupported(key, "a number"))
        })
    }

    /// A switch.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is something else.
    pub fn switch(&self, key: &str, default: bool) -> Result<bool> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.unsupported(key, "true or false"))
        })
    }

    /// A list of sizes.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is something else.
    pub fn sizes(&self, key: &str, default: &[usize]) -> Result<Vec<usize>> {
        let Some(value) = self.get(key) else {
            return Ok(default.to_vec());
        };
        let list: Option<Vec<usize>> = value.as_array().and_then(|list| {
            list.iter()
                .map(|v| v.as_u64().map(|v| v as usize))
                .collect()
        });
        list.filter(|list| {
            !list.is_empty() && list.len() <= 8 && list.iter().all(|v| (1..=16384).contains(v))
        })
        .ok_or_else(|| self.unsupported(key, "a list of sizes"))
    }

    /// A list of block types: for each block, its place in `kinds`.
    ///
    /// # Errors
    /// [`Error::Weights`] when a type is not among `kinds`, or there are not `count` of them.
    pub fn blocks(
        &self,
        key: &str,
        default: &[&str],
        kinds: &[&str],
        count: usize,
    ) -> Result<Vec<usize>> {
        let names: Vec<&str> = match self.get(key) {
            None => default.to_vec(),
            Some(value) => value
                .as_array()
                .map(|list| list.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default(),
        };
        let found: Option<Vec<usize>> = names
            .iter()
            .map(|name| kinds.iter().position(|kind| kind == name))
            .collect();
        found
            .filter(|found| found.len() == count)
            .ok_or_else(|| self.unsupported(key, &format!("{count} of {}", kinds.join(", "))))
    }

    /// `count` must divide every one of `sizes`.
    ///
    /// # Errors
    /// [`Error::Weights`] when it does not.
    pub fn divides(&self, key: &str, count: usize, sizes: &[usize]) -> Result<()> {
        if sizes.iter().all(|size| size % count == 0) {
            return Ok(());
        }
        Err(self.unsupported(key, &format!("divisors of the channels {sizes:?}")))
    }
}

/// Sizes of the noise predictor (diffusers' `UNet2DConditionModel`).
#[derive(Debug, Clone, PartialEq)]
pub struct UNetConfig {
    /// Channels of each level, finest first.
    pub channels: Vec<usize>,
    /// Residual blocks of a level on the way down; one more on the way up.
    pub layers_per_block: usize,
    /// Has this level attention on the way down?
    pub down_attention: Vec<bool>,
    /// Has this level attention on the way up? Coarsest level first.
    pub up_attention: Vec<bool>,
    /// Heads of each level, finest first.
    pub heads: Vec<usize>,
    /// Channels of the prompt's context.
    pub cross_attention_dim: usize,
    /// Groups of every group normalisation.
    pub groups: usize,
    /// Epsilon of the group normalisations outside transformers.
    pub eps: f64,
    /// Cells of the training latents' sides.
    pub sample_size: usize,
    /// Cosine before sine in the time embedding.
    pub flip_sin_to_cos: bool,
    /// Shift of the time embedding's frequencies.
    pub freq_shift: f64,
}

impl UNetConfig {
    /// Reads unet/config.json.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is missing or holds a value that is not supported.
    pub fn read(source: &Source) -> Result<Self> {
        let file = ConfigFile::read(source, "unet/config.json")?;
        file.only(&[
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
            "time_cond_proj_dim",
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
                return Err(file.unsupported(key, "null alone"));
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
        let heads = match file.get("attention_head_dim") {
            Some(Value::Array(_)) => file.sizes("attention_head_dim", &[])?,
            _ => vec![file.size("attention_head_dim", Some(8), 1024)?; levels],
        };
        if heads.len() != levels
            || heads
                .iter()
                .zip(&channels)
                .any(|(heads, channels)| channels % heads != 0)
        {
            return Err(file.unsupported(
                "attention_head_dim",
                &format!("numbers of heads that divide the channels {channels:?}"),
            ));
        }
        let groups = file.size("norm_num_groups", Some(32), 4096)?;
        file.divides("norm_num_groups", groups, &channels)?;
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
            flip_sin_to_cos: file.switch("flip_sin_to_cos", true)?,
            freq_shift: file.number("freq_shift", 0.0)?,
            channels,
        })
    }
}

/// Sizes of the picture encoder and decoder (diffusers' `AutoencoderKL`).
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of each level, finest first.
    pub channels: Vec<usize>,
    /// Residual blocks of a level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of every group normalisation.
    pub groups: usize,
    /// Latents are the encoder's output times this.
    pub scaling_factor: f64,
}

impl VaeConfig {
    /// Reads vae/config.json.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is missing or holds a value that is not supported.
    pub fn read(source: &Source) -> Result<Self> {
        let file = ConfigFile::read(source, "vae/config.json")?;
        file.only(&[
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
                "four levels (latents of an eighth of the picture)",
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

/// The training noise schedule: betas grow from start to end.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleConfig {
    /// First beta.
    pub beta_start: f64,
    /// Last beta.
    pub beta_end: f64,
    /// Are the square roots evenly spaced (`scaled_linear`), or the betas themselves (`linear`)?
    pub scaled: bool,
    /// Number of training timesteps.
    pub timesteps: usize,
    /// Added to every timestep of a coarser grid.
    pub steps_offset: usize,
    /// Does the last step end without any noise? Otherwise with that of timestep 0.
    pub set_alpha_to_one: bool,
}

impl ScheduleConfig {
    /// Reads `scheduler/scheduler_config.json`, of whatever sampler; we read the betas and run DDIM on them.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is missing or holds a value that is not supported.
    pub fn read(source: &Source) -> Result<Self> {
        let file = ConfigFile::read(source, "scheduler/scheduler_config.json")?;
        file.only(&[
            ("prediction_type", "epsilon".into()),
            ("num_train_timesteps", 1000.into()),
            ("rescale_betas_zero_snr", false.into()),
            ("thresholding", false.into()),
        ])?;
        if file.get("trained_betas").is_some() {
            return Err(file.unsupported("trained_betas", "null alone"));
        }
        let scaled = match file.get("beta_schedule").and_then(Value::as_str) {
            Some("scaled_linear") => true,
            Some("linear") | None => false,
            Some(_) => return Err(file.unsupported("beta_schedule", "scaled_linear and linear")),
        };
        let offset = file.number("steps_offset", 0.0)?;
        if !(0.0..=10.0).contains(&offset) {
            return Err(file.unsupported("steps_offset", "0 to 10"));
        }
        Ok(Self {
            beta_start: file.number("beta_start", 0.0001)?,
            beta_end: file.number("beta_end", 0.02)?,
            scaled,
            timesteps: 1000,
            steps_offset: offset as usize,
            set_alpha_to_one: file.switch("set_alpha_to_one", true)?,
        })
    }
}
