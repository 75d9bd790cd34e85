//! Which LoRA files are of other families of models, or of kinds that are not merged: they are refused by name.

use std::collections::BTreeMap;

/// Returns what a file is that cannot be used, and the tensor that tells; `None` for one that may fit.
pub(super) fn other(shapes: &BTreeMap<String, Vec<usize>>) -> Option<(&str, &'static str)> {
    shapes
        .keys()
        .find_map(|tensor| Some((tensor.as_str(), kind_of(tensor)?)))
}

fn kind_of(tensor: &str) -> Option<&'static str> {
    const XL: &str = "a LoRA of Stable Diffusion XL";
    const FLUX: &str = "a LoRA of Flux or of another model with a transformer";
    const STARTS: [(&str, &str); 15] = [
        ("lora_te1_", XL),
        ("lora_te2_", XL),
        ("text_encoder_2.", XL),
        ("text_encoders.clip_g.", XL),
        ("lora_unet_label_emb_", XL),
        ("diffusion_model.label_emb.", XL),
        ("text_encoders.t5", FLUX),
        ("lora_te3_", "a LoRA of Stable Diffusion 3"),
        ("lora_unet_double_blocks_", FLUX),
        ("lora_unet_single_blocks_", FLUX),
        ("lora_unet_joint_blocks_", "a LoRA of Stable Diffusion 3"),
        ("lora_transformer_", FLUX),
        ("transformer.", FLUX),
        ("double_blocks.", FLUX),
        ("lycoris_", "a LyCORIS file whose names tell no component"),
    ];
    const PARTS: [(&str, &str); 8] = [
        (".dora_scale", "a DoRA adapter"),
        (".lora_magnitude_vector", "a DoRA adapter"),
        (
            ".lora_B.bias",
            "an adapter with biases (peft's `lora_bias`)",
        ),
        (".oft_", "an OFT adapter"),
        (".boft_", "an OFT adapter"),
        (".on_input", "an (IA)3 adapter"),
        (".a1.weight", "a GLoRA adapter"),
        ("ip_adapter.", "an IP-Adapter"),
    ];
    const UNET: [&str; 5] = [
        "input_blocks.",
        "middle_block.",
        "output_blocks.",
        "time_embed.",
        "out.",
    ];
    let start = STARTS.iter().find(|(start, _)| tensor.starts_with(start));
    let part = || PARTS.iter().find(|(part, _)| tensor.contains(part));
    if let Some((_, kind)) = start.or_else(part) {
        return Some(kind);
    }
    // ComfyUI gives all families this prefix; UNets have these parts.
    if let Some(rest) = tensor.strip_prefix("diffusion_model.")
        && !UNET.iter().any(|part| rest.starts_with(part))
    {
        return Some(FLUX);
    }
    // Transformers of Stable Diffusion XL have several blocks, those of 1.x and 2 have one.
    let is_unet = tensor.starts_with("lora_unet_") || tensor.contains("_blocks.");
    let later = ["transformer_blocks.", "transformer_blocks_"]
        .iter()
        .filter_map(|part| tensor.split_once(part))
        .any(|(_, rest)| !rest.starts_with("0.") && !rest.starts_with("0_"));
    (is_unet && later).then_some(XL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_by_names() {
        for (tensor, part) in [
            (
                "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha",
                Some("XL"),
            ),
            ("lora_unet_label_emb_0_0.lora_down.weight", Some("XL")),
            (
                "lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q.lora_down.weight",
                Some("XL"),
            ),
            (
                "diffusion_model.input_blocks.4.1.transformer_blocks.1.attn1.to_q.lora_up.weight",
                Some("XL"),
            ),
            (
                "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight",
                Some("Flux"),
            ),
            (
                "diffusion_model.blocks.0.attn.q.lora_A.weight",
                Some("Flux"),
            ),
            ("lora_unet_input_blocks_4_1_proj_in.lora_down.weight", None),
            ("diffusion_model.out.2.lora_up.weight", None),
            (
                "unet.down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q.lora_A.weight",
                Some("XL"),
            ),
            (
                "lora_unet_mid_block_attentions_0_transformer_blocks_9_ff_net_2.alpha",
                Some("XL"),
            ),
            (
                "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
                Some("Flux"),
            ),
            (
                "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight",
                Some("Flux"),
            ),
            (
                "lora_unet_mid_block_attentions_0_proj_in.dora_scale",
                Some("DoRA"),
            ),
            (
                "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
                None,
            ),
            (
                "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.alpha",
                None,
            ),
            ("lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", None),
        ] {
            let found = kind_of(tensor);
            assert_eq!(found.is_some(), part.is_some(), "{tensor}: {found:?}");
            assert!(
                found.unwrap_or_default().contains(part.unwrap_or_default()),
                "{tensor}: {found:?}"
            );
        }
    }
}
