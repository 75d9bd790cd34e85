//! Modules of the UNet under their names in the original layout of Stable Diffusion 1.x and 2, as some trainers write them.
//!
//! These models have two residual blocks at each level, so that the number of a block tells its level. A LoRA of Stable Diffusion XL can have the same
//! names; its shapes tell it apart.

use crate::model::original::{UNET_BLOCK, UNET_ENDS};

/// Blocks of a level in the encoder, with the one that halves the size, and in the decoder.
const BLOCKS: usize = 3;
/// Levels.
const LEVELS: usize = 4;

/// Starts of names in the original layout, with underscores.
const STARTS: [&str; 5] = [
    "input_blocks_",
    "middle_block_",
    "output_blocks_",
    "time_embed_",
    "out_",
];

/// Returns whether a module's name, with underscores, is one of the original layout.
pub(super) fn is_original(path: &str) -> bool {
    STARTS.iter().any(|start| path.starts_with(start))
}

/// Returns a module's name in diffusers' layout for that in the original layout, both with underscores; `None` where there is no such module.
pub(super) fn in_diffusers(path: &str) -> Option<String> {
    if let Some(end) = replaced(path, &UNET_ENDS) {
        return Some(end);
    }
    if let Some(rest) = path.strip_prefix("middle_block_") {
        return match number(rest)? {
            (1, rest) => Some(format!("mid_block_attentions_0_{rest}")),
            (place @ (0 | 2), rest) => {
                let part = replaced(rest, &UNET_BLOCK)?;
                Some(format!("mid_block_resnets_{}_{part}", place / 2))
            }
            _ => None,
        };
    }
    let (index, rest, side, sampler) = if let Some(rest) = path.strip_prefix("input_blocks_") {
        let (index, rest) = number(rest)?;
        // The first block is the convolution before all levels.
        (index.checked_sub(1)?, rest, "down", "op")
    } else {
        let (index, rest) = number(path.strip_prefix("output_blocks_")?)?;
        (index, rest, "up", "conv")
    };
    let (level, layer) = (index / BLOCKS, index % BLOCKS);
    let (place, rest) = number(rest)?;
    if level >= LEVELS {
        return None;
    }
    // The last layer of a level resizes: on its own in the encoder, and behind the block and its attention in the decoder.
    if rest == sampler && layer == BLOCKS - 1 && place <= 2 {
        return Some(format!("{side}_blocks_{level}_{side}samplers_0_conv"));
    }
    match place {
        0 => {
            let part = replaced(rest, &UNET_BLOCK)?;
            Some(format!("{side}_blocks_{level}_resnets_{layer}_{part}"))
        }
        1 => Some(format!("{side}_blocks_{level}_attentions_{layer}_{rest}")),
        _ => None,
    }
}

/// Returns the counterpart of a whole name in a table of names in diffusers' layout and in the original one, which end in points.
fn replaced(name: &str, table: &[(&str, &str)]) -> Option<String> {
    let underscored = |name: &str| name.trim_end_matches('.').replace('.', "_");
    table
        .iter()
        .find(|(_, original)| underscored(original) == name)
        .map(|(converted, _)| underscored(converted))
}

/// Splits a number off the start of a name, with the underscore behind it.
fn number(name: &str) -> Option<(usize, &str)> {
    let (digits, rest) = name.split_once('_')?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Original name, converted name, shape.
    type Tensor = (String, String, Vec<usize>);

    /// The names that diffusers' converter gives to every module of a UNet.
    #[test]
    fn names_are_those_that_diffusers_converts() {
        let text = include_str!("../../../tests/fixtures/original_names.json");
        let names: BTreeMap<&str, Vec<Tensor>> =
            serde_json::from_str(text).expect("the fixture has this form");
        let module = |name: &str| {
            let name = name
                .strip_suffix(".weight")
                .or_else(|| name.strip_suffix(".bias"));
            name.expect("a weight or a bias").replace('.', "_")
        };
        for (original, converted, _) in &names["unet"] {
            let original = original
                .strip_prefix("model.diffusion_model.")
                .expect("a part of the UNet");
            let original = module(original);
            assert!(is_original(&original), "{original}");
            assert_eq!(in_diffusers(&original), Some(module(converted)));
        }
    }

    #[test]
    fn other_names_have_no_counterpart() {
        for name in [
            "input_blocks_0_1_proj_in",
            "input_blocks_13_0_in_layers_2",
            "input_blocks_1_2_conv",
            "input_blocks_1_0_op",
            "input_blocks_x_0_op",
            "output_blocks_12_0_in_layers_2",
            "output_blocks_1_2_conv",
            "middle_block_3_in_layers_2",
            "middle_block_1",
            "input_blocks_1_0_in_layers_1",
            "time_embed_1",
            "out_1",
            "down_blocks_0_attentions_0_proj_in",
            "input_blocks_99999999999999999999_0_op",
            "",
        ] {
            assert_eq!(in_diffusers(name), None, "{name}");
        }
    }
}
