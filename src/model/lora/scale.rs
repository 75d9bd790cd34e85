//! The scale of a LoRA without alpha tensors: `lora_alpha` of peft, from the file's header (diffusers) or from `adapter_config.json`
//! beside the file (peft).

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::model::safetensors::SafetensorsFile;

/// Key of the peft configuration in the header of diffusers.
const HEADER: &str = "lora_adapter_metadata";
/// File names of peft: the LoRA and the configuration beside it.
const PEFT: [&str; 2] = ["adapter_model.safetensors", "adapter_config.json"];

/// The scale of the product of `up` and `down`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The scale times the rank. Without it the scale is 1.
    alpha: Option<f64>,
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
        Ok(Self {
            alpha: None,
            is_rslora: false,
        })
    }

    fn parse(text: &str, location: &str) -> Result<Self> {
        let reject = |kind, reason| Error::Weights {
            path: location.into(),
            kind,
            reason,
            hint: "use a LoRA with one rank and one alpha".into(),
        };
        let values: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            reject(
                ErrorKind::WeightsDamaged,
                format!("its peft configuration is invalid: {error}"),
            )
        })?;
        // The header of a pipeline has one configuration per component, with the component before each key.
        let get = |key: &str| {
            values
                .get(&format!("unet.{key}"))
                .or_else(|| values.get(key))
                .filter(|value| !value.is_null())
        };
        let is_set = |key: &str| match get(key) {
            Some(Value::Bool(set)) => *set,
            Some(Value::Object(entries)) => !entries.is_empty(),
            other => other.is_some(),
        };
        if let Some(key) = ["use_dora", "alpha_pattern", "rank_pattern", "lora_bias"]
            .into_iter()
            .find(|key| is_set(key))
        {
            return Err(reject(
                ErrorKind::WeightsUnsupported,
                format!("it was trained with peft's `{key}`"),
            ));
        }
        let alpha = get("lora_alpha").map(|value| {
            value.as_f64().ok_or_else(|| {
                reject(
                    ErrorKind::WeightsDamaged,
                    format!("`lora_alpha` is {value}"),
                )
            })
        });
        Ok(Self {
            alpha: alpha.transpose()?,
            is_rslora: is_set("use_rslora"),
        })
    }

    /// Returns the factor of `up`. The alpha tensor of a module takes precedence.
    pub(super) fn factor(self, alpha: Option<f32>, rank: usize) -> f32 {
        let divisor = if self.is_rslora {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        alpha
            .map(f64::from)
            .or(self.alpha)
            .map_or(1.0, |alpha| (alpha / divisor) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "these quotients are exact")]
    fn alpha_is_divided_by_the_rank() {
        let none = Scale {
            alpha: None,
            is_rslora: false,
        };
        assert_eq!(
            (none.factor(None, 4), none.factor(Some(2.0), 4)),
            (1.0, 0.5)
        );
        let peft = Scale::parse(
            r#"{"unet.r": 4, "unet.lora_alpha": 8, "unet.alpha_pattern": {}}"#,
            "",
        )
        .expect("an ordinary configuration");
        assert_eq!(
            (peft.factor(None, 4), peft.factor(Some(1.0), 4)),
            (2.0, 0.25)
        );
        let root =
            Scale::parse(r#"{"lora_alpha": 8, "use_rslora": true}"#, "").expect("peft writes this");
        assert_eq!(root.factor(None, 4), 4.0);
    }

    #[test]
    fn configurations_without_a_common_factor_are_rejected() {
        for text in [
            r#"{"use_dora": true}"#,
            r#"{"alpha_pattern": {"to_q": 2}}"#,
            r#"{"lora_bias": true}"#,
        ] {
            assert_eq!(
                Scale::parse(text, "").expect_err("not supported").kind(),
                ErrorKind::WeightsUnsupported,
                "{text}"
            );
        }
    }
}
