//! What a safetensors file has in it, told by the names of its tensors, for files that are given in place of others; and which family of models it belongs to.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};

/// What a file of weights has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// A model in the original layout, of any family.
    Checkpoint,
    Lora,
    /// An embedding of textual inversion.
    Embedding,
    ControlNet,
    /// A VAE in the original layout.
    OriginalVae,
    /// Components in diffusers' layout.
    UNet,
    Vae,
    TextEncoder,
}

impl Contents {
    /// Recognises the tensors of a file; `None` for any others.
    pub(super) fn of(shapes: &BTreeMap<String, Vec<usize>>) -> Option<Self> {
        let has = |name: &str| shapes.contains_key(name);
        let starts = |start: &str| {
            shapes
                .range(start.to_owned()..)
                .next()
                .is_some_and(|(name, _)| name.starts_with(start))
        };
        let is_part_of_lora = |name: &String| {
            const PARTS: [&str; 6] = [
                ".lora_",
                ".lora.",
                "_lora.",
                ".hada_w",
                ".lokr_w",
                ".dora_scale",
            ];
            name.starts_with("lora_") || PARTS.iter().any(|part| name.contains(part))
        };
        // Some have a count of steps beside it. The only tensor of diffusers' files has the word for a name.
        let is_embedding = ["emb_params", "string_to_param", "clip_g", "clip_l"]
            .iter()
            .any(|name| has(name));
        let is_only_vector = shapes.len() == 1
            && shapes
                .iter()
                .all(|(name, shape)| shape.len() <= 2 && !name.contains('.'));
        let checkpoint = [
            "model.diffusion_model.",
            "first_stage_model.",
            "cond_stage_model.",
            "conditioner.embedders.",
        ];
        let controlnet = ["control_model.", "controlnet_cond_embedding."];
        Some(if controlnet.iter().any(|start| starts(start)) {
            Self::ControlNet
        } else if checkpoint.iter().any(|start| starts(start)) {
            Self::Checkpoint
        } else if shapes.keys().any(is_part_of_lora) {
            Self::Lora
        } else if is_embedding || is_only_vector {
            Self::Embedding
        } else if has("time_embedding.linear_1.weight") {
            Self::UNet
        } else if starts("encoder.down_blocks.") || starts("decoder.up_blocks.") {
            Self::Vae
        } else if has("encoder.conv_in.weight") || has("decoder.conv_in.weight") {
            Self::OriginalVae
        } else if starts("text_model.") || has("embeddings.token_embedding.weight") {
            Self::TextEncoder
        } else {
            return None;
        })
    }

    /// Returns the error about a file at `location` that is given in place of `wanted`, such as `a LoRA`.
    pub(super) fn instead_of(self, wanted: &str, location: &str) -> Error {
        Error::Weights {
            path: location.into(),
            kind: ErrorKind::WeightsUnsupported,
            reason: format!("is {}, not {wanted}", self.phrase()),
            hint: self.hint().into(),
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Checkpoint => "a checkpoint of a whole model",
            Self::Lora => "a LoRA",
            Self::Embedding => "an embedding of textual inversion",
            Self::ControlNet => "a ControlNet",
            Self::OriginalVae => "a VAE",
            Self::UNet => "the UNet of a model in diffusers' layout",
            Self::Vae => "the VAE of a model in diffusers' layout",
            Self::TextEncoder => "the text encoder of a model",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Checkpoint => "give it with `--model`",
            Self::Lora => {
                "give it with `--style-lora`, or with `--lora` if it was trained on this picture"
            }
            Self::Embedding => "give it with `--embedding`",
            Self::ControlNet => "ControlNets are not used",
            Self::OriginalVae => "give it with `--vae`",
            Self::Vae => {
                "give its folder, with its `config.json`, with `--vae`, or the model's folder with `--model`"
            }
            Self::UNet | Self::TextEncoder => "give the model's folder with `--model`",
        }
    }
}

/// Returns the family of models whose prompts have so many channels.
pub(super) fn family_of(channels: usize) -> Option<&'static str> {
    match channels {
        768 => Some("Stable Diffusion 1.x"),
        1024 => Some("Stable Diffusion 2"),
        // Of both text encoders, and of the second one.
        2048 | 1280 => Some("Stable Diffusion XL"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_tensors() {
        for (names, expected) in [
            (
                &["model.diffusion_model.out.2.bias", "lora_x"][..],
                Some(Contents::Checkpoint),
            ),
            (
                &["lora_unet_mid_block_attentions_0_proj_in.alpha"],
                Some(Contents::Lora),
            ),
            (
                &["down_blocks.0.attentions.0.processor.to_q_lora.down.weight"],
                Some(Contents::Lora),
            ),
            (&["unet.mid_block.to_q.lora_A.weight"], Some(Contents::Lora)),
            (&["emb_params"], Some(Contents::Embedding)),
            (&["emb_params", "step"], Some(Contents::Embedding)),
            (&["<cat-toy>"], Some(Contents::Embedding)),
            (&["clip_g", "clip_l"], Some(Contents::Embedding)),
            (
                &["control_model.input_hint_block.0.bias"],
                Some(Contents::ControlNet),
            ),
            (
                &["encoder.conv_in.weight", "quant_conv.bias"],
                Some(Contents::OriginalVae),
            ),
            (
                &[
                    "encoder.conv_in.weight",
                    "encoder.down_blocks.0.resnets.0.conv1.bias",
                ],
                Some(Contents::Vae),
            ),
            (
                &["conv_in.bias", "time_embedding.linear_1.weight"],
                Some(Contents::UNet),
            ),
            (
                &["text_model.final_layer_norm.bias", "text_projection.weight"],
                Some(Contents::TextEncoder),
            ),
            (&["a", "b"], None),
            (&["a.weight"], None),
            (&[], None),
        ] {
            let shapes = names.iter().map(|name| ((*name).to_owned(), vec![2, 3]));
            assert_eq!(Contents::of(&shapes.collect()), expected, "{names:?}");
        }
    }
}
