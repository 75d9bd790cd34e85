//! Settings of RegionDrag.

use serde::{Deserialize, Serialize};

use crate::region::RegionKind;
use crate::settings::{Form, Overrides, settings};

settings! {
    /// RegionDrag (arXiv 2407.18247).
    pub struct RegionDragSettings, "Settings of the method region-drag";
    /// Share of fresh noise in the cells that a region leaves: 0 keeps their content, 1 lets the model paint them anew. `auto` is 1 where a region leaves its place and 0.2 where it is deformed; with `--copies picture` it is 0.6.
    noise_scale "noise_scale": NoiseScale = NoiseScale::Auto, Form::WordOrWithin("auto", 0.0, 1.0), "dragnext; RegionDrag, released code: 0.6 in its interface, 1 in its evaluation";
    /// What the targets get at every level: `latents` the cells of the original's latents that their content came from, each as it is; `picture` the cells of the warped picture's latents, in which a turned region is turned.
    copies "copies": Copies = Copies::Latents, Form::Words(&["latents", "picture"]), "RegionDrag; `picture` is dragnext's, after its variant that pastes pixels first";
}

/// What the targets get at every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Copies {
    /// Cells of the original's latents.
    Latents,
    /// Cells of the warped picture's latents.
    Picture,
}

/// Share of fresh noise in the cells that a region leaves; in files `"auto"` or the share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "GivenScale", untagged)]
pub enum NoiseScale {
    /// A share for each kind of drag.
    #[serde(serialize_with = "crate::settings::serialize_auto")]
    Auto,
    /// This share.
    Share(f64),
}

/// A noise scale as files have it.
#[derive(Deserialize)]
#[serde(untagged)]
enum GivenScale {
    Word(Auto),
    Share(f64),
}

#[derive(Deserialize)]
enum Auto {
    #[serde(rename = "auto")]
    Auto,
}

impl From<GivenScale> for NoiseScale {
    fn from(given: GivenScale) -> Self {
        match given {
            GivenScale::Word(Auto::Auto) => Self::Auto,
            GivenScale::Share(share) => Self::Share(share),
        }
    }
}

/// Share where a region leaves its place: with less, a ghost of it stays.
const LEAVING: f64 = 1.0;
/// Share where a region is deformed: more tears it from what it belongs to.
const DEFORMED: f64 = 0.2;
/// Share in the new cells of the warped picture, which shows no ghost and has a fill already.
const FILLED: f64 = 0.6;

impl RegionDragSettings {
    /// Returns what is copied when these settings are given.
    pub(super) fn copies_of(given: &Overrides) -> Copies {
        let word = given.get("copies").cloned();
        let copies = word.and_then(|word| serde_json::from_value(word).ok());
        copies.unwrap_or(Self::default().copies)
    }
}

impl NoiseScale {
    /// Returns the share in the cells that a region of this kind leaves.
    pub fn of(self, kind: RegionKind) -> f64 {
        match self {
            Self::Auto if kind.vacates() => LEAVING,
            Self::Auto => DEFORMED,
            Self::Share(share) => share,
        }
    }

    /// Returns the share in the new cells of a warped picture.
    pub fn of_new_cells(self) -> f64 {
        match self {
            Self::Auto => FILLED,
            Self::Share(share) => share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingsGroup;

    #[test]
    fn auto_depends_on_the_kind_and_a_number_does_not() {
        let of = |scale: NoiseScale| {
            [RegionKind::Rotation, RegionKind::Deformation].map(|kind| scale.of(kind))
        };
        assert_eq!(of(NoiseScale::Auto), [LEAVING, DEFORMED]);
        assert_eq!(of(NoiseScale::Share(0.3)), [0.3, 0.3]);
    }

    #[test]
    fn settings_read_back_what_they_wrote() {
        for noise_scale in [
            NoiseScale::Auto,
            NoiseScale::Share(0.25),
            NoiseScale::Share(1.0),
        ] {
            let settings = RegionDragSettings {
                noise_scale,
                ..RegionDragSettings::default()
            };
            let values = Overrides::from_map(&settings.values(), &[RegionDragSettings::GROUP]);
            let values = values.expect("they are settings");
            let read = RegionDragSettings::default().with(&values);
            assert_eq!(read.expect("they are within bounds"), settings);
        }
    }
}
