#![doc = include_str!("README.md")]

mod alternation;
mod settings;

use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::PointDrag;
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Misfit, Needs, Profile, Scene, Score, Subject,
};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Overrides};

use alternation::Alternation;
pub use settings::GoodDragSettings;

impl DragMethod for GoodDragSettings {
    const PROFILE: Profile = Profile {
        paper: "GoodDrag, arXiv 2404.07206",
        good_at: "Longer pulls of a point than drag-diffusion, with less drift of what is pulled.",
        figures: Figures {
            plain: Score {
                gain: 0.148,
                hit: 0.0,
            },
            hard: Score {
                gain: 0.307,
                hit: 0.03,
            },
        },
    };

    fn shared_defaults(given: &Overrides) -> Overrides {
        let _ = given;
        Self::shared()
    }

    fn needs(&self) -> Needs {
        Needs::OF_POINTS
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        PointDrag::misfits(&self.taps, subject)
    }

    fn is_still(&self, region: &Region, frame: &Frame) -> bool {
        PointDrag::is_still(region, frame)
    }

    fn cost(&self, _: &DiffusionSettings, timesteps: usize) -> Cost {
        let steps = self.timesteps.min(timesteps);
        let iterations = steps * self.tracks * self.iterations;
        Cost {
            steps,
            iterations,
            // A step denoises the reference latent, which gives its features too, and the edited one.
            passes: 2 * steps + iterations * (1 + self.text_optimisation.backward_passes()),
        }
    }

    fn drag<B: Backend, N: Network<B>>(
        &self,
        scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        Alternation::new(&scene, self).run(progress, interrupt)
    }
}
