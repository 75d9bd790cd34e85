//! The factor of a LoRA where no tensor gives it: peft's `lora_alpha`, in the file's header (diffusers) or in
//! `adapter_config.json` beside it (peft).

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::model::safetensors::SafetensorsFile;

/// Where diffusers keeps peft's configuration in a header.
const HEADER: &str = "lora_adapter_metadata";
/// What peft calls a LoRA, and the configuration beside it.
const PEFT: [&str; 2] = ["adapter_model.safetensors", "adapter_config.json"];

/// How the product of `up` and `down` is scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The scale times the rank; without it the scale is 1.
    alpha: Option<f64>,
    /// Divides by the root of the rank instead (arXiv 2312.03732).
    root: bool,
}

impl Scale {
    /// Reads peft's configuration of the file at `path`, if it has one.
    pub(super) fn read(file: &SafetensorsFile, path: &Path) -> Result<Self> {
        if let Some(text) = file.notes().get(HEADER) {
            return Self::parse(text, file.place());
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
            root: false,
        })
    }

    fn parse(text: &str, place: &str) -> Result<Self> {
        let refuse = |kind, reason| Error::Weights {
            path: place.into(),
            kind,
            reason,
            hint: "LoRAs with one rank and one alpha are read".into(),
        };
        let values: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            refuse(
                ErrorKind::WeightsDamaged,
                format!("its peft configuration is broken: {error}"),
            )
        })?;
        // A pipeline's header has one configuration per part, with the part before each key.
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
            return Err(refuse(
                ErrorKind::WeightsUnsupported,
                format!("it was trained with peft's `{key}`"),
            ));
        }
        let alpha = get("lora_alpha").map(|value| {
            value.as_f64().ok_or_else(|| {
                refuse(
                    ErrorKind::WeightsDamaged,
                    format!("`lora_alpha` is {value}"),
                )
            })
        });
        Ok(Self {
            alpha: alpha.transpose()?,
            root: is_set("use_rslora"),
        })
    }

    /// What `up` is multiplied by; a module's own alpha goes first.
    pub(super) fn factor(self, own: Option<f32>, rank: usize) -> f32 {
        let divisor = if self.root {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        own.map(f64::from)
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
            root: false,
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
    fn what_one_factor_cannot_say_is_refused() {
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
