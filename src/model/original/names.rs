//! The names of tensors in original checkpoints for those in diffusers' layout.

use super::checkpoint::{OPENCLIP, TEXT, UNET};

/// What stands between the name of a tensor and that of a part of it.
const SEPARATOR: &str = " of ";

/// How a component's tensors are called in a file, given their names in diffusers' layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::model) enum Naming {
    /// As in diffusers' layout.
    Same,
    /// As in the original UNet.
    Unet {
        /// Residual blocks of each level of the encoder.
        layers: usize,
        /// Whether each level of the decoder has attention, coarsest first.
        attends: Vec<bool>,
    },
    /// As in the original VAE with so many levels.
    Vae {
        /// What stands before the names.
        prefix: &'static str,
        /// Levels.
        levels: usize,
    },
    /// As in OpenCLIP's text transformer, without its last layer, whose output Stable Diffusion 2 does not use.
    OpenClip {
        /// Layers of the file that are used.
        layers: usize,
    },
    /// As in diffusers' layout, with another prefix in place of `text_model.` or before it.
    Text {
        /// What stands before the names.
        prefix: String,
    },
}

/// Parts of residual blocks of the UNet, in diffusers' layout and in the original one.
pub(in crate::model) const UNET_BLOCK: [(&str, &str); 6] = [
    ("norm1.", "in_layers.0."),
    ("conv1.", "in_layers.2."),
    ("time_emb_proj.", "emb_layers.1."),
    ("norm2.", "out_layers.0."),
    ("conv2.", "out_layers.3."),
    ("conv_shortcut.", "skip_connection."),
];
/// Parts of the UNet outside its blocks, in diffusers' layout and in the original one.
pub(in crate::model) const UNET_ENDS: [(&str, &str); 5] = [
    ("conv_in.", "input_blocks.0.0."),
    ("time_embedding.linear_1.", "time_embed.0."),
    ("time_embedding.linear_2.", "time_embed.2."),
    ("conv_norm_out.", "out.0."),
    ("conv_out.", "out.2."),
];
/// Parts of a layer of OpenCLIP's text transformer. Queries, keys and values are thirds of one tensor.
const OPENCLIP_LAYER: [(&str, &str); 5] = [
    ("layer_norm1.", "ln_1."),
    ("layer_norm2.", "ln_2."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
    ("self_attn.out_proj.", "attn.out_proj."),
];
/// Parts of OpenCLIP's text transformer outside its layers.
const OPENCLIP_ENDS: [(&str, &str); 3] = [
    ("embeddings.token_embedding.", "token_embedding."),
    (
        "embeddings.position_embedding.weight",
        "positional_embedding",
    ),
    ("final_layer_norm.", "ln_final."),
];
/// The projections whose rows are thirds of one tensor, in order.
const THIRDS: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

/// Parts of the VAE's attention.
const VAE_ATTENTION: [(&str, &str); 5] = [
    ("group_norm.", "norm."),
    ("to_q.", "q."),
    ("to_k.", "k."),
    ("to_v.", "v."),
    ("to_out.0.", "proj_out."),
];

impl Naming {
    pub(super) fn unet(layers: usize, attends: &[bool]) -> Self {
        Self::Unet {
            layers,
            attends: attends.to_vec(),
        }
    }

    pub(super) fn vae(prefix: &'static str, levels: usize) -> Self {
        Self::Vae { prefix, levels }
    }

    pub(super) fn text(prefix: &str) -> Self {
        Self::Text {
            prefix: prefix.to_owned(),
        }
    }

    /// Returns the name in the file. A name that has no counterpart is given the component's prefix, under which nothing is found.
    pub(in crate::model) fn stored(&self, name: &str) -> String {
        match self {
            Self::Same => name.to_owned(),
            Self::Unet { layers, attends } => {
                let original = unet(name, *layers, attends);
                format!("{UNET}{}", original.unwrap_or_else(|| name.to_owned()))
            }
            Self::Vae { prefix, levels } => {
                let original = vae(name, *levels);
                format!("{prefix}{}", original.unwrap_or_else(|| name.to_owned()))
            }
            Self::OpenClip { .. } => {
                let original = openclip(name.strip_prefix("text_model.").unwrap_or(name));
                format!("{OPENCLIP}{}", original.unwrap_or_else(|| name.to_owned()))
            }
            Self::Text { prefix } => {
                let bare = name.strip_prefix("text_model.").unwrap_or(name);
                let root = if prefix.ends_with("text_model.") {
                    ""
                } else {
                    "text_model."
                };
                let prefix = prefix.strip_suffix("text_model.").unwrap_or(prefix);
                format!("{prefix}{root}{bare}")
            }
        }
    }

    /// Returns whether a tensor of the file belongs to the component.
    pub(in crate::model) fn owns(&self, stored: &str) -> bool {
        match self {
            Self::Same => true,
            Self::Unet { .. } => stored.starts_with(UNET),
            Self::Vae { prefix, .. } => stored.strip_prefix(prefix).is_some_and(|bare| {
                // Files of training have its losses and moving averages too.
                let parts = ["encoder.", "decoder.", "quant_conv.", "post_quant_conv."];
                parts.iter().any(|part| bare.starts_with(part))
            }),
            Self::OpenClip { layers } => stored.strip_prefix(OPENCLIP).is_some_and(|bare| {
                let layer = bare.strip_prefix("transformer.resblocks.").and_then(number);
                match layer {
                    Some((layer, _)) => layer < *layers,
                    // The projection to CLIP's joint space and its scale are not used.
                    None => !matches!(bare, "text_projection" | "logit_scale" | "attn_mask"),
                }
            }),
            Self::Text { .. } => stored.starts_with(TEXT),
        }
    }

    /// Returns the tensors that one of the file stands for, with their shapes: the thirds of OpenCLIP's projections, else the tensor itself.
    pub(in crate::model) fn parts(
        &self,
        stored: String,
        shape: Vec<usize>,
    ) -> Vec<(String, Vec<usize>)> {
        let is_joint = matches!(self, Self::OpenClip { .. }) && stored.contains(".attn.in_proj_");
        match shape.split_first() {
            Some((rows, rest)) if is_joint && rows % 3 == 0 => THIRDS
                .iter()
                .map(|part| {
                    let shape = [&[rows / 3], rest].concat();
                    (format!("{stored}{SEPARATOR}{part}"), shape)
                })
                .collect(),
            _ => vec![(stored, shape)],
        }
    }
}

/// Splits the name of a part of a tensor ([`Naming::parts`]) into the tensor's name and which third of its rows the part is.
pub(in crate::model) fn third_of(stored: &str) -> Option<(&str, usize)> {
    let (tensor, part) = stored.split_once(SEPARATOR)?;
    let third = THIRDS.iter().position(|name| *name == part)?;
    Some((tensor, third))
}

/// Replaces the first part of a name by its counterpart in a table.
fn renamed(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table
        .iter()
        .find_map(|(part, original)| Some(format!("{original}{}", name.strip_prefix(part)?)))
}

/// Splits a number off the start of a name, with the point behind it.
fn number(name: &str) -> Option<(usize, &str)> {
    let (digits, rest) = name.split_once('.')?;
    Some((digits.parse().ok()?, rest))
}

fn unet(name: &str, layers: usize, attends: &[bool]) -> Option<String> {
    if let Some(end) = renamed(name, &UNET_ENDS) {
        return Some(end);
    }
    // A part of a block: which one, and its place in it.
    let part = |rest: &str, block: &dyn Fn(usize) -> String| -> Option<String> {
        if let Some(rest) = rest.strip_prefix("resnets.") {
            let (layer, rest) = number(rest)?;
            return Some(format!(
                "{}.0.{}",
                block(layer),
                renamed(rest, &UNET_BLOCK)?
            ));
        }
        let (layer, rest) = number(rest.strip_prefix("attentions.")?)?;
        Some(format!("{}.1.{rest}", block(layer)))
    };
    if let Some(rest) = name.strip_prefix("mid_block.") {
        if let Some(rest) = rest.strip_prefix("resnets.") {
            let (layer, rest) = number(rest)?;
            return Some(format!(
                "middle_block.{}.{}",
                2 * layer,
                renamed(rest, &UNET_BLOCK)?
            ));
        }
        return Some(format!(
            "middle_block.1.{}",
            rest.strip_prefix("attentions.0.")?
        ));
    }
    if let Some(rest) = name.strip_prefix("down_blocks.") {
        let (level, rest) = number(rest)?;
        let first = 1 + level * (layers + 1);
        if let Some(rest) = rest.strip_prefix("downsamplers.0.conv.") {
            return Some(format!("input_blocks.{}.0.op.{rest}", first + layers));
        }
        return part(rest, &|layer| format!("input_blocks.{}", first + layer));
    }
    let (level, rest) = number(name.strip_prefix("up_blocks.")?)?;
    let first = level * (layers + 1);
    if let Some(rest) = rest.strip_prefix("upsamplers.0.conv.") {
        let place = if attends.get(level) == Some(&true) {
            2
        } else {
            1
        };
        return Some(format!(
            "output_blocks.{}.{place}.conv.{rest}",
            first + layers
        ));
    }
    part(rest, &|layer| format!("output_blocks.{}", first + layer))
}

fn openclip(name: &str) -> Option<String> {
    if let Some(end) = renamed(name, &OPENCLIP_ENDS) {
        return Some(end);
    }
    let (layer, rest) = number(name.strip_prefix("encoder.layers.")?)?;
    let block = format!("transformer.resblocks.{layer}");
    if let Some(part) = renamed(rest, &OPENCLIP_LAYER) {
        return Some(format!("{block}.{part}"));
    }
    let (projection, kind) = rest.strip_prefix("self_attn.")?.split_once('.')?;
    THIRDS
        .contains(&projection)
        .then(|| format!("{block}.attn.in_proj_{kind}{SEPARATOR}{projection}"))
}

fn vae(name: &str, levels: usize) -> Option<String> {
    let block = |rest: &str| {
        rest.strip_prefix("conv_shortcut.")
            .map_or_else(|| rest.to_owned(), |rest| format!("nin_shortcut.{rest}"))
    };
    let Some((side, rest)) = name
        .split_once('.')
        .filter(|(side, _)| matches!(*side, "encoder" | "decoder"))
    else {
        // The convolutions between both.
        return Some(name.to_owned());
    };
    if let Some(rest) = rest.strip_prefix("conv_norm_out.") {
        return Some(format!("{side}.norm_out.{rest}"));
    }
    if let Some(rest) = rest.strip_prefix("mid_block.resnets.") {
        let (layer, rest) = number(rest)?;
        return Some(format!("{side}.mid.block_{}.{}", layer + 1, block(rest)));
    }
    if let Some(rest) = rest.strip_prefix("mid_block.attentions.0.") {
        return Some(format!(
            "{side}.mid.attn_1.{}",
            renamed(rest, &VAE_ATTENTION)?
        ));
    }
    let Some((kind, rest)) = ["down", "up"]
        .iter()
        .find_map(|kind| Some((*kind, rest.strip_prefix(&format!("{kind}_blocks."))?)))
    else {
        return Some(name.to_owned());
    };
    let (level, rest) = number(rest)?;
    // The original counts the decoder's levels from the finest.
    let level = if kind == "up" {
        levels.checked_sub(level + 1)?
    } else {
        level
    };
    if let Some(rest) = rest.strip_prefix(&format!("{kind}samplers.0.")) {
        return Some(format!("{side}.{kind}.{level}.{kind}sample.{rest}"));
    }
    let (layer, rest) = number(rest.strip_prefix("resnets.")?)?;
    Some(format!(
        "{side}.{kind}.{level}.block.{layer}.{}",
        block(rest)
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Original name, converted name, shape.
    type Tensor = (String, String, Vec<usize>);

    /// The names that diffusers' converter gives to every tensor of a small model.
    #[test]
    fn names_are_those_that_diffusers_converts() {
        let text = include_str!("../../../tests/fixtures/original_names.json");
        let names: BTreeMap<&str, Vec<Tensor>> =
            serde_json::from_str(text).expect("the fixture has this form");
        for (component, naming) in [
            ("unet", Naming::unet(2, &[false, true, true, true])),
            ("vae", Naming::vae("first_stage_model.", 4)),
            ("text_encoder", Naming::text(TEXT)),
        ] {
            for (original, converted, _) in &names[component] {
                assert_eq!(naming.stored(converted), *original);
                assert!(naming.owns(original), "{original}");
            }
        }
        let openclip = Naming::OpenClip { layers: 23 };
        let stored = |name: &str| openclip.stored(name);
        let root = "cond_stage_model.model.";
        for (name, original) in [
            (
                "text_model.embeddings.position_embedding.weight",
                "positional_embedding",
            ),
            (
                "embeddings.token_embedding.weight",
                "token_embedding.weight",
            ),
            ("final_layer_norm.bias", "ln_final.bias"),
            (
                "encoder.layers.22.mlp.fc2.weight",
                "transformer.resblocks.22.mlp.c_proj.weight",
            ),
        ] {
            assert_eq!(stored(name), format!("{root}{original}"));
            assert!(openclip.owns(&stored(name)));
        }
        let joint = format!("{root}transformer.resblocks.0.attn.in_proj_bias");
        let parts = openclip.parts(joint.clone(), vec![12]);
        let keys = stored("text_model.encoder.layers.0.self_attn.k_proj.bias");
        assert_eq!(parts[1], (keys.clone(), vec![4]));
        assert_eq!(third_of(&keys), Some((&*joint, 1)));
        for other in ["text_projection", "transformer.resblocks.23.ln_1.weight"] {
            assert!(!openclip.owns(&format!("{root}{other}")));
        }
        let short = Naming::text("cond_stage_model.transformer.text_model.");
        assert_eq!(
            short.stored("text_model.final_layer_norm.bias"),
            "cond_stage_model.transformer.final_layer_norm.bias"
        );
    }
}
