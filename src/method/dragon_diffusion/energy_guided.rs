//! What the methods with energy guidance have in common: all but their settings and their [`Profile`].

use crate::diffusion::Spacing;
use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{MovedSquare, PointDrag, feature_grid};
use crate::method::{Cost, DragMethod, Dragged, Inversion, Misfit, Needs, Profile, Scene, Subject};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Overrides, SettingsGroup};

use super::GuidedDenoising;

/// A method that is a denoising with energy guidance.
pub(in crate::method) trait EnergyGuided: SettingsGroup {
    /// As [`DragMethod::PROFILE`].
    const PROFILE: Profile;

    /// Returns the denoising.
    fn denoising(&self) -> GuidedDenoising<'_>;
}

impl<M: EnergyGuided> DragMethod for M {
    const PROFILE: Profile = <M as EnergyGuided>::PROFILE;

    const UNUSED: &'static [(&'static str, &'static str)] = &[
        ("degree", "nothing is optimised"),
        (
            "start_layer",
            "all layers of the decoder have the keys and values of the picture beside their own",
        ),
    ];

    /// Returns the shared settings of both papers: all steps, without a LoRA.
    fn shared_defaults(_: &Overrides) -> Overrides {
        let mut papers = Overrides::from([("trajectory", "denoised")]);
        papers.set("strength", 1.0);
        papers.set("lora_steps", 0);
        papers.set("detail", 0.0);
        papers
    }

    fn needs(&self) -> Needs {
        Needs {
            inversion: Inversion::Own,
            spacing: Spacing::Leading,
            unconditional: true,
            ..Needs::OF_POINTS
        }
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        PointDrag::misfits(self.denoising().taps, subject)
    }

    /// Returns whether a region does not move, or its point moves within a cell of the feature grid.
    fn is_still(&self, region: &Region, frame: &Frame) -> bool {
        let grid = feature_grid(frame);
        region.is_still() || MovedSquare::new(region, &grid).is_still()
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
