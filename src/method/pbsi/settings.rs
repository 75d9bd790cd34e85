//! Settings of progressive backward self-intervention.

use serde::{Deserialize, Serialize};

use crate::method::parts::{Taps, TextCode, TextOptimisation, TextSettings};
use crate::settings::{Form, Overrides, auto_or_number, settings};

/// Timesteps, iterations at each, and learning rate of a drag: DragNeXt, implementation details (T - T' = 38 - 33, K = 10, 2e-2).
const DRAG: (usize, usize, f64) = (5, 10, 0.02);
/// The same of the correction of a warped start, found with SceneBench: what the network paints has to be corrected as it paints, with few
/// iterations at many timesteps.
const CORRECTION: (usize, usize, f64) = (15, 3, 0.01);

settings! {
    /// Progressive backward self-intervention (DragNeXt, arXiv 2506.07611).
    pub struct PbsiSettings, "Settings of the method pbsi";
    /// Timesteps at which the latent is optimised.
    timesteps "timesteps": usize = CORRECTION.0, Form::Whole(0, 1000), "dragnext; with the other starts 5, DragNeXt, implementation details: T - T' = 38 - 33";
    /// Iterations of the optimisation at each of these timesteps.
    iterations "iterations": usize = CORRECTION.1, Form::Whole(1, 1000), "dragnext; with the other starts 10, DragNeXt, implementation details: K = 10";
    /// Timesteps over which a region's intermediate target moves from its handle to its target; 0 uses the target from the start. `auto` is 0 with `--start moved` and 5 with `--start paper`.
    ramp "ramp": RampLength = RampLength::Auto, Form::WordOr("auto", 1000), "DragNeXt, Eq. 5 and the progress beside it";
    /// Learning rate of the latent: length of Adam's steps, or root mean square of the first step of a correction with `--start warped`.
    lr "lr": f64 = CORRECTION.2, Form::Above(0.0, 100.0), "dragnext; with the other starts 0.02, DragNeXt, Eq. 6 and implementation details";
    /// Weight of the loss term that keeps cells outside the editable area close to the reference latent.
    mask_weight "mask_weight": f64 = 0.2, Form::Within(0.0, 1e6), "R_M of DragNeXt, Eq. 7; its released code: lambda = 0.2";
    /// Factor of the feature loss.
    loss_scale "loss_scale": f64 = 10.0, Form::Above(0.0, 1e6), "DragNeXt, Eq. 7; its released code: 10";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps "taps": Taps = Taps(vec![3]), Form::Stages(4), "DragNeXt, implementation details: all stages; its released code: 3";
    /// Latent that the optimisation starts from: `warped` is the inverted latent of the warped picture; `moved` copies an object's inverted noise to its target and fills the vacated area with background; `paper` is the inverted latent.
    start "start": Start = Start::Warped, Form::Words(&["warped", "moved", "paper"]), "dragnext; `moved` after RegionDrag's copy of the region, arXiv 2407.18247; `paper` is DragNeXt's form";
    /// Picture whose features the regions should have with `--start warped`: the `warped` one, or the `original` one with its regions moved.
    features "features": Features = Features::Warped, Form::Words(&["warped", "original"]), "dragnext";
    /// Share of fresh noise in the vacated area: 0 trusts the fill, 1 lets the model paint it anew. `paper` vacates nothing.
    vacated_noise "vacated_noise": f64 = 0.6, Form::Within(0.0, 1.0), "RegionDrag, arXiv 2407.18247, its interface: 0.6";
    /// Form of the algorithm: `pbsi` is dragnext's, `literal` is the paper word for word, `literal-strict` the same without the first and the last timestep, as in the loop of Algorithm 1.
    mode "mode": Mode = Mode::Pbsi, Form::Words(&["pbsi", "literal", "literal-strict"]), "DragNeXt, Algorithm 1";
    /// Resets cells outside the editable area to the reference latent after every update.
    hard_background "hard_background": bool = true, Form::Switch, "DragFlow, arXiv 2510.02253";
    /// Continues with the best latent of a timestep when the optimisation diverges there, instead of failing.
    keep_partial "keep_partial": bool = false, Form::Switch, "dragnext";
    /// Optimises the text embedding beside the latent (DragText): `clean` by the loss of the regions alone, `joint` by the latent's loss in the same backward pass, `code` as its released code.
    text_optimisation "text_optimisation": TextOptimisation = TextOptimisation::Off, Form::Words(&TextOptimisation::WORDS), "DragText, arXiv 2407.17843";
    /// Learning rate of the text embedding.
    text_lr "text_lr": f64 = 0.004, Form::Above(0.0, 100.0), "DragText, implementation details: 0.004";
    /// Weight of the loss term that holds the words of the text embedding.
    text_weight "text_weight": f64 = 0.1, Form::Within(0.0, 1e6), "DragText, implementation details: 0.1";
}

impl PbsiSettings {
    /// Returns the defaults that go with the given mode and start. The paper's own form compares all decoder stages, starts at the inverted
    /// latent, and has no hard background. A warped start is corrected in small steps and the others are dragged in the paper's.
    pub(super) fn with_start_of(given: &Overrides) -> Self {
        let mode = word(given, "mode").unwrap_or(Mode::Pbsi);
        let (taps, hard_background) = match mode {
            Mode::Pbsi => (Taps(vec![3]), true),
            Mode::Literal | Mode::LiteralStrict => (Taps(vec![1, 2, 3, 4]), false),
        };
        let start = start_of(given);
        let ((timesteps, iterations, lr), vacated_noise) = match start {
            Start::Warped => (CORRECTION, Self::default().vacated_noise),
            Start::Moved | Start::Paper => (DRAG, 1.0),
        };
        Self {
            timesteps,
            iterations,
            lr,
            taps,
            start,
            vacated_noise,
            mode,
            hard_background,
            ..Self::default()
        }
    }

    /// Returns the defaults of shared settings that go with the given start: without the warped picture, the papers' form.
    pub(super) fn shared_with_start_of(given: &Overrides) -> Overrides {
        match start_of(given) {
            // What is not edited comes back without a LoRA.
            Start::Warped => Overrides::from([("lora_steps", 0)]),
            Start::Moved | Start::Paper => {
                let mut papers = Overrides::from([("trajectory", "denoised")]);
                papers.set("detail", 0.0);
                papers
            }
        }
    }

    /// Returns whether the start has the right features already, so that there is nothing to correct.
    pub fn is_right(&self) -> bool {
        self.corrects() && self.features == Features::Warped && self.vacated_noise == 0.0
    }

    /// As [`PbsiSettings::is_right`], for a start of which it is known whether any cell is new: without one, no fresh noise disturbs it.
    pub(super) fn starts_right(&self, has_new: bool) -> bool {
        self.is_right() || (self.corrects() && !has_new && !self.needs_original())
    }

    /// Returns whether a model's own default of a setting applies: the noise of the vacated area is that of a warped start.
    pub(super) fn takes_from_model(name: &str, given: &Overrides) -> bool {
        name != "vacated_noise" || start_of(given) == Start::Warped
    }

    /// Returns whether the optimisation corrects a start that is right in most places, instead of dragging.
    pub fn corrects(&self) -> bool {
        self.start == Start::Warped && self.mode == Mode::Pbsi
    }

    /// Returns whether the inversion of the original picture is needed beside that of the warped one.
    pub fn needs_original(&self) -> bool {
        self.corrects() && self.features == Features::Original && self.timesteps > 0
    }

    /// Returns how the text embedding is optimised.
    pub(super) fn text(&self) -> TextSettings {
        TextSettings {
            mode: self.text_optimisation,
            lr: self.text_lr,
            weight: self.text_weight,
            // As the released code does on GoodDrag, which drags at several timesteps too.
            code: TextCode::Cleared,
        }
    }

    /// Returns whether the features to reach are not those of the reference latent.
    pub(super) fn has_features_of_its_own(&self) -> bool {
        self.mode != Mode::Pbsi || self.needs_original()
    }

    /// Returns the timesteps over which the aim moves, `auto` resolved.
    pub fn ramp_length(&self) -> usize {
        match (self.ramp, self.start) {
            (RampLength::Timesteps(length), _) => length,
            (RampLength::Auto, Start::Warped | Start::Moved) => 0,
            (RampLength::Auto, Start::Paper) => 5,
        }
    }
}

/// Returns the given start, or the default of the given mode.
fn start_of(given: &Overrides) -> Start {
    word(given, "start").unwrap_or(match word(given, "mode") {
        Some(Mode::Literal | Mode::LiteralStrict) => Start::Paper,
        Some(Mode::Pbsi) | None => Start::Warped,
    })
}

/// Returns the given word of a setting; `None` when it is not given or is unknown.
fn word<T: serde::de::DeserializeOwned>(given: &Overrides, name: &str) -> Option<T> {
    given
        .get(name)
        .and_then(|word| serde_json::from_value(word.clone()).ok())
}

/// Latent that the optimisation starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// The inverted latent of the warped picture, with fresh noise in the vacated area.
    Warped,
    /// The inverted latent with every object's noise at its target, and background with fresh noise in the vacated area.
    Moved,
    /// The inverted latent.
    Paper,
}

/// Picture whose features the regions should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Features {
    /// The warped picture: features at the regions' targets.
    Warped,
    /// The original picture: features at the regions' own places.
    Original,
}

/// Form of the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Absolute progress, features of the reference latent, mean loss, every update used.
    Pbsi,
    /// Algorithm 1 with its text's inclusive range of timesteps: sum loss over all decoder stages, source features of the current latent,
    /// last update dropped.
    Literal,
    /// The same with Algorithm 1's strict loop, which leaves out the first and the last timestep.
    LiteralStrict,
}

/// Timesteps over which the aim moves to the target; in files `"auto"` or their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RampLength {
    /// 0 with the moved start, else 5.
    #[serde(serialize_with = "crate::settings::serialize_auto")]
    Auto,
    /// This number.
    Timesteps(usize),
}

auto_or_number!(RampLength, Timesteps, "a number of timesteps or \"auto\"");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingsGroup;

    #[test]
    fn the_literal_modes_have_the_papers_defaults() {
        let given = Overrides::from([("mode", "literal-strict")]);
        let settings = PbsiSettings::with_start_of(&given);
        assert_eq!(settings.mode, Mode::LiteralStrict);
        assert_eq!(
            (settings.start, settings.hard_background),
            (Start::Paper, false)
        );
        assert_eq!(settings.taps, Taps(vec![1, 2, 3, 4]));
        assert_eq!(settings.ramp_length(), 5);
        assert_eq!(
            PbsiSettings::with_start_of(&Overrides::default()).ramp_length(),
            0
        );
    }

    #[test]
    fn serialised_settings_read_back_equal() {
        for ramp in [RampLength::Auto, RampLength::Timesteps(3)] {
            let settings = PbsiSettings {
                ramp,
                ..PbsiSettings::default()
            };
            let text = serde_json::to_string(&settings).expect("settings are text and numbers");
            let read: PbsiSettings = serde_json::from_str(&text).expect("they were written so");
            assert_eq!(read, settings);
        }
    }

    #[test]
    fn every_default_fits_its_form() {
        for setting in PbsiSettings::GROUP.settings {
            assert_eq!(
                setting.form.read(&setting.default()),
                Ok(setting.default()),
                "{}",
                setting.name
            );
        }
        let default = PbsiSettings::default();
        assert_eq!(
            default.clone().with(&Overrides::default()).ok(),
            Some(default)
        );
    }
}
