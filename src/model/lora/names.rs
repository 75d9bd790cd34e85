//! What a tensor's name in a LoRA file means.

/// Which part of an adapter a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// (rank, in).
    Down,
    /// (out, rank).
    Up,
    /// The scale times the rank.
    Alpha,
}

/// A tensor's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The module in today's diffusers, such as `mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0`.
    pub(super) module: String,
    pub(super) half: Half,
}

/// Wrappers around a module's name.
const PREFIXES: [&str; 2] = ["base_model.model.", "unet."];

/// Ends of names. With `_lora` the module is an attention processor's, and the projection's name stands right before it.
const SUFFIXES: [(&str, Half); 11] = [
    (".lora_A.weight", Half::Down),
    (".lora_B.weight", Half::Up),
    (".lora_A.default.weight", Half::Down),
    (".lora_B.default.weight", Half::Up),
    (".lora.down.weight", Half::Down),
    (".lora.up.weight", Half::Up),
    ("_lora.down.weight", Half::Down),
    ("_lora.up.weight", Half::Up),
    (".lora.alpha", Half::Alpha),
    ("_lora.alpha", Half::Alpha),
    (".alpha", Half::Alpha),
];

impl Name {
    /// Takes a name of any known form apart.
    pub(super) fn parse(tensor: &str) -> Option<Self> {
        let bare = PREFIXES.iter().fold(tensor, |name, prefix| {
            name.strip_prefix(prefix).unwrap_or(name)
        });
        let (path, half) = SUFFIXES
            .iter()
            .find_map(|(suffix, half)| Some((bare.strip_suffix(suffix)?, *half)))?;
        let (attention, projection) = path.strip_suffix(".0").unwrap_or(path).rsplit_once('.')?;
        let attention = attention.strip_suffix(".processor").unwrap_or(attention);
        let projection = match projection {
            "to_q" | "to_k" | "to_v" if !path.ends_with(".0") => projection,
            "to_out" => "to_out.0",
            _ => return None,
        };
        Some(Self {
            module: format!("{attention}.{projection}"),
            half,
        })
    }
}

/// The kind of a tensor of another trainer, or of an adapter that is no LoRA.
pub(super) fn other_kind(tensor: &str) -> Option<&'static str> {
    const STARTS: [(&str, &str); 3] = [
        ("lora_unet_", "a LoRA in kohya's names"),
        ("lora_te", "a LoRA in kohya's names"),
        ("lycoris_", "a LyCORIS adapter"),
    ];
    const PARTS: [(&str, &str); 4] = [
        (".hada_", "a LoHa adapter"),
        (".lokr_", "a LoKr adapter"),
        (".dora_scale", "a DoRA adapter"),
        (".lora_magnitude_vector", "a DoRA adapter"),
    ];
    let part = PARTS.iter().find(|(part, _)| tensor.contains(part));
    part.or_else(|| STARTS.iter().find(|(start, _)| tensor.starts_with(start)))
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "mid_block.attentions.0.transformer_blocks.0.attn1.";

    #[test]
    fn every_form_means_the_same_module() {
        let forms = [
            ("unet.", "to_q.lora_A.weight", "to_q", Half::Down),
            ("", "to_q.lora_B.weight", "to_q", Half::Up),
            (
                "base_model.model.",
                "to_k.lora_A.default.weight",
                "to_k",
                Half::Down,
            ),
            (
                "base_model.model.unet.",
                "to_v.lora_B.default.weight",
                "to_v",
                Half::Up,
            ),
            ("unet.", "to_out.0.lora.down.weight", "to_out.0", Half::Down),
            ("unet.", "to_out.lora.up.weight", "to_out.0", Half::Up),
            (
                "unet.",
                "processor.to_out_lora.up.weight",
                "to_out.0",
                Half::Up,
            ),
            ("", "processor.to_q_lora.down.weight", "to_q", Half::Down),
            ("", "to_q.alpha", "to_q", Half::Alpha),
            ("unet.", "to_out.0.alpha", "to_out.0", Half::Alpha),
            ("unet.", "processor.to_q_lora.alpha", "to_q", Half::Alpha),
        ];
        for (prefix, form, projection, half) in forms {
            let tensor = format!("{prefix}{MODULE}{form}");
            assert_eq!(
                Name::parse(&tensor),
                Some(Name {
                    module: format!("{MODULE}{projection}"),
                    half
                }),
                "{tensor}"
            );
        }
    }

    #[test]
    fn other_layers_are_not_attentions() {
        for form in [
            "ff.net.2.lora_A.weight",
            "to_q.0.lora_A.weight",
            "to_q.weight",
            "to_q.lora_A",
            "to_q_lora.weight",
        ] {
            assert_eq!(Name::parse(&format!("unet.{MODULE}{form}")), None, "{form}");
        }
    }

    #[test]
    fn other_kinds_are_named() {
        let kohya =
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight";
        assert_eq!(other_kind(kohya), Some("a LoRA in kohya's names"));
        assert_eq!(
            other_kind("lora_unet_mid_block.hada_w1_a"),
            Some("a LoHa adapter")
        );
        assert_eq!(
            other_kind("unet.mid_block.attn1.to_q.lora_magnitude_vector"),
            Some("a DoRA adapter")
        );
        assert_eq!(other_kind("unet.mid_block.attn1.to_q.lora_A.weight"), None);
    }
}
