#![doc = include_str!("README.md")]

mod bottleneck_gradient;
mod settings;

use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{
    Candidates, MotionSource, Optimised, PointDrag, PointLog, PointTracking, SingleTimestep,
};
use crate::method::{
    Bottleneck, Cost, DragMethod, Dragged, Figures, Misfit, Needs, Profile, Scene, Score, Subject,
};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Overrides};

use bottleneck_gradient::BottleneckGradient;
pub use settings::DragNoiseSettings;

impl DragMethod for DragNoiseSettings {
    const PROFILE: Profile = Profile {
        paper: "DragNoise, arXiv 2404.01050",
        good_at: "Coarse changes of shape by a pull of a point; an iteration goes back through the decoder alone.",
        figures: Figures {
            plain: Score {
                gain: 0.002,
                hit: 0.0,
            },
            hard: Score {
                gain: 0.030,
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
        let mut misfits = PointDrag::misfits(&self.taps, subject);
        if self.injected(subject.diffusion) == 0 {
            let executed = subject.diffusion.executed_steps();
            misfits.push(Misfit::Setting {
                name: "free_steps",
                value: self.free_steps.to_string(),
                reason: format!(
                    "leaves no step for the optimised bottleneck: the edit has {executed} steps, and `free_steps` must be fewer"
                ),
            });
        }
        misfits
    }

    fn is_still(&self, region: &Region, frame: &Frame) -> bool {
        PointDrag::is_still(region, frame)
    }

    fn cost(&self, _: &DiffusionSettings, _: usize) -> Cost {
        Cost {
            steps: 0,
            iterations: self.iterations,
            // One pass of the reference latent. A backward pass ends at the bottleneck, and counts as one.
            passes: 1 + self.iterations * 2,
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
            hard_background: false,
            lr: self.lr,
            keeps_partial: self.keep_partial,
        };
        single.drag(&scene, interrupt, |noisiest| {
            let own = noisiest.bottleneck;
            let tracking = PointTracking {
                radius: self.track_radius,
                candidates: Candidates::Window,
            };
            let timestep = noisiest.tracked(self.motion(), MotionSource::Current, tracking);
            let latent = scene.trajectory.inverted();
            let mut gradient = BottleneckGradient {
                network: scene.network,
                prompt: scene.prompt,
                taps: &self.taps.0,
                latent,
            };
            let (gradient, mut log) = (&mut gradient, PointLog::default());
            let (optimised, diverged) = timestep.run(
                own,
                self.iterations,
                gradient,
                &mut log,
                progress,
                interrupt,
            )?;
            Ok(Optimised {
                bottleneck: Some(Bottleneck {
                    own: own.clone(),
                    optimised,
                    steps: self.injected(scene.diffusion),
                }),
                ..timestep.ended((latent.clone(), diverged), log)
            })
        })
    }
}
