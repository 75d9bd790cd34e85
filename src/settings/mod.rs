//! What a setting is, and the settings that every method shares.
//!
//! A group of settings is declared once with [`settings!`]: name, type, default, bounds and source of each. From that come a struct of
//! resolved values and a table of [`Description`]s, which the help, the drag file's reader, the JSON schema and `dragnext settings` read.
//! Values that a user gives, before they are resolved, are [`Overrides`]: a map from names to values, because several methods may have a
//! setting of one name with defaults of their own.
//!
//! This module knows no method. [`crate::method`] declares the methods' own groups, and [`crate::plan::Settings`] resolves all groups for
//! one edit.

mod auto;
mod diffusion;
mod form;
mod frame;
mod lora;
mod overrides;
mod warp;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

pub(crate) use auto::{auto_or_number, serialize as serialize_auto};
pub use diffusion::{DiffusionSettings, TrajectoryChoice};
pub use form::{Form, Misfit, either};
pub use frame::{FrameSettings, WindowChoice};
pub use lora::{LoraSeed, LoraSettings};
pub use overrides::Overrides;
pub use warp::{FillChoice, ObjectChoice, SeamChoice, WarpSettings};

/// One setting: its name, what it may be, and where its default comes from.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Name in files; on the command line `_` is written `-`.
    pub name: &'static str,
    /// The values it takes.
    pub form: Form,
    /// What it does, as its documentation has it.
    pub documentation: &'static str,
    /// Source of the default: paper, equation or table.
    pub source: &'static str,
    /// Returns the default value, as in files.
    pub default: fn() -> Value,
}

impl Description {
    /// Returns what the setting does, in one line.
    pub fn text(&self) -> &'static str {
        self.documentation.trim()
    }

    /// Returns the default value, as in files.
    pub fn default(&self) -> Value {
        (self.default)()
    }
}

/// The settings of one subject, such as the LoRA, or of one method.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Heading of the group in the help, such as `Settings of the LoRA`.
    pub heading: &'static str,
    /// Its settings, in the order of the help.
    pub settings: &'static [Description],
}

impl Group {
    /// Returns the setting of this name.
    pub fn find(&self, name: &str) -> Option<&'static Description> {
        self.settings.iter().find(|setting| setting.name == name)
    }
}

/// The groups that every method shares.
pub const SHARED: [Group; 4] = [
    DiffusionSettings::GROUP,
    LoraSettings::GROUP,
    WarpSettings::GROUP,
    FrameSettings::GROUP,
];

/// Resolved values of a group, declared with [`settings!`].
pub trait SettingsGroup: Default + Serialize + DeserializeOwned {
    /// The table of the group.
    const GROUP: Group;

    /// Returns these values with those of `given` that belong to this group in their place.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value that is out of its bounds.
    fn with(self, given: &Overrides) -> Result<Self> {
        let Value::Object(mut values) = json(&self) else {
            return Ok(self);
        };
        for (setting, value) in given.in_group(&Self::GROUP) {
            values.insert(setting.name.to_owned(), checked(setting, value)?);
        }
        // Every value has passed its form, so what fails here is a number that this machine's integers do not hold.
        serde_json::from_value(Value::Object(values))
            .map_err(|error| Error::Bug(format!("settings: {error}")))
    }

    /// Returns the values by name, as in files.
    fn values(&self) -> Map<String, Value> {
        match json(self) {
            Value::Object(values) => values,
            _ => Map::new(),
        }
    }
}

/// Returns the value as its form keeps it.
fn checked(setting: &Description, value: &Value) -> Result<Value> {
    setting.form.read(value).map_err(|_| Error::Setting {
        name: setting.name.replace('_', "-"),
        value: typed(value),
        reason: setting.form.bounds(),
    })
}

/// A value as it stands in files.
pub(crate) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// A value as it is typed on the command line.
pub fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(typed).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Declares a group of settings. From
///
/// ```text
/// settings! {
///     /// What the group is about.
///     pub struct ExampleSettings, "Settings of the method example";
///     /// What the setting does, in one line.
///     rate "example_rate": f64 = 0.02, Form::Above(0.0, 100.0), "paper, equation or table of the default";
/// }
/// ```
///
/// come a struct with the field `rate`, its `Default`, serde's traits with `example_rate` as key, [`SettingsGroup`], and the table `GROUP` under
/// the given heading. The key is the name in files, of the flag `--example-rate` and of the variable `DRAGNEXT_EXAMPLE_RATE`. All groups share
/// one namespace. Types other than numbers and `bool` need serde's `Serialize` and `Deserialize`.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $visibility:vis struct $group:ident, $heading:literal;
        $( $(#[doc = $doc:literal])+ $field:ident $name:literal : $type:ty = $default:expr, $form:expr, $source:literal; )+
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        $visibility struct $group {
            $( $(#[doc = $doc])+ #[serde(rename = $name)] pub $field: $type, )+
        }

        impl Default for $group {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $group {
            /// The table of these settings.
            pub const GROUP: $crate::settings::Group = $crate::settings::Group {
                heading: $heading,
                settings: &[ $( $crate::settings::Description {
                    name: $name,
                    form: $form,
                    documentation: concat!($($doc,)+),
                    source: $source,
                    default: || {
                        let default: $type = $default;
                        $crate::settings::json(&default)
                    },
                }, )+ ],
            };
        }

        impl $crate::settings::SettingsGroup for $group {
            const GROUP: $crate::settings::Group = $group::GROUP;
        }
    };
}
pub(crate) use settings;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(values: Value) -> Overrides {
        let Value::Object(values) = values else {
            panic!("an object is expected")
        };
        Overrides::from_map(&values, &SHARED).expect("the values are good")
    }

    #[test]
    fn given_values_replace_defaults() {
        let settings = DiffusionSettings::default()
            .with(&given(
                json!({ "seed": 7, "strength": 0.5, "lora_rank": 4 }),
            ))
            .expect("the values are within bounds");
        assert_eq!(
            (settings.seed, settings.strength, settings.steps),
            (7, 0.5, 50)
        );
    }

    #[test]
    fn values_out_of_bounds_are_refused_by_name() {
        for (name, value, expected) in [
            (
                "strength",
                json!(1.5),
                "strength: `1.5` must be above 0 and at most 1",
            ),
            (
                "seed",
                json!(-1),
                "seed: `-1` must be 0 to 18446744073709551615",
            ),
            (
                "lora_lr",
                json!("NaN"),
                "lora-lr: `NaN` must be above 0 and at most 10",
            ),
        ] {
            let mut given = Overrides::default();
            given.set(name, value);
            let error = DiffusionSettings::default()
                .with(&given)
                .err()
                .or_else(|| LoraSettings::default().with(&given).err())
                .expect("the value is out of bounds");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn names_are_unique_among_the_shared_groups() {
        let mut names: Vec<&str> = SHARED
            .iter()
            .flat_map(|group| group.settings.iter().map(|setting| setting.name))
            .collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_default_fits_its_form() {
        for setting in SHARED.iter().flat_map(|group| group.settings) {
            assert_eq!(
                setting.form.read(&setting.default()),
                Ok(setting.default()),
                "{}",
                setting.name
            );
        }
    }
}
