#![doc = include_str!("README.md")]

mod guided_denoising;
mod prediction;
mod settings;
mod step_plan;
#[cfg(test)]
mod tests;

use crate::diffusion::Spacing;
use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{MovedSquare, PointDrag, feature_grid};
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Inversion, Misfit, Needs, Profile, Scene, Score, Subject,
};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Overrides};

pub(super) use crate::method::parts::EnergyWeights;
pub(super) use guided_denoising::GuidedDenoising;
pub use settings::DragonDiffusionSettings;
pub(super) use settings::shared;
pub(super) use step_plan::StepPlan;

/// What the methods with energy guidance need.
pub(super) const NEEDS: Needs = Needs {
    inversion: Inversion::Own,
    spacing: Spacing::Leading,
    unconditional: true,
    ..Needs::OF_POINTS
};

/// Shared settings that the methods with energy guidance do not use.
pub(super) const UNUSED: &[(&str, &str)] = &[
    ("degree", "nothing is optimised"),
    (
        "start_layer",
        "all layers of the decoder have the keys and values of the picture beside their own",
    ),
];

/// Returns whether a region does not move, or its point moves within a cell of the feature grid.
pub(super) fn is_still(region: &Region, frame: &Frame) -> bool {
    let grid = feature_grid(frame);
    region.is_still() || MovedSquare::new(region, &grid).is_still()
}

impl DragMethod for DragonDiffusionSettings {
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

    const UNUSED: &'static [(&'static str, &'static str)] = UNUSED;

    fn shared_defaults(_: &Overrides) -> Overrides {
        shared()
    }

    fn needs(&self) -> Needs {
        NEEDS
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        PointDrag::misfits(&self.taps, subject)
    }

    fn is_still(&self, region: &Region, frame: &Frame) -> bool {
        is_still(region, frame)
    }

    fn cost(&self, diffusion: &DiffusionSettings, timesteps: usize) -> Cost {
        self.denoising().cost(diffusion, timesteps)
    }

    fn drag<B: Backend, N: Network<B>>(
        &self,
        scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        self.denoising().drag(scene, progress, interrupt)
    }
}
