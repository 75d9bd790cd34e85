//! The methods: what moves the content of a latent to where a drag puts it.
//!
//! [`Method`] is the only list of methods. Each has a folder with its algorithm, its settings, and a README.md with paper, equations and
//! deviations. A method says what it needs ([`Needs`]), whether an edit fits it ([`Misfit`]), what it costs ([`Cost`]), and it drags: it
//! gets a [`Scene`] and returns [`Dragged`]. It knows the network's features and gradients, and no files, pictures, caches or clocks.
//! [`parts`] holds what several methods use.
//!
//! # Adding a method
//!
//! 1. Make a folder `src/method/NAME/` with `mod.rs`, `settings.rs` and `README.md`.
//! 2. In `settings.rs`, declare the settings with [`crate::settings::settings!`], as `pbsi/settings.rs` does. Names share one namespace with
//!    the groups of [`crate::settings`]; a name that another method has too must have the same form.
//! 3. In `mod.rs`, include the README as module documentation and implement [`DragMethod`] for the settings.
//! 4. Add one line to `methods!` in this file.
//!
//! Nothing else changes: the flags, help, environment variables, `dragnext settings`, the drag file's `"method"` and `"settings"`, the JSON
//! schema, the report in the PNG and the record all read the table. `assets/cli.md` and `assets/drag.schema.json` are generated; their tests
//! say how.

pub mod parts;
mod scene;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{Group, Overrides, SHARED, SettingsGroup};

pub use scene::{Dragged, Scene};

/// What a method needs from an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// A LoRA trained on the picture. Without this, no LoRA is trained and a given one is still merged.
    pub lora: bool,
    /// The drag file's `edit_prompt`. Without this, the plan warns that the key has no effect.
    pub edit_prompt: bool,
    /// What of the drag file's regions the method reads.
    pub targets: Targets,
}

/// What of the drag file's regions a method reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// Areas and their motion. A region of type `point` is dragged as a small disc.
    Regions,
    /// Handle and target of each region. An area, where there is one, only says where the picture may change.
    Points,
}

/// What a method costs, for estimates and progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Steps of the grid that the method executes; the pipeline denoises the rest.
    pub steps: usize,
    /// Iterations of the whole drag.
    pub iterations: usize,
    /// Pictures that go through the network, a backward pass counted as one.
    pub passes: usize,
}

/// What a plan tells a method that has to say whether it fits.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The regions that move.
    pub regions: &'a [Region],
    /// How the picture lies in the latent.
    pub frame: &'a Frame,
    /// Decoder stages of the model; `None` while the model is not known.
    pub decoder_stages: Option<usize>,
}

/// Why an edit does not fit a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// A setting's value.
    Setting {
        /// The setting's name, as in files.
        name: &'static str,
        /// The value, or the part of it that does not fit.
        value: String,
        /// Reason, after the value in a sentence.
        reason: String,
    },
    /// A region.
    Region {
        /// Its `id`.
        id: String,
        /// Key of the region in the drag file, such as `/target`.
        key: &'static str,
        /// Reason.
        message: String,
        /// What to do.
        hint: String,
    },
}

/// A method, implemented by its settings.
pub trait DragMethod: SettingsGroup {
    /// Returns the defaults of the method's settings, which may depend on what is given.
    fn defaults(given: &Overrides) -> Self {
        let _ = given;
        Self::default()
    }

    /// Returns the method's own defaults of shared settings.
    fn shared_defaults() -> Overrides {
        Overrides::default()
    }

    /// Returns what the method needs.
    fn needs(&self) -> Needs;

    /// Returns everything of an edit that does not fit the method.
    fn misfits(&self, subject: &Subject) -> Vec<Misfit>;

    /// Returns the values that the method chooses where a setting leaves the choice to it, by name.
    fn resolved(&self) -> Overrides {
        Overrides::default()
    }

    /// Returns the cost of a drag on a grid of `timesteps` executed steps.
    fn cost(&self, timesteps: usize) -> Cost;

    /// Drags: executes the first steps of the grid.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Diverged`], [`crate::Error::Interrupted`].
    fn drag<B: Backend, N: Network<B>>(
        &self,
        scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>>;
}

/// Declares all methods: each line is `Variant "name" module::SettingsType;` below its description.
macro_rules! methods {
    ($( $(#[doc = $doc:literal])+ $variant:ident $name:literal $module:ident::$settings:ident; )+) => {
        $( pub mod $module; )+

        /// A drag method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Method {
            $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+
        }

        impl Method {
            /// All methods; the first is the default.
            pub const ALL: &[Self] = &[$( Self::$variant ),+];

            /// Returns the name in drag files and on the command line.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name ),+ }
            }

            /// Returns what the method is, in one line.
            pub fn about(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc,)+) ),+ }.trim()
            }

            /// Returns the table of the method's settings.
            pub fn group(self) -> Group {
                match self { $( Self::$variant => $module::$settings::GROUP ),+ }
            }

            /// Returns the method's own defaults of shared settings.
            pub fn shared_defaults(self) -> Overrides {
                match self { $( Self::$variant => $module::$settings::shared_defaults() ),+ }
            }

            /// Resolves the method's settings.
            ///
            /// # Errors
            /// [`crate::Error::Setting`] for a value that is out of its bounds.
            pub fn resolve(self, given: &Overrides) -> Result<MethodSettings> {
                Ok(match self {
                    $( Self::$variant => MethodSettings::$variant($module::$settings::defaults(given).with(given)?) ),+
                })
            }
        }

        /// A method with its resolved settings.
        #[derive(Debug, Clone, PartialEq)]
        pub enum MethodSettings {
            $( $(#[doc = $doc])+ $variant($module::$settings), )+
        }

        impl MethodSettings {
            /// Returns the method.
            pub fn method(&self) -> Method {
                match self { $( Self::$variant(_) => Method::$variant ),+ }
            }

            /// Returns the settings by name, as in files.
            pub fn values(&self) -> serde_json::Map<String, serde_json::Value> {
                match self { $( Self::$variant(settings) => settings.values() ),+ }
            }

            /// As [`DragMethod::resolved`].
            pub fn resolved(&self) -> Overrides {
                match self { $( Self::$variant(settings) => settings.resolved() ),+ }
            }

            /// As [`DragMethod::needs`].
            pub fn needs(&self) -> Needs {
                match self { $( Self::$variant(settings) => settings.needs() ),+ }
            }

            /// As [`DragMethod::misfits`].
            pub fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
                match self { $( Self::$variant(settings) => settings.misfits(subject) ),+ }
            }

            /// As [`DragMethod::cost`].
            pub fn cost(&self, timesteps: usize) -> Cost {
                match self { $( Self::$variant(settings) => settings.cost(timesteps) ),+ }
            }

            /// As [`DragMethod::drag`].
            ///
            /// # Errors
            /// As [`DragMethod::drag`].
            pub fn drag<B: Backend, N: Network<B>>(
                &self,
                scene: Scene<B, N>,
                progress: &mut dyn Progress,
                interrupt: &Interrupt,
            ) -> Result<Dragged<B>> {
                match self { $( Self::$variant(settings) => settings.drag(scene, progress, interrupt) ),+ }
            }
        }
    };
}

methods! {
    /// Progressive backward self-intervention (DragNeXt, arXiv 2506.07611): regions are dragged by optimising the latent.
    Pbsi "pbsi" pbsi::PbsiSettings;
}

impl Default for Method {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl std::str::FromStr for Method {
    type Err = ();

    fn from_str(name: &str) -> std::result::Result<Self, ()> {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.name() == name)
            .ok_or(())
    }
}

/// Returns all groups of settings: those of the methods in their order, then the shared ones.
pub fn groups() -> Vec<Group> {
    Method::ALL
        .iter()
        .map(|method| method.group())
        .chain(SHARED)
        .collect()
}

/// Returns the methods that have a setting of this name; empty for a shared setting.
pub fn methods_with(name: &str) -> Vec<Method> {
    Method::ALL
        .iter()
        .copied()
        .filter(|method| method.group().find(name).is_some())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_name() {
        for method in Method::ALL {
            assert_eq!(method.name().parse(), Ok(*method));
        }
        assert_eq!("PBSI".parse::<Method>(), Err(()));
    }

    #[test]
    fn no_method_renames_a_shared_setting() {
        for method in Method::ALL {
            for setting in method.group().settings {
                assert!(
                    SHARED
                        .iter()
                        .all(|group| group.find(setting.name).is_none()),
                    "{} of {}",
                    setting.name,
                    method.name()
                );
            }
        }
    }

    #[test]
    fn settings_of_one_name_have_one_form() {
        for group in groups() {
            for setting in group.settings {
                let others = groups()
                    .into_iter()
                    .filter_map(|other| other.find(setting.name));
                for other in others {
                    assert_eq!(other.form, setting.form, "{}", setting.name);
                }
            }
        }
    }
}
