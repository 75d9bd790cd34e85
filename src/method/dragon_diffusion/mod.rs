#![doc = include_str!("README.md")]

mod energy_guided;
mod guided_denoising;
mod prediction;
mod settings;
mod step_plan;
#[cfg(test)]
mod tests;

use crate::method::{Figures, Profile, Score};

pub(super) use crate::method::parts::EnergyWeights;
pub(super) use energy_guided::EnergyGuided;
pub(super) use guided_denoising::GuidedDenoising;
pub use settings::DragonDiffusionSettings;
pub(super) use step_plan::StepPlan;

impl EnergyGuided for DragonDiffusionSettings {
    const PROFILE: Profile = Profile {
        paper: "DragonDiffusion, arXiv 2307.02421",
        good_at: "Moves what is around a point, without a LoRA; the editable area is painted anew, so that shapes and background change.",
        figures: Figures {
            plain: Score {
                gain: 0.120,
                hit: 0.09,
            },
            hard: Score {
                gain: 0.276,
                hit: 0.06,
            },
        },
    };

    /// Every guided step is guided densely, and none is stochastic or has time travel.
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
                guided_densely: self.guided_share,
                own_keys: self.own_keys_share,
                sde_strength: 0.0,
                repeats: 1,
            },
            hard_background: self.hard_background,
        }
    }
}
