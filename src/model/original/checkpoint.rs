//! Single-file checkpoints in the original layout of Stable Diffusion 1.x (`ldm` of CompVis) and 2 (`stablediffusion` of Stability AI): UNet, VAE and text
//! encoder in one safetensors file, without configurations.
//!
//! Sizes come from the shapes of the tensors, what shapes do not tell from Stable Diffusion 1.5 or 2.1, and names are those that diffusers' converter
//! gives them. Whether a file of Stable Diffusion 2 predicts the velocity is in its `.yaml`, if that stands beside it; otherwise files with `512` or `base` in their
//! names predict noise, and all others the velocity. Moving averages of the weights (`model_ema.`) are left out, as diffusers does by default.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::names::Naming;
use super::vocabulary;
use crate::error::{Error, ErrorKind, Result};
use crate::model::contents::Contents;
use crate::model::safetensors::SafetensorsFile;

/// The prefixes of the components.
pub(super) const UNET: &str = "model.diffusion_model.";
pub(super) const VAE: &str = "first_stage_model.";
pub(super) const TEXT: &str = "cond_stage_model.transformer.";
/// That of the text encoder of Stable Diffusion 2.
pub(super) const OPENCLIP: &str = "cond_stage_model.model.";
/// Channels of an attention head of Stable Diffusion 2's UNet.
const HEAD: usize = 64;

/// An original checkpoint whose header was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    path: PathBuf,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Checkpoint {
    /// Reads the header of the file at `path`.
    ///
    /// # Errors
    /// [`Error::Weights`] for a file that is no safetensors file, or of another family of models, which the message names.
    pub fn open(path: &Path) -> Result<Self> {
        let found = Self::read(path)?;
        let location = path.display().to_string();
        if let Some(family) = other_family(&found.shapes) {
            return Err(match Contents::of(&found.shapes) {
                None | Some(Contents::Checkpoint) => Error::Weights {
                    path: location,
                    kind: ErrorKind::WeightsUnsupported,
                    reason: format!("is {family}"),
                    hint:
                        "use a checkpoint of Stable Diffusion 1.x or 2, or one fine-tuned from them"
                            .into(),
                },
                Some(other) => other.instead_of("a model", &location),
            });
        }
        Ok(found)
    }

    /// Reads the header of a file with a VAE, alone or in a checkpoint.
    ///
    /// # Errors
    /// [`Error::Weights`] for a file that is no safetensors file, or has no VAE in the original layout.
    pub fn open_vae(path: &Path) -> Result<Self> {
        let found = Self::read(path)?;
        match Contents::of(&found.shapes) {
            None | Some(Contents::Checkpoint | Contents::OriginalVae) => found.vae().map(|_| found),
            Some(other) => Err(other.instead_of("a VAE", &path.display().to_string())),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let location = path.display().to_string();
        let file = File::open(path).map_err(|source| Error::File {
            path: path.into(),
            source,
        })?;
        let shapes = SafetensorsFile::open(location, Box::new(file))?.shapes();
        Ok(Self {
            path: path.into(),
            shapes,
        })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names of a component's tensors in the file; `folder` is that of the component in diffusers' layout.
    pub(in crate::model) fn naming(&self, folder: &str) -> Naming {
        match folder {
            "unet" => Naming::unet(self.layers(), &self.attention(false)),
            "vae" => Naming::vae(self.vae_prefix(), self.vae_channels().len()),
            _ if self.is_sd2() => Naming::OpenClip {
                layers: self.openclip_layers(),
            },
            // Some files leave out a part of the prefix.
            _ if self.has(&format!("{TEXT}text_model.final_layer_norm.weight")) => {
                Naming::text(TEXT)
            }
            _ => Naming::text(&format!("{TEXT}text_model.")),
        }
    }

    /// Returns the text of a file that a folder in diffusers' layout would have; `None` where it would have none.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file lacks the component.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        let config = match name {
            "unet/config.json" => self.unet()?,
            "vae/config.json" => self.vae()?,
            "text_encoder/config.json" => self.text_encoder()?,
            "scheduler/scheduler_config.json" => json!({
                "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
                "steps_offset": 1, "set_alpha_to_one": false,
                "prediction_type": if self.predicts_velocity() { "v_prediction" } else { "epsilon" },
            }),
            // Stable Diffusion 2 pads with the first word of the vocabulary.
            "tokenizer/special_tokens_map.json" if self.is_sd2() => json!({ "pad_token": "!" }),
            "tokenizer/vocab.json" => return Ok(Some(vocabulary::vocab())),
            "tokenizer/merges.txt" => return Ok(Some(vocabulary::merges())),
            _ => return Ok(None),
        };
        Ok(Some(config.to_string()))
    }

    /// Returns whether the text encoder is that of Stable Diffusion 2.
    fn is_sd2(&self) -> bool {
        self.has(&format!("{OPENCLIP}ln_final.weight"))
    }

    /// Returns whether the UNet predicts the velocity.
    fn predicts_velocity(&self) -> bool {
        if !self.is_sd2() {
            return false;
        }
        if let Ok(text) = std::fs::read_to_string(self.path.with_extension("yaml")) {
            let parameter = text
                .lines()
                .find_map(|line| line.trim().strip_prefix("parameterization:"));
            return parameter.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == "v");
        }
        let name = self
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        !(name.contains("512") || name.contains("base"))
    }

    /// Returns how many layers of OpenCLIP's text transformer are used: all but the last.
    fn openclip_layers(&self) -> usize {
        let has = |layer: &usize| {
            self.has(&format!(
                "{OPENCLIP}transformer.resblocks.{layer}.ln_1.weight"
            ))
        };
        (0..256).take_while(has).count().saturating_sub(1).max(1)
    }

    fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    /// Returns the length of a tensor along an axis.
    ///
    /// # Errors
    /// [`Error::Weights`] when there is no such tensor.
    fn size(&self, prefix: &str, name: &str, axis: usize) -> Result<usize> {
        let shape = self.shapes.get(&format!("{prefix}{name}"));
        shape.and_then(|shape| shape.get(axis)).copied().ok_or_else(|| {
            let part = match prefix {
                UNET => "UNet",
                VAE | "" => "VAE",
                _ => "text encoder",
            };
            Error::Weights {
                path: self.path.display().to_string(),
                kind: ErrorKind::WeightsMissing,
                reason: format!("has no {part} in the layout of Stable Diffusion 1.x: tensor `{prefix}{name}` is missing"),
                hint: "use a checkpoint with UNet, VAE and text encoder; `--vae` gives another VAE".into(),
            }
        })
    }

    /// Returns how many residual blocks a level of the UNet has.
    fn layers(&self) -> usize {
        let is_downsampler =
            |index: &usize| self.has(&format!("{UNET}input_blocks.{index}.0.op.weight"));
        (1..64)
            .find(is_downsampler)
            .map_or(2, |index| index - 1)
            .max(1)
    }

    fn levels(&self) -> usize {
        let step = self.layers() + 1;
        let has = |level: &usize| {
            self.has(&format!(
                "{UNET}input_blocks.{}.0.in_layers.0.weight",
                1 + level * step
            ))
        };
        (0..16).take_while(has).count().max(1)
    }

    /// Returns which levels of the UNet have attention: the encoder's finest first, or the decoder's coarsest first.
    fn attention(&self, is_encoder: bool) -> Vec<bool> {
        let step = self.layers() + 1;
        (0..self.levels())
            .map(|level| {
                let block = if is_encoder {
                    format!("{UNET}input_blocks.{}", 1 + level * step)
                } else {
                    format!("{UNET}output_blocks.{}", level * step)
                };
                self.has(&format!("{block}.1.norm.weight"))
            })
            .collect()
    }

    fn unet(&self) -> Result<Value> {
        let size = |name: &str, axis| self.size(UNET, name, axis);
        let step = self.layers() + 1;
        let channels = (0..self.levels())
            .map(|level| {
                size(
                    &format!("input_blocks.{}.0.out_layers.3.weight", 1 + level * step),
                    0,
                )
            })
            .collect::<Result<Vec<_>>>()?;
        let kinds = |with: &str, without: &str, has: Vec<bool>| -> Vec<String> {
            let name = |attends: bool| if attends { with } else { without };
            has.into_iter()
                .map(|attends| name(attends).to_owned())
                .collect()
        };
        let heads: Value = if self.is_sd2() {
            let heads = channels.iter().map(|channels| (channels / HEAD).max(1));
            heads.collect::<Vec<usize>>().into()
        } else {
            8.into()
        };
        Ok(json!({
            "in_channels": size("input_blocks.0.0.weight", 1)?,
            "out_channels": size("out.2.weight", 0)?,
            "block_out_channels": channels,
            "layers_per_block": self.layers(),
            "down_block_types": kinds("CrossAttnDownBlock2D", "DownBlock2D", self.attention(true)),
            "up_block_types": kinds("CrossAttnUpBlock2D", "UpBlock2D", self.attention(false)),
            "cross_attention_dim": size("middle_block.1.transformer_blocks.0.attn2.to_k.weight", 1)?,
            "attention_head_dim": heads,
            "use_linear_projection": self.is_sd2(),
            "sample_size": if self.is_sd2() && self.predicts_velocity() { 96 } else { 64 },
        }))
    }

    /// Returns the prefix of the VAE's tensors: none in a file with a VAE alone.
    fn vae_prefix(&self) -> &'static str {
        if self.has("encoder.conv_in.weight") {
            ""
        } else {
            VAE
        }
    }

    fn vae_channels(&self) -> Vec<usize> {
        let (prefix, first) = (self.vae_prefix(), |level| {
            format!("encoder.down.{level}.block.0.conv1.weight")
        });
        (0..8)
            .map_while(|level| self.size(prefix, &first(level), 0).ok())
            .collect()
    }

    fn vae(&self) -> Result<Value> {
        let prefix = self.vae_prefix();
        self.size(prefix, "encoder.conv_in.weight", 0)?;
        let has = |layer: &usize| {
            self.has(&format!(
                "{prefix}encoder.down.0.block.{layer}.conv1.weight"
            ))
        };
        let channels = self.vae_channels();
        Ok(json!({
            "latent_channels": self.size(prefix, "post_quant_conv.weight", 0)?,
            "down_block_types": vec!["DownEncoderBlock2D"; channels.len()],
            "up_block_types": vec!["UpDecoderBlock2D"; channels.len()],
            "block_out_channels": channels,
            "layers_per_block": (0..8).take_while(has).count().max(1),
        }))
    }

    fn text_encoder(&self) -> Result<Value> {
        if self.is_sd2() {
            return self.openclip();
        }
        let root = self.naming("text_encoder").stored("text_model.");
        let prefix = root.as_str();
        let size = |name: &str, axis| self.size(prefix, name, axis);
        let hidden = size("embeddings.token_embedding.weight", 1)?;
        let has = |layer: &usize| {
            self.has(&format!(
                "{prefix}encoder.layers.{layer}.layer_norm1.weight"
            ))
        };
        Ok(json!({
            "vocab_size": size("embeddings.token_embedding.weight", 0)?,
            "hidden_size": hidden,
            "intermediate_size": size("encoder.layers.0.mlp.fc1.weight", 0)?,
            "max_position_embeddings": size("embeddings.position_embedding.weight", 0)?,
            "num_hidden_layers": (0..256).take_while(has).count().max(1),
            // A head of CLIP's text transformers has 64 channels.
            "num_attention_heads": (hidden / 64).max(1),
            "hidden_act": "quick_gelu",
        }))
    }

    fn openclip(&self) -> Result<Value> {
        let size = |name: &str, axis| self.size(OPENCLIP, name, axis);
        let hidden = size("token_embedding.weight", 1)?;
        Ok(json!({
            "vocab_size": size("token_embedding.weight", 0)?,
            "hidden_size": hidden,
            "intermediate_size": size("transformer.resblocks.0.mlp.c_fc.weight", 0)?,
            "max_position_embeddings": size("positional_embedding", 0)?,
            "num_hidden_layers": self.openclip_layers(),
            "num_attention_heads": (hidden / HEAD).max(1),
            "hidden_act": "gelu",
        }))
    }
}

/// Returns what a file is that is no checkpoint of Stable Diffusion 1.x or 2.
fn other_family(shapes: &BTreeMap<String, Vec<usize>>) -> Option<&'static str> {
    let has = |start: &str| {
        shapes
            .range(start.to_owned()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(start))
    };
    let input = shapes.get(&format!("{UNET}input_blocks.0.0.weight"));
    let family = if has("conditioner.embedders.") || has(&format!("{UNET}label_emb.")) {
        "a checkpoint of Stable Diffusion XL, which is not supported"
    } else if has(&format!("{UNET}double_blocks.")) || has("double_blocks.") {
        "a checkpoint of Flux, which is not supported"
    } else if has(&format!("{UNET}joint_blocks.")) {
        "a checkpoint of Stable Diffusion 3, which is not supported"
    } else if input.is_some_and(|shape| shape.get(1) == Some(&9)) {
        "an inpainting checkpoint, whose UNet takes a mask"
    } else if input.is_some_and(|shape| shape.get(1) == Some(&8)) {
        "a checkpoint of InstructPix2Pix, whose UNet takes a second picture"
    } else if has("control_model.") {
        "a ControlNet"
    } else if input.is_none() {
        "no checkpoint in the original layout: it has no UNet (`model.diffusion_model.`)"
    } else {
        return None;
    };
    Some(family)
}
