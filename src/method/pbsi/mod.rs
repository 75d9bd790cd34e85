#![doc = include_str!("README.md")]

mod feature_loss;
mod optimisation;
mod progress;
mod settings;

use crate::diffusion::Spacing;
use crate::diffusion::denoise::Pair;
use crate::diffusion::kept::{CellContent, KeptTrajectory};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{moved_start, warped_start};
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Inversion, Misfit, Needs, Profile, Scene, Score,
    StartPicture, Subject, Targets,
};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::settings::{DiffusionSettings, Overrides, TrajectoryChoice};

use optimisation::Optimisation;
pub use progress::ProgressSchedule;
pub use settings::{Mode, PbsiSettings, RampLength, Start};

impl DragMethod for PbsiSettings {
    const PROFILE: Profile = Profile {
        paper: "DragNeXt, arXiv 2506.07611",
        good_at: "Moves, turns, scales and stretches whole objects, sharp and in place; what it moves keeps its look, so it invents little.",
        figures: Figures {
            plain: Score {
                gain: 0.996,
                hit: 1.0,
            },
            hard: Score {
                gain: 0.980,
                hit: 1.0,
            },
        },
    };

    fn defaults(given: &Overrides) -> Self {
        Self::with_start_of(given)
    }

    fn shared_defaults(given: &Overrides) -> Overrides {
        Self::shared_with_start_of(given)
    }

    fn takes_from_model(name: &str, given: &Overrides) -> bool {
        Self::takes_from_model(name, given)
    }

    fn needs(&self) -> Needs {
        Needs {
            lora: true,
            edit_prompt: false,
            clip: false,
            targets: Targets::Regions,
            start: match self.start {
                Start::Warped => StartPicture::Warped,
                Start::Moved | Start::Paper => StartPicture::Original,
            },
            original: self.needs_original(),
            inversion: Inversion::Pipeline,
            spacing: Spacing::Leading,
            unconditional: false,
        }
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        self.taps.misfits(subject)
    }

    fn resolved(&self) -> Overrides {
        Overrides::from([("ramp", self.ramp_length())])
    }

    fn cost(&self, _: &DiffusionSettings, timesteps: usize) -> Cost {
        if self.is_right() {
            return Cost::default();
        }
        let schedule = ProgressSchedule::new(self);
        let (steps, iterations) = (schedule.steps(timesteps), schedule.iterations(timesteps));
        // An iteration is a forward pass and backward passes; a step denoises the reference latent, which gives its features too, and the edited
        // one. Features of another latent take a pass of their own.
        let features = if self.has_features_of_its_own() {
            schedule.optimised(timesteps)
        } else {
            0
        };
        Cost {
            steps,
            iterations,
            passes: iterations * (1 + self.text_optimisation.backward_passes())
                + 2 * steps
                + features,
        }
    }

    fn keeps_warped(&self, diffusion: &DiffusionSettings, has_new: bool) -> bool {
        diffusion.trajectory == TrajectoryChoice::Kept && self.starts_right(has_new)
    }

    fn drag<B: Backend, N: Network<B>>(
        &self,
        mut scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let (start, contents) = match self.start {
            Start::Paper => {
                let cells = scene.frame.latent_grid().len();
                let inverted = scene.trajectory.inverted().clone();
                (inverted, (0..cells).map(CellContent::Of).collect())
            }
            Start::Moved => moved_start(&mut scene, self.vacated_noise),
            Start::Warped => warped_start(&mut scene, self.vacated_noise),
        };
        let is_kept = scene.diffusion.trajectory == TrajectoryChoice::Kept;
        let trajectory = scene.trajectory.clone();
        let kept = is_kept.then(|| KeptTrajectory::new(trajectory, &contents, self.vacated_noise));
        if self.starts_right(contents.contains(&CellContent::New)) {
            return Ok(Dragged {
                pair: Pair {
                    reference: scene.trajectory.inverted().clone(),
                    edit: start.clone(),
                },
                start,
                kept,
                steps: 0,
                losses: Vec::new(),
                diverged: 0,
                tracks: Vec::new(),
                prompts: None,
                bottleneck: None,
            });
        }
        Optimisation::new(&scene, self).run(start, kept, progress, interrupt)
    }
}
