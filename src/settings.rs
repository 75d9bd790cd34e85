//! Every number of the method, once: default, bounds and source. The command line, the environment, the drag
//! file and a model folder's `dragnext.json` all fill the same [`Overrides`]; [`Settings::resolve`] lays them over the defaults.

mod flag;
mod form;
mod layers;
mod values;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use flag::Typed;

pub use form::{Form, Misfit, either};
pub use layers::{InForce, Layer, Origin, in_force};
pub use values::{LoraSeed, Mode, RampLength, Start, Taps, WindowChoice};

/// What is known of one setting beside its value.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Name in the drag file; on the command line `_` is written `-`.
    pub name: &'static str,
    /// What it may be.
    pub form: Form,
    /// What it does, as its documentation has it.
    pub documentation: &'static str,
    /// Where its default comes from.
    pub source: &'static str,
}

impl Description {
    /// What it does, in one line.
    pub fn text(&self) -> &'static str {
        self.documentation.trim()
    }

    /// The value without anybody's choice.
    pub fn default(&self) -> Value {
        json(&Settings::default())
            .get(self.name)
            .cloned()
            .unwrap_or_default()
    }
}

/// The environment variable of a setting: `DRAGNEXT_` and its name in upper case, made while compiling.
macro_rules! variable {
    ($name:ident) => {{
        const NAME: &str = concat!("DRAGNEXT_", stringify!($name));
        const VARIABLE: [u8; NAME.len()] = {
            let mut bytes = [0; NAME.len()];
            bytes.copy_from_slice(NAME.as_bytes());
            bytes.make_ascii_uppercase();
            bytes
        };
        const TEXT: &str = match std::str::from_utf8(&VARIABLE) {
            Ok(text) => text,
            Err(_) => panic!("upper case of ASCII is ASCII"),
        };
        TEXT
    }};
}

/// What `--help` says about a setting; clap itself lists words and switches.
fn help(text: &str, form: Form, default: &impl Serialize, source: &str) -> String {
    let bounds = match form {
        Form::Switch | Form::Words(_) | Form::Whole(0, u64::MAX) => String::new(),
        form => format!("{}; ", form.bounds()),
    };
    format!(
        "{} ({bounds}default {}; {source})",
        text.trim(),
        typed(&json(default))
    )
}

/// A value as it stands in files; infinity and what is not a number have no word there.
fn json(value: &impl Serialize) -> Value {
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

macro_rules! settings {
    ($( $(#[doc = $doc:literal])+ $name:ident : $type:ty = $default:expr, $form:expr, $source:literal; )+) => {
        /// The numbers of one edit, all known.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct Settings { $( $(#[doc = $doc])+ pub $name: $type, )+ }

        /// Settings that somebody gave: flags, environment, a drag file's `settings`, a model folder's `dragnext.json`.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
        #[serde(deny_unknown_fields)]
        #[command(next_help_heading = "Settings of the method")]
        pub struct Overrides {
            $(
                $(#[doc = $doc])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                #[arg(long, value_name = "VALUE", env = variable!($name), hide_env = true, hide_short_help = true, allow_negative_numbers = true, value_parser = <$type as Typed>::parser($form), long_help = help(concat!($($doc,)+), $form, &Settings::default().$name, $source))]
                pub $name: Option<$type>,
            )+
        }

        impl Default for Settings {
            fn default() -> Self { Self { $( $name: $default, )+ } }
        }

        /// All settings, in the order of the help.
        pub const DESCRIPTIONS: &[Description] = &[
            $( Description { name: stringify!($name), form: $form, documentation: concat!($($doc,)+), source: $source }, )+
        ];

        impl Overrides {
            /// These values where they are given, else those of `below`.
            #[must_use]
            pub fn over(&self, below: &Self) -> Self {
                Self { $( $name: self.$name.clone().or_else(|| below.$name.clone()), )+ }
            }
        }

        impl Settings {
            /// Lays what was given over the defaults.
            ///
            /// # Errors
            /// [`Error::Setting`] for the first value that is out of its bounds.
            pub fn resolve(given: &Overrides) -> Result<Self> {
                let default = Self::defaults_of(given.mode.unwrap_or(Mode::Pbsi));
                let resolved = Self { $( $name: given.$name.clone().unwrap_or(default.$name), )+ };
                $(
                    if $form.read(&json(&resolved.$name)).is_err() {
                        return Err(Error::Setting {
                            name: stringify!($name).replace('_', "-"),
                            value: match json(&resolved.$name) {
                                Value::Null => format!("{:?}", resolved.$name),
                                value => typed(&value),
                            },
                            reason: $form.bounds(),
                        });
                    }
                )+
                Ok(resolved)
            }
        }
    };
}

settings! {
    /// Number of timesteps of the denoising grid.
    steps: usize = 50, Form::Whole(1, 1000), "DragNeXt, arXiv 2506.07611, implementation details: 50";
    /// Share of the grid that is inverted and denoised again.
    strength: f64 = 0.75, Form::Above(0.0, 1.0), "DragNeXt, implementation details: 0.75, so that T = 38 of 50";
    /// Timesteps at which the latent is optimised.
    timesteps: usize = 5, Form::Whole(0, 1000), "DragNeXt, implementation details: T - T' = 38 - 33";
    /// Iterations of the optimisation at each of these timesteps.
    iterations: usize = 10, Form::Whole(1, 1000), "DragNeXt, implementation details: K = 10";
    /// Timesteps over which the target moves from the handle to the goal; 0 means it is at the goal from the start. `auto` is 0 with the moved start, 5 with the paper's.
    ramp: RampLength = RampLength::Auto, Form::WordOr("auto", 1000), "DragNeXt, Eq. 5 and the progress beside it";
    /// Learning rate of the latent's Adam.
    lr: f64 = 0.02, Form::Above(0.0, 100.0), "DragNeXt, Eq. 6 and implementation details: 2e-2";
    /// Weight of the term that keeps uneditable cells where the un-dragged picture has them.
    mask_weight: f64 = 0.2, Form::Within(0.0, 1e6), "R_M of DragNeXt, Eq. 7; its released code: lambda = 0.2";
    /// Factor of the feature loss.
    loss_scale: f64 = 10.0, Form::Above(0.0, 1e6), "DragNeXt, Eq. 7; its released code: 10";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps: Taps = Taps(vec![3]), Form::Stages(4), "DragNeXt, implementation details: all stages; its released code: 3";
    /// How the drag starts: `moved` puts the object's own noise at its target and background noise where it leaves; `paper` leaves the inverted latent as it is.
    start: Start = Start::Moved, Form::Words(&["moved", "paper"]), "ours, after RegionDrag's copy of the region, arXiv 2407.18247; `paper` is DragNeXt's form";
    /// Which algorithm moves the features: `pbsi` is ours, `literal` is the paper word by word, `literal-strict` the same without the first and the last timestep, as its loop is written.
    mode: Mode = Mode::Pbsi, Form::Words(&["pbsi", "literal", "literal-strict"]), "DragNeXt, Algorithm 1";
    /// Resets cells outside the editable area to the un-dragged latent after every update.
    hard_background: bool = true, Form::Switch, "DragFlow, arXiv 2510.02253";
    /// Goes on with the best latent of a timestep when the drag diverges there, instead of stopping with an error.
    keep_partial: bool = false, Form::Switch, "ours";
    /// First attention layer whose keys and values come from the un-dragged picture.
    start_layer: usize = 10, Form::Whole(0, 1000), "MasaCtrl, arXiv 2304.08465, and DragNeXt, implementation details: layer 10";
    /// Steps of the LoRA fine-tuning; 0 switches it off.
    lora_steps: usize = 70, Form::Whole(0, 100_000), "released code of DragNeXt and of GoodDrag, arXiv 2404.07206: 70";
    /// Rank of the LoRA.
    lora_rank: usize = 16, Form::Whole(1, 1024), "DragNeXt, implementation details: 16";
    /// Learning rate of the LoRA's AdamW.
    lora_lr: f64 = 5e-4, Form::Above(0.0, 10.0), "DragDiffusion, arXiv 2306.14435, and DragNeXt: 5e-4";
    /// Noisy copies of the picture per LoRA step.
    lora_batch: usize = 4, Form::Whole(1, 64), "DragDiffusion and DragNeXt: 4";
    /// Pixels (of the working size) added around what the drag sweeps, when no editable area is given.
    margin: usize = 24, Form::Whole(0, 4096), "ours: three cells of the latent";
    /// Pixels (of the working size) over which the edit fades in, inside the editable area.
    feather: usize = 4, Form::Whole(0, 256), "ours: half a cell of the latent";
    /// Shorter side of the working picture in pixels; 0 takes the model's own size.
    size: usize = 0, Form::ZeroOr(64, 2048), "the model's sample size: 512 for SD 1.5, 256 for demo";
    /// What the network sees of a picture much larger than the model's size: `auto` is a window around the editable area, `full` the whole picture.
    window: WindowChoice = WindowChoice::Auto, Form::Words(&["auto", "full"]), "ours";
    /// Seed of all noise.
    seed: u64 = 0, Form::Whole(0, u64::MAX), "DragDiffusion, LoRA: 0";
    /// Seed of the LoRA's training; `auto` is the seed of all noise. With one LoRA, other seeds give variants of the drag alone.
    lora_seed: LoraSeed = LoraSeed::Auto, Form::WordOr("auto", u64::MAX), "ours";
}

impl Settings {
    /// The defaults of a mode. The paper's own form has all decoder stages, its own start and no hard background.
    fn defaults_of(mode: Mode) -> Self {
        match mode {
            Mode::Pbsi => Self::default(),
            Mode::Literal | Mode::LiteralStrict => Self {
                mode,
                taps: Taps(vec![1, 2, 3, 4]),
                start: Start::Paper,
                hard_background: false,
                ..Self::default()
            },
        }
    }

    /// Executed steps: `strength * steps`, rounded half to even (DragDiffusion's rounding: 37.5 gives 38).
    pub fn executed_steps(&self) -> usize {
        ((self.strength * self.steps as f64).round_ties_even() as usize).clamp(1, self.steps)
    }

    /// Seed of the LoRA's training, `auto` resolved.
    pub fn training_seed(&self) -> u64 {
        match self.lora_seed {
            LoraSeed::Auto => self.seed,
            LoraSeed::Of(seed) => seed,
        }
    }

    /// Timesteps over which the target moves, `auto` resolved.
    pub fn ramp_length(&self) -> usize {
        match (self.ramp, self.start) {
            (RampLength::Timesteps(length), _) => length,
            (RampLength::Auto, Start::Moved) => 0,
            (RampLength::Auto, Start::Paper) => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executed_steps_round_half_to_even() {
        for (strength, expected) in [(0.75, 38), (0.70, 35), (0.65, 32), (0.85, 42)] {
            let settings = Settings {
                strength,
                ..Settings::default()
            };
            assert_eq!(settings.executed_steps(), expected, "strength {strength}");
        }
    }

    #[test]
    fn what_is_given_first_wins() {
        let flags = Overrides {
            lr: Some(0.5),
            ..Overrides::default()
        };
        let file = Overrides {
            lr: Some(0.1),
            seed: Some(7),
            ..Overrides::default()
        };
        let settings = Settings::resolve(&flags.over(&file)).expect("both are within bounds");
        assert_eq!((settings.lr, settings.seed, settings.steps), (0.5, 7, 50));
    }

    #[test]
    fn values_out_of_bounds_are_refused_by_name() {
        let given = Overrides {
            strength: Some(1.5),
            ..Overrides::default()
        };
        let error = Settings::resolve(&given).expect_err("1.5 is above 1");
        assert_eq!(
            error.to_string(),
            "strength: `1.5` must be above 0 and at most 1"
        );
        let given = Overrides {
            lr: Some(f64::NAN),
            ..Overrides::default()
        };
        let error = Settings::resolve(&given).expect_err("NaN is no learning rate");
        assert_eq!(
            error.to_string(),
            "lr: `NaN` must be above 0 and at most 100"
        );
        let given = Overrides {
            ramp: Some(RampLength::Timesteps(1001)),
            ..Overrides::default()
        };
        let error = Settings::resolve(&given).expect_err("1001 is above 1000");
        assert_eq!(
            error.to_string(),
            "ramp: `1001` must be auto or at most 1000"
        );
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for (ramp, lora_seed) in [
            (RampLength::Auto, LoraSeed::Of(u64::MAX)),
            (RampLength::Timesteps(3), LoraSeed::Auto),
        ] {
            let settings = Settings {
                ramp,
                lora_seed,
                ..Settings::default()
            };
            let json = serde_json::to_string(&settings).expect("settings are text and numbers");
            let given: Overrides =
                serde_json::from_str(&json).expect("all settings, as they were written");
            assert_eq!(
                Settings::resolve(&given).expect("they are within bounds"),
                settings
            );
        }
    }

    #[test]
    fn other_ramps_are_refused_with_what_is_expected() {
        for json in [r#"{"ramp": "slow"}"#, r#"{"ramp": -1}"#, r#"{"ramp": [3]}"#] {
            let error = serde_json::from_str::<Overrides>(json)
                .expect_err("no ramp")
                .to_string();
            assert!(
                error.contains("expected a number of timesteps or \"auto\""),
                "{error}"
            );
        }
    }
}
