//! Where each value in force came from.

use serde::Serialize;
use serde_json::Value;

use super::{DESCRIPTIONS, Description, Overrides, Settings, json};
use crate::error::Result;

/// Who chose a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Its flag.
    Flag,
    /// Its environment variable.
    Environment,
    /// The drag file's `settings`.
    DragFile,
    /// The model's `dragnext.json`.
    Model,
    /// The mode that somebody chose: `literal` and `literal-strict` have defaults of their own.
    Mode,
    /// Nobody.
    Default,
}

impl Origin {
    /// The origin's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::DragFile => "drag file",
            Self::Model => "model",
            Self::Mode => "mode",
            Self::Default => "default",
        }
    }
}

/// Values that were given together, and who chose each of them.
pub struct Layer<'a> {
    /// The values.
    pub given: &'a Overrides,
    /// Who chose the setting of this name.
    pub origin: &'a dyn Fn(&str) -> Origin,
}

/// A setting with its value.
#[derive(Debug, Clone)]
pub struct InForce {
    /// What is known of it.
    pub setting: &'static Description,
    /// Its value, as in files.
    pub value: Value,
    /// What is meant where the value leaves the choice to the program.
    pub resolved: Option<Value>,
    /// Who chose it.
    pub origin: Origin,
}

/// All settings, the first layer that gives one deciding it. `model_size` is what a size of 0 means.
///
/// # Errors
/// As [`Settings::resolve`].
pub fn in_force(layers: &[Layer], model_size: usize) -> Result<Vec<InForce>> {
    let given = layers
        .iter()
        .fold(Overrides::default(), |above, layer| above.over(layer.given));
    let settings = Settings::resolve(&given)?;
    let (values, layers): (Value, Vec<(Value, &Layer)>) = (
        json(&settings),
        layers
            .iter()
            .map(|layer| (json(layer.given), layer))
            .collect(),
    );
    let list = DESCRIPTIONS.iter().map(|setting| {
        let name = setting.name;
        let value = values[name].clone();
        let chosen = layers
            .iter()
            .find(|(given, _)| given.get(name).is_some())
            .map(|(_, layer)| (layer.origin)(name));
        let unchosen = if value == setting.default() {
            Origin::Default
        } else {
            Origin::Mode
        };
        let resolved = match name {
            "ramp" => Some(settings.ramp_length()),
            "size" => Some(if settings.size == 0 {
                model_size
            } else {
                settings.size
            }),
            _ => None,
        };
        let resolved = resolved
            .map(Value::from)
            .filter(|resolved| *resolved != value);
        InForce {
            setting,
            value,
            resolved,
            origin: chosen.unwrap_or(unchosen),
        }
    });
    Ok(list.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Mode;

    #[test]
    fn every_value_knows_who_chose_it() {
        let flags = Overrides {
            lr: Some(0.5),
            seed: Some(1),
            ..Overrides::default()
        };
        let file = Overrides {
            lr: Some(0.1),
            mode: Some(Mode::Literal),
            steps: Some(50),
            ..Overrides::default()
        };
        let layers = [
            Layer {
                given: &flags,
                origin: &|name| {
                    if name == "seed" {
                        Origin::Environment
                    } else {
                        Origin::Flag
                    }
                },
            },
            Layer {
                given: &file,
                origin: &|_| Origin::DragFile,
            },
        ];
        let list = in_force(&layers, 256).expect("they are within bounds");
        let find = |name: &str| {
            list.iter()
                .find(|entry| entry.setting.name == name)
                .expect("it is a setting")
        };
        for (name, origin) in [
            ("lr", Origin::Flag),
            ("seed", Origin::Environment),
            ("mode", Origin::DragFile),
            ("steps", Origin::DragFile),
            ("start", Origin::Mode),
            ("iterations", Origin::Default),
        ] {
            assert_eq!(find(name).origin, origin, "{name}");
        }
        assert_eq!(
            (&find("lr").value, &find("lr").resolved),
            (&0.5.into(), &None)
        );
        assert_eq!(
            (&find("ramp").value, &find("ramp").resolved),
            (&"auto".into(), &Some(5.into()))
        );
        assert_eq!(
            (&find("size").value, &find("size").resolved),
            (&0.into(), &Some(256.into()))
        );
        assert_eq!(list.len(), DESCRIPTIONS.len());
    }
}
