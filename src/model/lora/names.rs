//! The names of tensors in LoRA files: which module of which component a tensor belongs to, and its part in the adapter.
//!
//! Kohya's trainer replaces the points in a module's name by underscores, which cannot be undone. Modules of all dialects are therefore compared in that
//! form, with diffusers' names.

use super::original;

/// A component of a model that an adapter may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The noise predictor.
    UNet,
    /// The prompt encoder.
    TextEncoder,
}

/// The part of a tensor in an adapter, by the kind of adapter: LoRA and LoCon, LoHa (arXiv 2108.06098), LoKr (arXiv 2309.14859), whole differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// (rank, in) or (rank, in, k, k).
    Down,
    /// (out, rank).
    Up,
    /// (rank, rank, k, k), between both.
    Mid,
    /// The scale times the rank.
    Alpha,
    /// `hada_w1_a` (out, rank), or (rank, out) with a core; those that follow accordingly.
    HadaW1a,
    HadaW1b,
    HadaW2a,
    HadaW2b,
    /// A core (rank, rank, k, k).
    HadaT1,
    HadaT2,
    /// The left factor, whole or as a product.
    KronW1,
    KronW1a,
    KronW1b,
    /// The right factor, whole, as a product, or with a core.
    KronW2,
    KronW2a,
    KronW2b,
    KronT2,
    /// Added to the weight as it is.
    Weight,
    /// Added to the bias as it is.
    Bias,
}

/// A module of a component, its points replaced by underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Module {
    pub(super) component: Component,
    pub(super) path: String,
}

/// A parsed name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) module: Module,
    pub(super) part: Part,
}

/// Prefixes of each component.
const PREFIXES: [(&str, Component); 6] = [
    ("text_encoder.", Component::TextEncoder),
    // ComfyUI names modules as its checkpoints do.
    ("text_encoders.clip_l.transformer.", Component::TextEncoder),
    ("lora_te_", Component::TextEncoder),
    ("lora_unet_", Component::UNet),
    ("unet.", Component::UNet),
    ("diffusion_model.", Component::UNet),
];

/// Suffixes of names. With `_lora`, which attention processors have, the projection comes directly before it.
const SUFFIXES: [(&str, Part); 33] = [
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_A.default.weight", Part::Down),
    (".lora_B.default.weight", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora_mid.weight", Part::Mid),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    ("_lora.down.weight", Part::Down),
    ("_lora.up.weight", Part::Up),
    (".lora.alpha", Part::Alpha),
    ("_lora.alpha", Part::Alpha),
    (".alpha", Part::Alpha),
    (".hada_w1_a", Part::HadaW1a),
    (".hada_w1_b", Part::HadaW1b),
    (".hada_w2_a", Part::HadaW2a),
    (".hada_w2_b", Part::HadaW2b),
    (".hada_t1", Part::HadaT1),
    (".hada_t2", Part::HadaT2),
    (".lokr_w1", Part::KronW1),
    (".lokr_w1_a", Part::KronW1a),
    (".lokr_w1_b", Part::KronW1b),
    (".lokr_w2", Part::KronW2),
    (".lokr_w2_a", Part::KronW2a),
    (".lokr_w2_b", Part::KronW2b),
    (".lokr_t2", Part::KronT2),
    // Whole differences, also of biases and of normalisation layers.
    (".diff", Part::Weight),
    (".diff_b", Part::Bias),
    (".w_norm", Part::Weight),
    (".b_norm", Part::Bias),
];

/// What stands before the modules of the UNet in files without a prefix.
const UNET_STARTS: [&str; 6] = [
    "down_blocks.",
    "mid_block.",
    "up_blocks.",
    "conv_in.",
    "conv_out.",
    "time_embedding.",
];

/// Projections of a text encoder in diffusers' former names, and those of transformers.
const TEXT_PROJECTIONS: [(&str, &str); 4] = [
    ("_to_q", "_q_proj"),
    ("_to_k", "_k_proj"),
    ("_to_v", "_v_proj"),
    ("_to_out", "_out_proj"),
];

impl Name {
    /// Parses a name of any known form.
    pub(super) fn parse(tensor: &str) -> Option<Self> {
        let bare = tensor.strip_prefix("base_model.model.").unwrap_or(tensor);
        let (component, rest) = match PREFIXES
            .iter()
            .find_map(|(prefix, component)| Some((*component, bare.strip_prefix(prefix)?)))
        {
            Some(found) => found,
            None if UNET_STARTS.iter().any(|start| bare.starts_with(start)) => {
                (Component::UNet, bare)
            }
            None if bare.starts_with("text_model.") => (Component::TextEncoder, bare),
            None => return None,
        };
        let (path, part) = SUFFIXES
            .iter()
            .find_map(|(suffix, part)| Some((rest.strip_suffix(suffix)?, *part)))?;
        if path.is_empty() || path.starts_with('.') {
            return None;
        }
        let path = underscored(&path.replace(".processor.", "."));
        let mut path = match component {
            Component::UNet if original::is_original(&path) => original::in_diffusers(&path)?,
            Component::UNet => path,
            Component::TextEncoder => {
                let renamed = TEXT_PROJECTIONS
                    .iter()
                    .find_map(|(old, new)| Some(format!("{}{new}", path.strip_suffix(old)?)));
                of_text(&renamed.unwrap_or(path)).to_owned()
            }
        };
        // The output projection is the first of a list, which former names leave out.
        if path.ends_with("_to_out") {
            path.push_str("_0");
        }
        Some(Self {
            module: Module { component, path },
            part,
        })
    }
}

impl Module {
    /// Returns the module of a component with this name in diffusers' layout.
    pub(super) fn of(component: Component, name: &str) -> Self {
        let path = underscored(name);
        let path = match component {
            Component::UNet => path,
            Component::TextEncoder => of_text(&path).to_owned(),
        };
        Self { component, path }
    }

    /// Returns whether this is a query, key, value or output projection of the UNet, on which a LoRA is trained for a picture.
    pub(super) fn is_attention(&self) -> bool {
        let projections = ["to_q", "to_k", "to_v", "to_out_0"];
        let is_projection = |attention: &str| {
            projections
                .iter()
                .any(|projection| self.path.ends_with(&format!("_{attention}_{projection}")))
        };
        self.component == Component::UNet && (is_projection("attn1") || is_projection("attn2"))
    }

    /// Returns whether it reads the prompt.
    pub(super) fn reads_prompt(&self) -> bool {
        self.component == Component::UNet
            && (self.path.ends_with("_attn2_to_k") || self.path.ends_with("_attn2_to_v"))
    }
}

fn underscored(name: &str) -> String {
    name.replace('.', "_")
}

/// Returns a module of the text encoder without the prefix that newer transformers leave out.
fn of_text(path: &str) -> &str {
    path.strip_prefix("text_model_").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "mid_block.attentions.0.transformer_blocks.0.attn1.";

    fn parsed(tensor: &str) -> (Module, Part) {
        let name = Name::parse(tensor).unwrap_or_else(|| panic!("`{tensor}` is known"));
        (name.module, name.part)
    }

    #[test]
    fn every_form_names_the_same_module() {
        let kohya = format!("lora_unet_{}", underscored(MODULE));
        for (tensor, projection, part) in [
            (
                format!("unet.{MODULE}to_q.lora_A.weight"),
                "to_q",
                Part::Down,
            ),
            (format!("{MODULE}to_q.lora_B.weight"), "to_q", Part::Up),
            (
                format!("base_model.model.{MODULE}to_k.lora_A.default.weight"),
                "to_k",
                Part::Down,
            ),
            (
                format!("base_model.model.unet.{MODULE}to_v.lora_B.default.weight"),
                "to_v",
                Part::Up,
            ),
            (
                format!("unet.{MODULE}to_out.0.lora.down.weight"),
                "to_out.0",
                Part::Down,
            ),
            (
                format!("unet.{MODULE}to_out.lora.up.weight"),
                "to_out.0",
                Part::Up,
            ),
            (
                format!("unet.{MODULE}processor.to_out_lora.up.weight"),
                "to_out.0",
                Part::Up,
            ),
            (
                format!("{MODULE}processor.to_q_lora.down.weight"),
                "to_q",
                Part::Down,
            ),
            (format!("{MODULE}to_q.alpha"), "to_q", Part::Alpha),
            (
                format!("unet.{MODULE}processor.to_q_lora.alpha"),
                "to_q",
                Part::Alpha,
            ),
            (format!("{kohya}to_q.lora_down.weight"), "to_q", Part::Down),
            (
                format!("{kohya}to_out_0.lora_up.weight"),
                "to_out.0",
                Part::Up,
            ),
            (
                format!("{kohya}to_out_0.hada_w1_a"),
                "to_out.0",
                Part::HadaW1a,
            ),
            (format!("{kohya}to_k.lokr_w2"), "to_k", Part::KronW2),
            (format!("{kohya}to_k.diff"), "to_k", Part::Weight),
            (
                "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_v.lora_down.weight".into(),
                "to_v",
                Part::Down,
            ),
            (
                "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_out.0.lora_up.weight"
                    .into(),
                "to_out.0",
                Part::Up,
            ),
        ] {
            let module = Module::of(Component::UNet, &format!("{MODULE}{projection}"));
            assert!(module.is_attention());
            assert_eq!(parsed(&tensor), (module, part), "{tensor}");
        }
    }

    #[test]
    fn layers_of_the_text_encoder_have_one_name_too() {
        let module = Module::of(
            Component::TextEncoder,
            "text_model.encoder.layers.3.self_attn.q_proj",
        );
        assert_eq!(
            module,
            Module::of(Component::TextEncoder, "encoder.layers.3.self_attn.q_proj")
        );
        for tensor in [
            "lora_te_text_model_encoder_layers_3_self_attn_q_proj.lora_down.weight",
            "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_A.weight",
            "text_encoder.encoder.layers.3.self_attn.q_proj.lora_A.weight",
            "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.down.weight",
            "text_encoder.text_model.encoder.layers.3.self_attn.to_q_lora.down.weight",
            "base_model.model.text_model.encoder.layers.3.self_attn.q_proj.lora_A.weight",
            "text_encoders.clip_l.transformer.text_model.encoder.layers.3.self_attn.q_proj.lora_down.weight",
        ] {
            assert_eq!(parsed(tensor), (module.clone(), Part::Down), "{tensor}");
        }
        assert!(!module.is_attention());
    }

    #[test]
    fn other_tensors_do_not_parse() {
        for tensor in [
            "unet.mid_block.to_q.weight",
            "unet.mid_block.to_q.lora_A",
            "unet.mid_block.to_q_lora.weight",
            "unet..lora_A.weight",
            "unet.lora_A.weight",
            "transformer.to_q.lora_A.weight",
            "lora_unet_input_blocks_40_1_proj_in.lora_down.weight",
            ".lora_A.weight",
        ] {
            assert_eq!(Name::parse(tensor), None, "{tensor}");
        }
    }
}
