//! The scale of a LoRA without alpha tensors: `lora_alpha` of peft, from the file's header (diffusers) or from `adapter_config.json`
//! beside the file (peft).

use std::path::Path;

use serde_json::{Map, Value};

use super::names::{Component, Module};
use crate::error::{Error, ErrorKind, Result};
use crate::model::safetensors::SafetensorsFile;

/// Key of the peft configuration in the header of diffusers.
const HEADER: &str = "lora_adapter_metadata";
/// File names of peft: the LoRA and the configuration beside it.
const PEFT: [&str; 2] = ["adapter_model.safetensors", "adapter_config.json"];

/// The scales of a file's adapters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scale {
    unet: ComponentScale,
    text_encoder: ComponentScale,
}

/// The scale of the adapters of one component.
#[derive(Debug, Clone, Default, PartialEq)]
struct ComponentScale {
    /// The scale times the rank. Without it the scale is 1.
    alpha: Option<f64>,
    /// The alphas of modules whose names end so.
    patterns: Vec<(String, f64)>,
    /// Divides by the square root of the rank instead (rsLoRA, arXiv 2312.03732).
    is_rslora: bool,
}

impl Scale {
    /// Reads the peft configuration of the file at `path`, if it has one.
    pub(super) fn read(file: &SafetensorsFile, path: &Path) -> Result<Self> {
        if let Some(text) = file.metadata().get(HEADER) {
            return Self::parse(text, file.location());
        }
        if path.file_name().is_some_and(|name| name == PEFT[0]) {
            let path = path.with_file_name(PEFT[1]);
            match std::fs::read_to_string(&path) {
                Ok(text) => return Self::parse(&text, &path.display().to_string()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::File { path, source }),
            }
        }
        Ok(Self::default())
    }

    fn parse(text: &str, location: &str) -> Result<Self> {
        let values: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            reject(
                location,
                ErrorKind::WeightsDamaged,
                format!("its peft configuration is invalid: {error}"),
            )
        })?;
        Ok(Self {
            unet: ComponentScale::parse(&values, Component::UNet, location)?,
            text_encoder: ComponentScale::parse(&values, Component::TextEncoder, location)?,
        })
    }

    /// Returns the factor of an adapter. The alpha tensor of a module takes precedence. Adapters without a rank have no scale.
    pub(super) fn factor(&self, module: &Module, alpha: Option<f32>, rank: Option<usize>) -> f32 {
        let scale = match module.component {
            Component::UNet => &self.unet,
            Component::TextEncoder => &self.text_encoder,
        };
        let Some(rank) = rank else { return 1.0 };
        let divisor = if scale.is_rslora {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        let of_pattern = |(name, alpha): &(String, f64)| {
            let is_it = module
                .path
                .strip_suffix(&**name)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
            is_it.then_some(*alpha)
        };
        alpha
            .map(f64::from)
            .or_else(|| scale.patterns.iter().find_map(of_pattern))
            .or(scale.alpha)
            .map_or(1.0, |alpha| (alpha / divisor) as f32)
    }
}

impl ComponentScale {
    /// Parses one component's configuration. The header of a pipeline has one for each, with the component before each key.
    fn parse(values: &Map<String, Value>, component: Component, location: &str) -> Result<Self> {
        let part = match component {
            Component::UNet => "unet",
            Component::TextEncoder => "text_encoder",
        };
        let get = |key: &str| {
            values
                .get(&format!("{part}.{key}"))
                .or_else(|| values.get(key))
                .filter(|value| !value.is_null())
        };
        let is_set = |key: &str| match get(key) {
            Some(Value::Bool(set)) => *set,
            Some(Value::Object(entries)) => !entries.is_empty(),
            other => other.is_some(),
        };
        if let Some(key) = ["use_dora", "lora_bias"]
            .into_iter()
            .find(|key| is_set(key))
        {
            return Err(reject(
                location,
                ErrorKind::WeightsUnsupported,
                format!("it was trained with peft's `{key}`"),
            ));
        }
        let number = |key: &str, value: &Value| {
            value.as_f64().ok_or_else(|| {
                reject(
                    location,
                    ErrorKind::WeightsDamaged,
                    format!("`{key}` is {value}"),
                )
            })
        };
        let patterns = get("alpha_pattern").and_then(Value::as_object);
        Ok(Self {
            alpha: get("lora_alpha")
                .map(|value| number("lora_alpha", value))
                .transpose()?,
            patterns: patterns
                .into_iter()
                .flatten()
                .map(|(name, value)| Ok((Module::of(component, name).path, number(name, value)?)))
                .collect::<Result<_>>()?,
            is_rslora: is_set("use_rslora"),
        })
    }
}

fn reject(location: &str, kind: ErrorKind, reason: String) -> Error {
    Error::Weights {
        path: location.into(),
        kind,
        reason,
        hint: "use a LoRA with low-rank matrices alone".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "these quotients are exact")]
    fn alpha_is_divided_by_the_rank() {
        let module = Module::of(Component::UNet, "mid_block.attn1.to_q");
        let factor = |scale: &Scale, alpha| scale.factor(&module, alpha, Some(4));
        let none = Scale::default();
        assert_eq!((factor(&none, None), factor(&none, Some(2.0))), (1.0, 0.5));
        assert_eq!(none.factor(&module, Some(2.0), None), 1.0);
        let parse = |text| Scale::parse(text, "").expect("peft writes this");
        let peft = parse(r#"{"unet.r": 4, "unet.lora_alpha": 8, "unet.alpha_pattern": {}}"#);
        assert_eq!((factor(&peft, None), factor(&peft, Some(1.0))), (2.0, 0.25));
        let text = Module::of(Component::TextEncoder, "encoder.layers.0.mlp.fc1");
        let factor_of = |scale: &Scale, module: &Module| scale.factor(module, None, Some(4));
        assert_eq!(peft.factor(&text, None, Some(4)), 1.0);
        let root = parse(r#"{"lora_alpha": 8, "use_rslora": true}"#);
        assert_eq!(factor(&root, None), 4.0);
        let one = parse(r#"{"lora_alpha": 8, "alpha_pattern": {"attn1.to_q": 2, "to_k": 3}}"#);
        assert_eq!(factor(&one, None), 0.5);
        let of_text =
            parse(r#"{"text_encoder.alpha_pattern": {"text_model.encoder.layers.0.mlp.fc1": 2}}"#);
        assert_eq!(factor_of(&of_text, &text), 0.5);
        let other = Module::of(Component::UNet, "mid_block.xattn1.to_q");
        assert_eq!(one.factor(&other, None, Some(4)), 2.0);
    }

    #[test]
    fn configurations_of_other_adapters_are_rejected() {
        for text in [r#"{"use_dora": true}"#, r#"{"lora_bias": true}"#] {
            assert_eq!(
                Scale::parse(text, "").expect_err("not supported").kind(),
                ErrorKind::WeightsUnsupported,
                "{text}"
            );
        }
    }
}
