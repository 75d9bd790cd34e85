//! All settings of one edit, resolved: the method's, the diffusion process's, the LoRA's and the working picture's.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::drag_file::DragFile;
use crate::error::{Error, Result};
use crate::method::{Method, MethodSettings};
use crate::settings::{
    DiffusionSettings, FrameSettings, LoraSettings, Overrides, SettingsGroup, WarpSettings, typed,
};

/// A method and settings that one source gives: the command line, a drag file, a line of a manifest, or a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The method; `None` leaves it to the sources below.
    pub method: Option<Method>,
    /// The settings.
    pub values: Overrides,
}

impl Choice {
    /// Settings without a method.
    pub fn of(values: Overrides) -> Self {
        Self {
            method: None,
            values,
        }
    }

    /// Returns this choice laid over that of `below`, whose values fill the gaps. When both name a method and they differ, the settings that
    /// `below` has for its own method are left out, and those that the other method does not use.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        let mut values = below.values.clone();
        if let (Some(method), Some(other)) = (self.method, below.method)
            && method != other
        {
            values.retain(|name| method.uses(name) && other.group().find(name).is_none());
        }
        Self {
            method: self.method.or(below.method),
            values: self.values.over(&values),
        }
    }

    /// Returns this choice laid over a model's defaults. Defaults that the method does not take are left out.
    ///
    /// A model's defaults were found for the method that they name, or for the default method. They replace that method's own defaults of
    /// shared settings, and no other method's.
    #[must_use]
    pub fn over_model(&self, defaults: &Self) -> Self {
        let mut both = self.over(defaults);
        let method = both.method.unwrap_or_default();
        let own = if defaults.method.unwrap_or_default() == method {
            Overrides::default()
        } else {
            method.shared_defaults(&self.values)
        };
        both.values.retain(|name| {
            self.values.get(name).is_some()
                || (own.get(name).is_none() && method.takes_from_model(name, &self.values))
        });
        both
    }

    /// Returns this choice without the settings that its method does not use.
    #[must_use]
    pub(super) fn of_its_method(mut self) -> Self {
        let method = self.method.unwrap_or_default();
        self.values.retain(|name| method.uses(name));
        self
    }
}

impl From<&DragFile> for Choice {
    fn from(drag: &DragFile) -> Self {
        Self {
            method: drag.method,
            values: drag.settings.clone(),
        }
    }
}

/// All settings of one edit. Serialised, they are one flat object.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The method with its settings.
    pub method: MethodSettings,
    /// The diffusion process.
    pub diffusion: DiffusionSettings,
    /// The fine-tuning of the LoRA.
    pub lora: LoraSettings,
    /// The warped picture.
    pub warp: WarpSettings,
    /// The working picture.
    pub frame: FrameSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self::resolve(&Choice::default()).expect("every default fits its form, as a test shows")
    }
}

impl Settings {
    /// Resolves what is given: over the method's own defaults, over the defaults of the groups.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value that is out of its bounds, or that the method does not use.
    pub fn resolve(given: &Choice) -> Result<Self> {
        let method = given.method.unwrap_or_default();
        for name in given.values.names() {
            if let Some(reason) = method.why_unused(name) {
                return Err(Error::Setting {
                    name: name.replace('_', "-"),
                    value: given.values.get(name).map(typed).unwrap_or_default(),
                    reason,
                });
            }
        }
        let values = given.values.over(&method.shared_defaults(&given.values));
        Ok(Self {
            method: method.resolve(&values)?,
            diffusion: DiffusionSettings::default().with(&values)?,
            lora: LoraSettings::default().with(&values)?,
            warp: WarpSettings::default().with(&values)?,
            frame: FrameSettings::default().with(&values)?,
        })
    }

    /// Returns the number of executed steps of the grid.
    pub fn executed_steps(&self) -> usize {
        self.diffusion.executed_steps()
    }

    /// Returns the seed of the LoRA's training, `auto` resolved.
    pub fn training_seed(&self) -> u64 {
        self.lora.training_seed(self.diffusion.seed)
    }

    /// Returns all values that the method uses by name, as in files.
    pub fn values(&self) -> Map<String, Value> {
        let mut values = self.method.values();
        values.extend(self.diffusion.values());
        values.extend(self.lora.values());
        values.extend(self.warp.values());
        values.extend(self.frame.values());
        for (name, _) in self.method.method().unused() {
            values.remove(*name);
        }
        values
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.values().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::LoraSeed;

    #[test]
    fn values_are_resolved_group_by_group() {
        let given = Overrides::from([("lr", 0.5), ("lora_lr", 0.25), ("strength", 0.5)]);
        let settings = Settings::resolve(&Choice::of(given)).expect("the values are within bounds");
        let values = settings.values();
        assert_eq!(
            (&values["lr"], &values["mode"]),
            (&0.5.into(), &"pbsi".into())
        );
        assert_eq!((settings.lora.lr, settings.lora.steps), (0.25, 0));
        assert_eq!(settings.executed_steps(), 25);
    }

    #[test]
    fn defaults_of_a_model_do_not_replace_those_of_another_method() {
        let strength = |method: Option<Method>, defaults: &Choice| {
            let given = Choice {
                method,
                values: Overrides::default(),
            };
            let settings = Settings::resolve(&given.over_model(defaults)).expect("values fit");
            settings.diffusion.strength
        };
        let unnamed = Choice::of(Overrides::from([("strength", 0.5)]));
        let named = Choice {
            method: Some(Method::DragDiffusion),
            ..unnamed.clone()
        };
        assert_eq!(strength(None, &unnamed), 0.5);
        assert_eq!(strength(Some(Method::DragDiffusion), &unnamed), 0.7);
        assert_eq!(strength(Some(Method::DragDiffusion), &named), 0.5);
        assert_eq!(strength(Some(Method::GoodDrag), &named), 0.75);
    }

    #[test]
    fn values_out_of_bounds_are_refused_by_name() {
        let refused = |name: &'static str, value: Value| {
            let given = Choice::of(Overrides::from([(name, value)]));
            let error = Settings::resolve(&given).expect_err("the value is out of bounds");
            error.to_string()
        };
        assert_eq!(
            refused("strength", 1.5.into()),
            "strength: `1.5` must be above 0 and at most 1"
        );
        assert_eq!(
            refused("lr", "NaN".into()),
            "lr: `NaN` must be above 0 and at most 100"
        );
        assert_eq!(
            refused("ramp", 1001.into()),
            "ramp: `1001` must be auto or 0 to 1000"
        );
    }

    #[test]
    fn serialised_settings_resolve_to_themselves() {
        for seed in [u64::MAX, 0] {
            let mut settings = Settings::default();
            settings.lora.seed = LoraSeed::Of(seed);
            let values = Overrides::from_map(&settings.values(), &crate::method::groups())
                .expect("they are settings");
            let read = Settings::resolve(&Choice::of(values)).expect("they are within bounds");
            assert_eq!(read, settings);
        }
    }

    #[test]
    fn settings_of_every_method_resolve_to_themselves() {
        for method in Method::ALL {
            let choice = |values| Choice {
                method: Some(*method),
                values,
            };
            let settings = Settings::resolve(&choice(Overrides::default())).expect("defaults");
            let values = Overrides::from_map(&settings.values(), &crate::method::groups())
                .expect("they are settings");
            let read = Settings::resolve(&choice(values)).expect("they are within bounds");
            assert_eq!(read, settings);
        }
    }

    /// What the method never uses is refused, unless the method is another than the one that it was given for.
    #[test]
    fn what_a_method_does_not_use_is_refused() {
        let values = || Overrides::from([("trajectory", "kept")]);
        let given = |method, values| Choice {
            method: Some(method),
            values,
        };
        for (method, name, reason) in [
            (
                Method::RegionDrag,
                "trajectory",
                "trajectory: `kept` has no effect with `region-drag`: its inversion returns to the picture exactly; leave it out",
            ),
            (
                Method::FastDrag,
                "start_layer",
                "start-layer: `kept` has no effect with `fast-drag`",
            ),
            (
                Method::FastDrag,
                "iterations",
                "iterations: `kept` is a setting of `pbsi`",
            ),
        ] {
            let choice = given(method, Overrides::from([(name, "kept")]));
            let error = Settings::resolve(&choice).expect_err("it has no effect");
            assert!(error.to_string().starts_with(reason), "{error}");
        }
        let above = given(Method::RegionDrag, Overrides::default());
        let switched = above.over(&given(Method::Pbsi, values()));
        assert!(Settings::resolve(&switched).is_ok());
        let same = above.over(&given(Method::RegionDrag, values()));
        let unnamed = above.over(&Choice::of(values()));
        assert!(Settings::resolve(&same).is_err() && Settings::resolve(&unnamed).is_err());
        assert!(Settings::resolve(&above.over_model(&Choice::of(values()))).is_ok());
        assert!(Settings::resolve(&unnamed.of_its_method()).is_ok());
    }

    #[test]
    fn a_training_may_have_a_seed_of_its_own() {
        let given = Overrides::from([("seed", 7), ("lora_seed", 8)]);
        let settings = Settings::resolve(&Choice::of(given)).expect("the values are within bounds");
        assert_eq!((settings.diffusion.seed, settings.training_seed()), (7, 8));
        let given = Choice::of(Overrides::from([("seed", 7)]));
        let settings = Settings::resolve(&given).expect("the value is within bounds");
        assert_eq!(settings.training_seed(), 7);
    }
}
