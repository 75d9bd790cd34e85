//! Every number of the method, once: default, bounds and source. The command line, the environment, the drag
//! file and a model folder's `dragnext.json` all fill the same [`Overrides`]; [`Settings::resolve`] lays them over the defaults.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is known of one setting beside its value.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Name in the drag file; on the command line `_` is written `-`.
    pub name: &'static str,
    /// Where its default comes from.
    pub source: &'static str,
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

/// What `--help` says about a setting.
fn help(text: &str, bounds: &str, default: &impl Typed, source: &str) -> String {
    let bounds = if bounds.is_empty() { String::new() } else { format!("{bounds}; ") };
    format!("{} ({bounds}default {}; {source})", text.trim(), shown(default))
}

/// A setting's value, which can be shown.
trait Typed: Serialize + std::fmt::Debug {}

impl<T: Serialize + std::fmt::Debug> Typed for T {}

/// A value as it is typed on the command line.
fn shown(value: &impl Typed) -> String {
    match serde_json::to_string(value) {
        // JSON has no word for infinity and for what is not a number.
        Ok(json) if json != "null" => json.trim_matches(['"', '[', ']']).to_owned(),
        _ => format!("{value:?}"),
    }
}

macro_rules! settings {
    ($( $(#[doc = $doc:literal])+ $name:ident : $type:ty = $default:expr, $check:expr, $reason:literal, $source:literal; )+) => {
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
                #[arg(long, value_name = "VALUE", env = variable!($name), hide_env = true, hide_short_help = true, long_help = help(concat!($($doc,)+), $reason, &Settings::default().$name, $source))]
                pub $name: Option<$type>,
            )+
        }

        impl Default for Settings {
            fn default() -> Self { Self { $( $name: $default, )+ } }
        }

        /// Names and sources of all settings, in the order of the help.
        pub const DESCRIPTIONS: &[Description] = &[ $( Description { name: stringify!($name), source: $source }, )+ ];

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
                    let check: fn(&$type) -> bool = $check;
                    if !check(&resolved.$name) {
                        return Err(Error::Setting {
                            name: stringify!($name).replace('_', "-"),
                            value: shown(&resolved.$name),
                            reason: $reason.into(),
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
    steps: usize = 50, |v| (1..=1000).contains(v), "must be 1 to 1000", "DragNeXt, arXiv 2506.07611, implementation details";
    /// Share of the grid that is inverted and denoised again.
    strength: f64 = 0.75, |v| *v > 0.0 && *v <= 1.0, "must be above 0 and at most 1", "DragNeXt: T = 38 of 50";
    /// Timesteps at which the latent is optimised.
    timesteps: usize = 5, |v| *v <= 1000, "must be at most 1000", "DragNeXt: T - T' = 5";
    /// Iterations of the optimisation at each of these timesteps.
    iterations: usize = 10, |v| (1..=1000).contains(v), "must be 1 to 1000", "DragNeXt: K = 10";
    /// Timesteps over which the target moves from the handle to the goal; 0 means it is at the goal from the start. Default: 0 with the moved start, 5 with the paper's.
    ramp: RampLength = RampLength::Auto, |v| !matches!(v, RampLength::Timesteps(1001..)), "must be auto or at most 1000", "DragNeXt, Eq. 5 and the progress beside it";
    /// Learning rate of the latent's Adam.
    lr: f64 = 0.02, |v| *v > 0.0 && *v <= 100.0, "must be above 0 and at most 100", "DragNeXt: 2e-2";
    /// Weight of the term that keeps uneditable cells where the un-dragged picture has them.
    mask_weight: f64 = 0.2, |v| (0.0..=1e6).contains(v), "must be 0 to 1e6", "released code of DragNeXt: lambda = 0.2";
    /// Factor of the feature loss.
    loss_scale: f64 = 10.0, |v| *v > 0.0 && *v <= 1e6, "must be above 0 and at most 1e6", "released code of DragNeXt";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas.
    taps: Taps = Taps(vec![3]), |v| v.is_valid(), "must name decoder stages 1 to 4, each once, such as 3 or 2,3", "released code of DragNeXt: tap 3";
    /// How the drag starts: `moved` puts the object's own noise at its target and background noise where it leaves; `paper` leaves the inverted latent as it is.
    start: Start = Start::Moved, |_| true, "", "RegionDrag's copy as an initial value; `paper` is DragNeXt's form";
    /// Which algorithm moves the features: `pbsi` is ours, `literal` is the paper word by word.
    mode: Mode = Mode::Pbsi, |_| true, "", "DragNeXt, Algorithm 1";
    /// Resets cells outside the editable area to the un-dragged latent after every update.
    hard_background: bool = true, |_| true, "", "DragFlow, arXiv 2510.02253";
    /// First attention layer whose keys and values come from the un-dragged picture.
    start_layer: usize = 10, |v| *v <= 1000, "must be at most 1000", "MasaCtrl and DragNeXt: layer 10";
    /// Steps of the LoRA fine-tuning; 0 switches it off.
    lora_steps: usize = 70, |v| *v <= 100_000, "must be at most 100000", "released code of DragNeXt and GoodDrag: 70";
    /// Rank of the LoRA.
    lora_rank: usize = 16, |v| (1..=1024).contains(v), "must be 1 to 1024", "DragNeXt: rank 16";
    /// Learning rate of the LoRA's AdamW.
    lora_lr: f64 = 5e-4, |v| *v > 0.0 && *v <= 10.0, "must be above 0 and at most 10", "DragDiffusion and DragNeXt: 5e-4";
    /// Noisy copies of the picture per LoRA step.
    lora_batch: usize = 4, |v| (1..=64).contains(v), "must be 1 to 64", "DragDiffusion and DragNeXt: 4";
    /// Pixels (of the working size) added around what the drag sweeps, when no editable area is given.
    margin: usize = 24, |v| *v <= 4096, "must be at most 4096", "three latent cells";
    /// Pixels (of the working size) over which the edit fades in, inside the editable area.
    feather: usize = 4, |v| *v <= 256, "must be at most 256", "ours";
    /// Shorter side of the working picture in pixels; 0 takes the model's own size.
    size: usize = 0, |v| *v == 0 || (64..=2048).contains(v), "must be 0 or 64 to 2048", "the model's sample size: 512 for SD 1.5, 256 for demo";
    /// What the network sees of a picture much larger than the model's size: `auto` is a window around the editable area, `full` the whole picture.
    window: WindowChoice = WindowChoice::Auto, |_| true, "", "ours";
    /// Seed of all noise.
    seed: u64 = 0, |_| true, "", "DragDiffusion: seed 0 for the LoRA";
}

/// How the drag starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// The object's own noise waits at its target, background noise where it leaves.
    Moved,
    /// The inverted latent, untouched.
    Paper,
}

/// What the network sees of a large picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum WindowChoice {
    /// A window around the editable area, where that gives a sharper result.
    Auto,
    /// The whole picture.
    Full,
}

/// Which form of the optimisation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Absolute progress, features of the un-dragged reconstruction, mean loss, every update used.
    Pbsi,
    /// Algorithm 1 with its text's inclusive range of timesteps: sum loss over all decoder stages, source copied from the
    /// current features, last update dropped.
    Literal,
    /// The same with Algorithm 1's strict loop, which leaves out the first and the last timestep.
    LiteralStrict,
}

/// Timesteps over which the target moves to the goal; in files `"auto"` or their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RampLength {
    /// 0 with the moved start, else 5.
    #[serde(serialize_with = "serialize_auto")]
    Auto,
    /// So many.
    Timesteps(usize),
}

fn serialize_auto<S: serde::Serializer>(serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str("auto")
}

impl<'de> Deserialize<'de> for RampLength {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(RampLengthVisitor)
    }
}

struct RampLengthVisitor;

impl serde::de::Visitor<'_> for RampLengthVisitor {
    type Value = RampLength;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a number of timesteps or \"auto\"")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> std::result::Result<RampLength, E> {
        usize::try_from(number).map(RampLength::Timesteps).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> std::result::Result<RampLength, E> {
        if word == "auto" { Ok(RampLength::Auto) } else { Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)) }
    }
}

impl std::str::FromStr for RampLength {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Timesteps).map_err(|_| "expected auto or a number of timesteps"),
        }
    }
}

/// Decoder stages, 1 (coarsest) to 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Taps(pub Vec<usize>);

impl Taps {
    fn is_valid(&self) -> bool {
        let each_once = self.0.iter().enumerate().all(|(index, tap)| !self.0[..index].contains(tap));
        !self.0.is_empty() && each_once && self.0.iter().all(|tap| (1..=4).contains(tap))
    }
}

impl std::str::FromStr for Taps {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let taps: Option<Vec<usize>> = text.split(',').map(|tap| tap.trim().parse().ok()).collect();
        taps.map(Self).ok_or("expected numbers of decoder stages, separated by commas")
    }
}

impl Settings {
    /// The defaults of a mode. The paper's own form has all decoder stages, its own start and no hard background.
    fn defaults_of(mode: Mode) -> Self {
        match mode {
            Mode::Pbsi => Self::default(),
            Mode::Literal | Mode::LiteralStrict => {
                Self { mode, taps: Taps(vec![1, 2, 3, 4]), start: Start::Paper, hard_background: false, ..Self::default() }
            }
        }
    }

    /// Executed steps: `strength * steps`, rounded half to even (DragDiffusion's rounding: 37.5 gives 38).
    pub fn executed_steps(&self) -> usize {
        ((self.strength * self.steps as f64).round_ties_even() as usize).clamp(1, self.steps)
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
            let settings = Settings { strength, ..Settings::default() };
            assert_eq!(settings.executed_steps(), expected, "strength {strength}");
        }
    }

    #[test]
    fn what_is_given_first_wins() {
        let flags = Overrides { lr: Some(0.5), ..Overrides::default() };
        let file = Overrides { lr: Some(0.1), seed: Some(7), ..Overrides::default() };
        let settings = Settings::resolve(&flags.over(&file)).expect("both are within bounds");
        assert_eq!((settings.lr, settings.seed, settings.steps), (0.5, 7, 50));
    }

    #[test]
    fn values_out_of_bounds_are_refused_by_name() {
        let given = Overrides { strength: Some(1.5), ..Overrides::default() };
        let error = Settings::resolve(&given).expect_err("1.5 is above 1");
        assert_eq!(error.to_string(), "strength: `1.5` must be above 0 and at most 1");
        let given = Overrides { lr: Some(f64::NAN), ..Overrides::default() };
        let error = Settings::resolve(&given).expect_err("NaN is no learning rate");
        assert_eq!(error.to_string(), "lr: `NaN` must be above 0 and at most 100");
        let given = Overrides { ramp: Some(RampLength::Timesteps(1001)), ..Overrides::default() };
        let error = Settings::resolve(&given).expect_err("1001 is above 1000");
        assert_eq!(error.to_string(), "ramp: `1001` must be auto or at most 1000");
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for ramp in [RampLength::Auto, RampLength::Timesteps(3)] {
            let settings = Settings { ramp, ..Settings::default() };
            let json = serde_json::to_string(&settings).expect("settings are text and numbers");
            let given: Overrides = serde_json::from_str(&json).expect("all settings, as they were written");
            assert_eq!(Settings::resolve(&given).expect("they are within bounds"), settings);
        }
    }

    #[test]
    fn other_ramps_are_refused_with_what_is_expected() {
        for json in [r#"{"ramp": "slow"}"#, r#"{"ramp": -1}"#, r#"{"ramp": [3]}"#] {
            let error = serde_json::from_str::<Overrides>(json).expect_err("no ramp").to_string();
            assert!(error.contains("expected a number of timesteps or \"auto\""), "{error}");
        }
    }
}
