//! The settings in force, and the source of each value.

use serde::Serialize;
use serde_json::Value;

use super::{Choice, Settings};
use crate::error::Result;
use crate::method::Method;
use crate::settings::{Description, Group, Overrides, SHARED, json};

/// Source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Its flag.
    Flag,
    /// Its environment variable.
    Environment,
    /// The drag file.
    DragFile,
    /// The model's `dragnext.json`.
    Model,
    /// The method or its mode, whose default differs from the usual one.
    Mode,
    /// The default.
    Default,
}

impl Origin {
    /// Returns the origin's name for people.
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

/// A choice of one source.
pub struct Layer<'a> {
    /// What the source gives.
    pub choice: &'a Choice,
    /// Returns the source of the setting of this name.
    pub origin: &'a dyn Fn(&str) -> Origin,
}

/// A setting with its value in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The group that it belongs to.
    pub group: Group,
    /// The setting.
    pub setting: &'static Description,
    /// Its value, as in files.
    pub value: Value,
    /// The value that the program chooses where `value` leaves the choice to it.
    pub resolved: Option<Value>,
    /// Source of the value.
    pub origin: Origin,
}

/// Resolves layers, the first of highest precedence and the last the model's, and returns the method with every setting of it and of the
/// shared groups that it uses. `model_size` is the value of a size of 0.
///
/// # Errors
/// As [`Settings::resolve`].
pub fn in_force(layers: &[Layer], model_size: usize) -> Result<(Method, Vec<InForce>)> {
    let given = merged(layers);
    let settings = Settings::resolve(&given)?;
    let method = settings.method.method();
    let values = settings.values();
    let mut resolved: Overrides = settings.method.resolved();
    resolved.set("size", settings.frame.working_size(model_size));
    let groups = std::iter::once(method.group()).chain(SHARED);
    let settings =
        groups.flat_map(|group| group.settings.iter().map(move |setting| (group, setting)));
    let settings = settings.filter(|(_, setting)| method.uses(setting.name));
    let list = settings.map(|(group, setting)| {
        let value = values.get(setting.name).cloned().unwrap_or_default();
        let source = layers.iter().find(|layer| {
            given.values.get(setting.name).is_some()
                && layer.choice.values.get(setting.name).is_some()
        });
        let unchosen = if value == json(&setting.default()) {
            Origin::Default
        } else {
            Origin::Mode
        };
        InForce {
            group,
            setting,
            resolved: resolved
                .get(setting.name)
                .filter(|resolved| **resolved != value)
                .cloned(),
            origin: source.map_or(unchosen, |layer| (layer.origin)(setting.name)),
            value,
        }
    });
    Ok((method, list.collect()))
}

/// Returns all layers laid over each other.
fn merged(layers: &[Layer]) -> Choice {
    let Some((model, above)) = layers.split_last() else {
        return Choice::default();
    };
    let above = above
        .iter()
        .fold(Choice::default(), |above, layer| above.over(layer.choice));
    above.over_model(model.choice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_its_source() {
        let flags = Choice::of(Overrides::from([("lr", json!(0.5)), ("seed", json!(1))]));
        let file = Choice::of(Overrides::from([
            ("lr", json!(0.1)),
            ("mode", json!("literal")),
            ("steps", json!(50)),
        ]));
        let model = Choice::of(Overrides::from([("margin", 8)]));
        let layers = [
            Layer {
                choice: &flags,
                origin: &|name| {
                    if name == "seed" {
                        Origin::Environment
                    } else {
                        Origin::Flag
                    }
                },
            },
            Layer {
                choice: &file,
                origin: &|_| Origin::DragFile,
            },
            Layer {
                choice: &model,
                origin: &|_| Origin::Model,
            },
        ];
        let (method, list) = in_force(&layers, 256).expect("the values are within bounds");
        assert_eq!(method, Method::Pbsi);
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
            ("margin", Origin::Model),
            ("start", Origin::Mode),
            ("iterations", Origin::Mode),
            ("lora_rank", Origin::Default),
        ] {
            assert_eq!(find(name).origin, origin, "{name}");
        }
        let shown = |name: &str| (find(name).value.clone(), find(name).resolved.clone());
        assert_eq!(shown("lr"), (json!(0.5), None));
        assert_eq!(shown("ramp"), (json!("auto"), Some(json!(5))));
        assert_eq!(shown("size"), (json!(0), Some(json!(256))));
    }
}
