//! The names of tensors in LoRA files.

/// The role of a tensor in an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// (rank, in).
    Down,
    /// (out, rank).
    Up,
    /// The scale times the rank.
    Alpha,
}

/// A parsed name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The module in current diffusers, such as `mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0`.
    pub(super) module: String,
    pub(super) role: Role,
}

/// Prefixes of module names.
const PREFIXES: [&str; 2] = ["base_model.model.", "unet."];

/// Suffixes of names. With `_lora`, which attention processors have, the projection comes directly before it.
const SUFFIXES: [(&str, Role); 11] = [
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_A.default.weight", Role::Down),
    (".lora_B.default.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    ("_lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
    (".lora.alpha", Role::Alpha),
    ("_lora.alpha", Role::Alpha),
    (".alpha", Role::Alpha),
];

impl Name {
    /// Parses a name of any known form.
    pub(super) fn parse(tensor: &str) -> Option<Self> {
        let bare = PREFIXES.iter().fold(tensor, |name, prefix| {
            name.strip_prefix(prefix).unwrap_or(name)
        });
        let (path, role) = SUFFIXES
            .iter()
            .find_map(|(suffix, role)| Some((bare.strip_suffix(suffix)?, *role)))?;
        let (attention, projection) = path.strip_suffix(".0").unwrap_or(path).rsplit_once('.')?;
        let attention = attention.strip_suffix(".processor").unwrap_or(attention);
        let projection = match projection {
            "to_q" | "to_k" | "to_v" if !path.ends_with(".0") => projection,
            "to_out" => "to_out.0",
            _ => return None,
        };
        Some(Self {
            module: format!("{attention}.{projection}"),
            role,
        })
    }
}

/// Returns the kind of a tensor of another trainer, or of an adapter that is not a LoRA.
pub(super) fn other_kind(tensor: &str) -> Option<&'static str> {
    const STARTS: [(&str, &str); 3] = [
        ("lora_unet_", "a LoRA with kohya names"),
        ("lora_te", "a LoRA with kohya names"),
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
    fn every_form_names_the_same_module() {
        let forms = [
            ("unet.", "to_q.lora_A.weight", "to_q", Role::Down),
            ("", "to_q.lora_B.weight", "to_q", Role::Up),
            (
                "base_model.model.",
                "to_k.lora_A.default.weight",
                "to_k",
                Role::Down,
            ),
            (
                "base_model.model.unet.",
                "to_v.lora_B.default.weight",
                "to_v",
                Role::Up,
            ),
            ("unet.", "to_out.0.lora.down.weight", "to_out.0", Role::Down),
            ("unet.", "to_out.lora.up.weight", "to_out.0", Role::Up),
            (
                "unet.",
                "processor.to_out_lora.up.weight",
                "to_out.0",
                Role::Up,
            ),
            ("", "processor.to_q_lora.down.weight", "to_q", Role::Down),
            ("", "to_q.alpha", "to_q", Role::Alpha),
            ("unet.", "to_out.0.alpha", "to_out.0", Role::Alpha),
            ("unet.", "processor.to_q_lora.alpha", "to_q", Role::Alpha),
        ];
        for (prefix, form, projection, role) in forms {
            let tensor = format!("{prefix}{MODULE}{form}");
            assert_eq!(
                Name::parse(&tensor),
                Some(Name {
                    module: format!("{MODULE}{projection}"),
                    role
                }),
                "{tensor}"
            );
        }
    }

    #[test]
    fn other_layers_do_not_parse() {
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
    fn other_kinds_are_recognised() {
        let kohya =
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight";
        assert_eq!(other_kind(kohya), Some("a LoRA with kohya names"));
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
