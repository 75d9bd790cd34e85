//! The methods: what moves the content of a latent to where a drag puts it.
//!
//! [`Method`] is the only list of methods. Each has a folder with its algorithm, its settings, and a README.md with its source, equations and
//! deviations. A method says what it needs ([`Needs`]), whether an edit fits it ([`Misfit`]), what it costs ([`Cost`]), and it drags: it
//! gets a [`Scene`] and returns [`Dragged`]. It knows the network's features and gradients, and no files, pictures, caches or clocks.
//! [`parts`] holds what methods share.
//!
//! # Settings that a method does not use
//!
//! A setting that is given explicitly and that the method never uses is refused, whatever its value and wherever it is given: flag, environment, drag
//! file or manifest. That holds for the settings of other methods, and for shared settings of which [`DragMethod::UNUSED`] says why they have no
//! effect. Four cases are no mistakes of the user's, and leave such a setting out: a method of several ([`crate::plan::check_methods`]), a
//! source of higher precedence that names another method than the source of the setting, a model's own defaults, and a picture's report. A setting that another setting switches off is
//! accepted, so that a switch can be turned without removing what belongs to it: `text_lr` without a text optimisation, or `lora_rank` without a LoRA.
//!
//! # How to add a method
//!
//! 1. Make a folder `src/method/NAME/` with `mod.rs`, `settings.rs` and `README.md`. NAME is a Rust identifier; the name that users type may
//!    differ.
//! 2. In `settings.rs`, declare the settings with the macro `settings!` of [`crate::settings`], which documents its grammar. A setting must not
//!    have the name of a shared setting. Two methods may have settings of one name; their forms must be equal, their defaults may differ.
//! 3. In `mod.rs`, include the README as module documentation (`#![doc = include_str!("README.md")]`), export the settings, and implement
//!    [`DragMethod`] for them, with its [`Profile`]. Unit tests of the method stand in its files.
//! 4. In this file, add `pub mod NAME;` and one entry to `methods!`: a doc comment, which is the method's description for users with its paper,
//!    and a line. Add a row to the table of methods in `assets/guide.md`.
//! 5. Write the generated files anew: `UPDATE=1 cargo test --release --features failpoints,cuda --test cli` writes `assets/cli.md`, and
//!    `cargo run --release -- schema > assets/drag.schema.json` the schema.
//!
//! No other code changes: flags, help, environment variables, `dragnext methods`, `dragnext settings`, the drag file's `"method"` and `"settings"`, the schema, the
//! report in the PNG and the record are made from the tables.

pub mod clip_drag;
pub mod diff_editor;
pub mod drag_diffusion;
pub mod drag_noise;
pub mod dragon_diffusion;
pub mod fast_drag;
pub mod free_drag;
pub mod good_drag;
mod misfit;
mod needs;
pub mod parts;
pub mod pbsi;
#[cfg(test)]
mod peer_fixture;
mod profile;
pub mod region_drag;
mod scene;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Group, Overrides, SHARED, SettingsGroup, either};

pub use misfit::{Misfit, Subject};
pub use needs::{Cost, Inversion, Needs, StartPicture, Targets};
pub use profile::{Figures, Profile, Score};
pub use scene::{Bottleneck, DenoisingStart, Dragged, Guide, PointTrack, Scene};

/// A method, implemented by its settings.
pub trait DragMethod: SettingsGroup {
    /// What `dragnext methods` says about the method, beside what its defaults need and cost.
    const PROFILE: Profile;

    /// Shared settings that the method never uses, each with the reason, in words that continue `has no effect:`.
    const UNUSED: &'static [(&'static str, &'static str)] = &[];

    /// Returns the defaults of the method's settings, which may depend on what is given.
    fn defaults(given: &Overrides) -> Self {
        let _ = given;
        Self::default()
    }

    /// Returns the method's own defaults of shared settings, for a method whose paper has others. They may depend on what is given.
    fn shared_defaults(given: &Overrides) -> Overrides {
        let _ = given;
        Overrides::default()
    }

    /// Returns whether a model's own default of a setting applies beside what is given. A method refuses a default that was found for
    /// another of its forms.
    fn takes_from_model(name: &str, given: &Overrides) -> bool {
        let _ = (name, given);
        true
    }

    /// Returns what the method needs.
    fn needs(&self) -> Needs;

    /// Returns everything of an edit that does not fit the method.
    fn misfits(&self, subject: &Subject) -> Vec<Misfit>;

    /// Returns whether a region moves so little that the method would not move it; such a region is left out of the edit.
    fn is_still(&self, region: &Region, frame: &Frame) -> bool {
        let _ = frame;
        region.is_still()
    }

    /// Returns what settings with the value `auto` resolve to, by name, for `dragnext settings`.
    fn resolved(&self) -> Overrides {
        Overrides::default()
    }

    /// Returns the cost of a drag on a grid of `timesteps` executed steps, when nothing ends it early.
    fn cost(&self, diffusion: &DiffusionSettings, timesteps: usize) -> Cost;

    /// Returns whether the result is the warped picture as the VAE keeps it, which is known without the network. The pipeline then neither inverts
    /// nor drags nor denoises. `has_new` says whether any cell of the warped picture is new ([`parts::is_new`]).
    fn keeps_warped(&self, diffusion: &DiffusionSettings, has_new: bool) -> bool {
        let _ = (diffusion, has_new);
        false
    }

    /// Drags: executes the first [`Cost::steps`] steps of the grid, reports every iteration to `progress`, and checks `interrupt` before
    /// every pass through the network.
    ///
    /// The pipeline restores the picture's own pixels outside the editable area at the end. A method that must hold the latent there too
    /// does so itself ([`parts::Frozen`]).
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

/// Declares all methods: each entry is a doc comment with the description, and `Variant "name" module::SettingsType;`.
macro_rules! methods {
    ($( $(#[doc = $doc:literal])+ $variant:ident $name:literal $module:ident::$settings:ident; )+) => {
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

            /// As [`DragMethod::PROFILE`].
            pub fn profile(self) -> Profile {
                match self { $( Self::$variant => $module::$settings::PROFILE ),+ }
            }

            /// Returns the table of the method's settings.
            pub fn group(self) -> Group {
                match self { $( Self::$variant => $module::$settings::GROUP ),+ }
            }

            /// Returns the method's own defaults of shared settings.
            pub fn shared_defaults(self, given: &Overrides) -> Overrides {
                match self { $( Self::$variant => $module::$settings::shared_defaults(given) ),+ }
            }

            /// As [`DragMethod::UNUSED`].
            pub fn unused(self) -> &'static [(&'static str, &'static str)] {
                match self { $( Self::$variant => $module::$settings::UNUSED ),+ }
            }

            /// As [`DragMethod::takes_from_model`], and the method uses the setting.
            pub fn takes_from_model(self, name: &str, given: &Overrides) -> bool {
                self.uses(name)
                    && match self { $( Self::$variant => $module::$settings::takes_from_model(name, given) ),+ }
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

            /// As [`DragMethod::is_still`].
            pub fn is_still(&self, region: &Region, frame: &Frame) -> bool {
                match self { $( Self::$variant(settings) => settings.is_still(region, frame) ),+ }
            }

            /// As [`DragMethod::cost`].
            pub fn cost(&self, diffusion: &DiffusionSettings, timesteps: usize) -> Cost {
                match self { $( Self::$variant(settings) => settings.cost(diffusion, timesteps) ),+ }
            }

            /// As [`DragMethod::keeps_warped`].
            pub fn keeps_warped(&self, diffusion: &DiffusionSettings, has_new: bool) -> bool {
                match self { $( Self::$variant(settings) => settings.keeps_warped(diffusion, has_new) ),+ }
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
    /// Motion supervision and point tracking at one timestep (DragDiffusion, arXiv 2306.14435): handles are dragged by optimising the latent.
    DragDiffusion "drag-diffusion" drag_diffusion::DragDiffusionSettings;
    /// Drag and denoising in turns, with the features of the original handles (GoodDrag, arXiv 2404.07206): handles are dragged by optimising the latent.
    GoodDrag "good-drag" good_drag::GoodDragSettings;
    /// Motion supervision and point tracking, and a CLIP that pulls the picture towards a text (CLIPDrag, arXiv 2410.03097): handles are dragged by optimising the latent.
    ClipDrag "clip-drag" clip_drag::ClipDragSettings;
    /// Features at places on a straight line to the target, without tracking (FreeDrag, arXiv 2307.04684): handles are dragged by optimising the latent.
    FreeDrag "free-drag" free_drag::FreeDragSettings;
    /// Motion supervision and point tracking in the U-Net's bottleneck (DragNoise, arXiv 2404.01050): handles are dragged by optimising the middle block's output, which is injected while denoising.
    DragNoise "drag-noise" drag_noise::DragNoiseSettings;
    /// Energy guidance (DragonDiffusion, arXiv 2307.02421): gradients of feature correspondences are added to the noise prediction while the latent is denoised beside the picture's keys and values.
    DragonDiffusion "dragon-diffusion" dragon_diffusion::DragonDiffusionSettings;
    /// Energy guidance with stochastic steps in the editable area and time travel (DiffEditor, arXiv 2402.02583): as dragon-diffusion, guided at fewer steps.
    DiffEditor "diff-editor" diff_editor::DiffEditorSettings;
    /// Region to region copies (RegionDrag, arXiv 2407.18247): cells of the latent are copied at every level of an inversion that keeps its noise; nothing is optimised.
    RegionDrag "region-drag" region_drag::RegionDragSettings;
    /// Warped latent (FastDrag, arXiv 2405.15769): the inverted latent is stretched once, as the regions' handles are dragged to their targets; nothing is optimised.
    FastDrag "fast-drag" fast_drag::FastDragSettings;
}

impl Method {
    /// Returns whether the method uses a setting: it is the method's own, or a shared one that is not unused.
    pub fn uses(self, name: &str) -> bool {
        self.why_unused(name).is_none()
    }

    /// Returns why the method does not use a setting, as predicate of a sentence about its value; `None` when it does.
    pub fn why_unused(self, name: &str) -> Option<String> {
        let owners = methods_with(name);
        if !owners.is_empty() && !owners.contains(&self) {
            let owners: Vec<&str> = owners.iter().map(|owner| owner.name()).collect();
            return Some(format!(
                "is a setting of {}, and the method is `{}`",
                either(&owners),
                self.name()
            ));
        }
        let (_, reason) = self.unused().iter().find(|(unused, _)| *unused == name)?;
        Some(format!(
            "has no effect with `{}`: {reason}; leave it out",
            self.name()
        ))
    }
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
