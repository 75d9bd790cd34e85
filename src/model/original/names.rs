//! The names of tensors in original checkpoints for those in diffusers' layout.

use super::checkpoint::UNET;

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
    /// As in diffusers' layout, with another prefix in place of `text_model.` or before it.
    Text {
        /// What stands before the names.
        prefix: String,
    },
}

/// Parts of residual blocks of the UNet.
const UNET_BLOCK: [(&str, &str); 6] = [
    ("norm1.", "in_layers.0."),
    ("conv1.", "in_layers.2."),
    ("time_emb_proj.", "emb_layers.1."),
    ("norm2.", "out_layers.0."),
    ("conv2.", "out_layers.3."),
    ("conv_shortcut.", "skip_connection."),
];
/// Parts of the UNet outside its blocks.
const UNET_ENDS: [(&str, &str); 5] = [
    ("conv_in.", "input_blocks.0.0."),
    ("time_embedding.linear_1.", "time_embed.0."),
    ("time_embedding.linear_2.", "time_embed.2."),
    ("conv_norm_out.", "out.0."),
    ("conv_out.", "out.2."),
];
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
            Self::Text { .. } => stored.starts_with(super::checkpoint::TEXT),
        }
    }
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
            ("text_encoder", Naming::text(super::super::checkpoint::TEXT)),
        ] {
            for (original, converted, _) in &names[component] {
                assert_eq!(naming.stored(converted), *original);
                assert!(naming.owns(original), "{original}");
            }
        }
        let short = Naming::text("cond_stage_model.transformer.text_model.");
        assert_eq!(
            short.stored("text_model.final_layer_norm.bias"),
            "cond_stage_model.transformer.final_layer_norm.bias"
        );
    }
}
