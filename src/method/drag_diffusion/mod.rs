#![doc = include_str!("README.md")]

mod settings;

use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{
    Candidates, DragGradient, MotionSource, Optimised, PointDrag, PointLog, PointTracking,
    SingleTimestep, TextGradient, TextOptimisation,
};
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Misfit, Needs, Profile, Scene, Score, Subject,
};
use crate::model::unet::Network;
use crate::nn::Tensor;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Overrides};

pub use settings::DragDiffusionSettings;

impl DragMethod for DragDiffusionSettings {
    const PROFILE: Profile = Profile {
        paper: "DragDiffusion, arXiv 2306.14435",
        good_at: "Short pulls of a point; the rest follows as the model sees fit.",
        figures: Figures {
            plain: Score {
                gain: 0.045,
                hit: 0.0,
            },
            hard: Score {
                gain: 0.143,
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
            // One pass of the reference latent.
            passes: 1 + self.iterations * (1 + self.text_optimisation.backward_passes()),
        }
    }

    fn drag<B: Backend, N: Network<B>>(
        &self,
        scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let single = SingleTimestep {
            taps: &self.taps.0,
            mask_weight: self.mask_weight,
            hard_background: self.hard_background,
            lr: self.lr,
            keeps_partial: self.keep_partial,
        };
        single.drag(&scene, interrupt, |noisiest| {
            let tracking = PointTracking {
                radius: self.track_radius,
                candidates: Candidates::Window,
            };
            let timestep = noisiest.tracked(self.motion(), MotionSource::Current, tracking);
            let log = &mut PointLog::default();
            let start = scene.trajectory.inverted();
            let (network, context, taps) = (scene.network, scene.context, &self.taps.0);
            let (end, prompts) = if self.text_optimisation == TextOptimisation::Off {
                let mut gradient = DragGradient {
                    network,
                    prompt: scene.prompt,
                    taps,
                };
                let gradient = &mut gradient;
                let end = timestep.run(start, self.iterations, gradient, log, progress, interrupt);
                (end?, None)
            } else {
                let mut gradient =
                    TextGradient::new(network, taps, context, scene.words, self.text());
                let end = timestep.run(
                    start,
                    self.iterations,
                    &mut gradient,
                    log,
                    progress,
                    interrupt,
                );
                let prompts = Tensor::stacked(&[context.clone(), gradient.text().clone()]);
                (end?, Some(prompts))
            };
            Ok(Optimised {
                prompts,
                ..timestep.ended(end, std::mem::take(log))
            })
        })
    }
}
