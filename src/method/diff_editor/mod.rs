#![doc = include_str!("README.md")]

mod settings;

use crate::method::dragon_diffusion::{EnergyGuided, EnergyWeights, GuidedDenoising, StepPlan};
use crate::method::{Figures, Profile, Score};

pub use settings::DiffEditorSettings;

impl EnergyGuided for DiffEditorSettings {
    const PROFILE: Profile = Profile {
        paper: "DiffEditor, arXiv 2402.02583",
        good_at: "As dragon-diffusion, with fresh noise where the picture may change; shapes and background change, too.",
        figures: Figures {
            plain: Score {
                gain: 0.168,
                hit: 0.09,
            },
            hard: Score {
                gain: 0.273,
                hit: 0.03,
            },
        },
    };

    fn denoising(&self) -> GuidedDenoising<'_> {
        GuidedDenoising {
            taps: &self.taps,
            weights: EnergyWeights {
                edit: self.edit_weight,
                content: self.content_weight,
                vacated: self.vacated_weight,
            },
            energy_scale: self.energy_scale,
            guidance_scale: self.guidance_scale,
            plan: StepPlan {
                guided: self.guided_share,
                guided_densely: self.dense_share,
                own_keys: self.own_keys_share,
                sde_strength: self.sde_strength,
                repeats: self.travels,
            },
            hard_background: self.hard_background,
        }
    }
}
