#![doc = include_str!("README.md")]

mod dragged_point;
mod line;
mod optimisation;
mod settings;

use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{DragGradient, PointDrag, SingleTimestep};
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Misfit, Needs, Profile, Scene, Score, Subject,
};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Overrides};

pub use settings::FreeDragSettings;

impl DragMethod for FreeDragSettings {
    const PROFILE: Profile = Profile {
        paper: "FreeDrag, arXiv 2307.04684",
        good_at: "Pulls of a point among others that look alike: it is not tracked, and goes straight to its target.",
        figures: Figures {
            plain: Score {
                gain: 0.010,
                hit: 0.0,
            },
            hard: Score {
                gain: 0.150,
                hit: 0.0,
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

    fn cost(&self, _: &DiffusionSettings, _: usize) -> Cost {
        Cost {
            steps: 0,
            iterations: self.iterations,
            // One pass of the reference latent. The search for the next places needs no pass of its own.
            passes: 1 + self.iterations * 2,
        }
    }

    fn drag<B: Backend, N: Network<B>>(
        &self,
        scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let start = scene.trajectory.inverted();
        let single = SingleTimestep {
            taps: &self.taps.0,
            // The mask term is a sum; here its mean over all numbers of the latent counts.
            mask_weight: self.mean_mask_weight / start.shape().len() as f64,
            hard_background: self.hard_background,
            lr: self.lr,
            keeps_partial: self.keep_partial,
        };
        single.drag(&scene, interrupt, |noisiest| {
            let mut gradient = DragGradient {
                network: scene.network,
                prompt: scene.prompt,
                taps: &self.taps.0,
            };
            optimisation::optimise(self, &noisiest, start, &mut gradient, progress, interrupt)
        })
    }
}
