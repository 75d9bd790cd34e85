#![doc = include_str!("README.md")]

mod settings;

use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::dragon_diffusion::{NEEDS, UNUSED, is_still, shared};
use crate::method::parts::PointDrag;
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Misfit, Needs, Profile, Scene, Score, Subject,
};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Overrides};

pub use settings::DiffEditorSettings;

impl DragMethod for DiffEditorSettings {
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
