#![doc = include_str!("README.md")]

mod fusion;
mod guided_gradient;
mod settings;
#[cfg(test)]
mod tests;
mod text_loss;

use crate::diffusion::denoise::Pair;
use crate::diffusion::kept::{CellContent, KeptTrajectory};
use crate::diffusion::{Spacing, require_finite};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{
    Candidates, DragGradient, Frozen, MaskTerm, MotionSource, PointDrag, PointLog, PointTimestep,
    PointTracking,
};
use crate::method::{
    Cost, DragMethod, Dragged, Inversion, Misfit, Needs, Profile, Scene, StartPicture, Subject, Targets,
};
use crate::model::unet::{Input, Network, NoiseAndFeatures};
use crate::progress::{Progress, Stage};
use crate::settings::{Overrides, TrajectoryChoice};

use guided_gradient::GuidedGradient;
use text_loss::TextLoss;

pub use fusion::Fusion;
pub use settings::ClipDragSettings;

impl DragMethod for ClipDragSettings {
    const PROFILE: Profile = Profile {
        paper: "CLIPDrag, arXiv 2410.03097",
        good_at: "Pulls of a point whose meaning a text says, such as opening a mouth. Slow: every iteration decodes the picture.",
        figures: None,
    };

    fn shared_defaults(given: &Overrides) -> Overrides {
        let _ = given;
        Self::shared()
    }

    fn needs(&self) -> Needs {
        Needs {
            lora: true,
            edit_prompt: self.follows_text(),
            clip: self.follows_text(),
            targets: Targets::Points,
            start: StartPicture::Original,
            original: false,
            inversion: Inversion::Pipeline,
            spacing: Spacing::Leading,
        }
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        let mut misfits = self.taps.misfits(subject);
        if self.follows_text() && subject.goal.trim().is_empty() {
            misfits.push(Misfit::Prompt {
                message: "clip-drag follows a text, and there is none".into(),
                hint: "say in `edit_prompt` what the edited picture shows, or in `prompt` what the picture shows; without a text, `drag-diffusion` drags the same way".into(),
            });
        }
        misfits
    }

    fn cost(&self, timesteps: usize) -> Cost {
        let _ = timesteps;
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
        let start = scene.trajectory.inverted();
        let t = scene.grid.timesteps[0];
        let after = scene.grid.after(t);
        interrupt.check()?;
        let input = Input::at(start, t as f64, scene.prompt);
        let want = NoiseAndFeatures::of(&self.taps.0);
        let (noise, original) = scene.network.forward(input, want);
        require_finite(&noise, Stage::Drag, 1, "the noise prediction")?;
        let next = scene.schedule.step(start.clone(), &noise, t, after);

        let drags = PointDrag::of_regions(scene.regions, &scene.frame);
        let frozen = scene
            .editable
            .map(|editable| Frozen::new(start.backend(), editable, &scene.frame));
        let mask = frozen.as_ref().map(|frozen| MaskTerm {
            frozen,
            weight: self.mask_weight,
            schedule: scene.schedule,
            step: [t, after],
            reference: &next,
        });
        let timestep = PointTimestep {
            t,
            frame: &scene.frame,
            drags: &drags,
            motion: self.motion(),
            source: MotionSource::Original,
            tracking: PointTracking {
                radius: self.track_radius,
                candidates: Candidates::Nearer,
            },
            original: &original,
            mask: mask.filter(|_| self.mask_weight > 0.0),
            held: frozen
                .as_ref()
                .filter(|_| self.hard_background)
                .map(|frozen| (frozen, start)),
            lr: self.lr,
            keeps_partial: self.keep_partial,
        };

        let mut log = PointLog::default();
        let (network, prompt, taps) = (scene.network, scene.prompt, &self.taps.0);
        let (edit, diverged) = match scene.guide {
            Some(guide) => {
                let text = TextLoss::new(guide, scene.vae, &scene.frame, self, scene.schedule, t);
                let mut gradient = GuidedGradient {
                    network,
                    prompt,
                    taps,
                    text,
                    fusion: self.fusion,
                    weight: self.fusion_weight,
                    interrupt,
                };
                let gradient = &mut gradient;
                timestep.run(
                    start,
                    self.iterations,
                    gradient,
                    &mut log,
                    progress,
                    interrupt,
                )?
            }
            None => {
                let mut gradient = DragGradient {
                    network,
                    prompt,
                    taps,
                };
                let gradient = &mut gradient;
                timestep.run(
                    start,
                    self.iterations,
                    gradient,
                    &mut log,
                    progress,
                    interrupt,
                )?
            }
        };
        let contents: Vec<CellContent> = (0..scene.frame.latent_grid().len())
            .map(CellContent::Of)
            .collect();
        let is_kept = scene.diffusion.trajectory == TrajectoryChoice::Kept;
        Ok(Dragged {
            start: start.clone(),
            pair: Pair {
                reference: start.clone(),
                edit,
            },
            kept: is_kept.then(|| KeptTrajectory::new(scene.trajectory.clone(), &contents, 0.0)),
            steps: 0,
            tracks: log.tracks(&drags, &scene.frame.supervision_grid()),
            losses: log.losses,
            diverged: usize::from(diverged),
            prompts: None,
        })
    }
}
