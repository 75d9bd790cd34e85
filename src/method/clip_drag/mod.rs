#![doc = include_str!("README.md")]

mod fusion;
mod guided_gradient;
mod settings;
#[cfg(test)]
mod tests;
mod text_loss;

use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{
    Candidates, DragGradient, MotionSource, PointDrag, PointLog, PointTracking, SingleTimestep,
};
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Misfit, Needs, Profile, Scene, Score, Subject,
};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::region::Region;
use crate::settings::{DiffusionSettings, Overrides};

use guided_gradient::GuidedGradient;
use text_loss::TextLoss;

pub use fusion::Fusion;
pub use settings::ClipDragSettings;

impl DragMethod for ClipDragSettings {
    const PROFILE: Profile = Profile {
        paper: "CLIPDrag, arXiv 2410.03097",
        good_at: "Pulls of a point whose meaning a text says, such as opening a mouth. Slow: every iteration decodes the picture.",
        figures: Figures {
            plain: Score {
                gain: 0.018,
                hit: 0.0,
            },
            hard: Score {
                gain: 0.146,
                hit: 0.0,
            },
        },
    };

    fn shared_defaults(given: &Overrides) -> Overrides {
        let _ = given;
        Self::shared()
    }

    fn needs(&self) -> Needs {
        Needs {
            edit_prompt: self.follows_text(),
            clip: self.follows_text(),
            ..Needs::OF_POINTS
        }
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        let mut misfits = PointDrag::misfits(&self.taps, subject);
        if self.follows_text() && subject.goal.trim().is_empty() {
            misfits.push(Misfit::Prompt {
                message: "clip-drag follows a text, and there is none".into(),
                hint: "say in `edit_prompt` what the edited picture shows, or in `prompt` what the picture shows; without a text, `drag-diffusion` drags the same way".into(),
            });
        }
        misfits
    }

    fn is_still(&self, region: &Region, frame: &Frame) -> bool {
        PointDrag::is_still(region, frame)
    }

    fn cost(&self, _: &DiffusionSettings, _: usize) -> Cost {
        let backward = if self.follows_text() { 2 } else { 1 };
        Cost {
            steps: 0,
            iterations: self.iterations,
            // One pass of the reference latent. Decoder and CLIP are not counted.
            passes: 1 + self.iterations * (1 + backward),
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
                candidates: Candidates::Nearer,
            };
            let timestep = noisiest.tracked(self.motion(), MotionSource::Original, tracking);
            let log = &mut PointLog::default();
            let start = scene.trajectory.inverted();
            let (network, prompt, taps) = (scene.network, scene.prompt, &self.taps.0);
            let end = if let Some(guide) = scene.guide {
                let (frame, t) = (&scene.frame, timestep.t);
                let mut gradient = GuidedGradient {
                    network,
                    prompt,
                    taps,
                    text: TextLoss::new(guide, scene.vae, frame, self, scene.schedule, t),
                    fusion: self.fusion,
                    weight: self.fusion_weight,
                    interrupt,
                };
                let gradient = &mut gradient;
                timestep.run(start, self.iterations, gradient, log, progress, interrupt)?
            } else {
                let mut gradient = DragGradient {
                    network,
                    prompt,
                    taps,
                };
                let gradient = &mut gradient;
                timestep.run(start, self.iterations, gradient, log, progress, interrupt)?
            };
            Ok(timestep.ended(end, std::mem::take(log)))
        })
    }
}
