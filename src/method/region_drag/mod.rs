#![doc = include_str!("README.md")]

mod cells;
mod levels;
mod settings;
#[cfg(test)]
mod tests;

use crate::diffusion::denoise::Pair;
use crate::diffusion::{Spacing, Stream};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Inversion, Misfit, Needs, Profile, Scene, Score,
    StartPicture, Subject, Targets,
};
use crate::model::unet::Network;
use crate::progress::Progress;
use crate::settings::{DiffusionSettings, Overrides};

use cells::{CellCopy, MovedCells};
pub use settings::{Copies, NoiseScale, RegionDragSettings};

impl DragMethod for RegionDragSettings {
    const PROFILE: Profile = Profile {
        paper: "RegionDrag, arXiv 2407.18247",
        good_at: "Moves and turns whole objects in seconds, even on a CPU; the model paints what they leave. Weak where a part is stretched.",
        figures: Figures {
            plain: Score {
                gain: 0.646,
                hit: 0.38,
            },
            hard: Score {
                gain: 0.588,
                hit: 0.33,
            },
        },
    };

    const UNUSED: &'static [(&'static str, &'static str)] = &[
        ("degree", "nothing is optimised"),
        ("trajectory", "its inversion returns to the picture exactly"),
        (
            "start_layer",
            "all layers have the keys and values of the picture",
        ),
    ];

    fn shared_defaults(given: &Overrides) -> Overrides {
        let mut defaults = Overrides::from([("steps", 20), ("lora_steps", 0)]);
        defaults.set("strength", 0.5);
        if Self::copies_of(given) == Copies::Latents {
            defaults.set("detail", 0.0);
        }
        defaults
    }

    fn needs(&self) -> Needs {
        Needs {
            lora: true,
            edit_prompt: false,
            clip: false,
            targets: Targets::Regions,
            start: match self.copies {
                Copies::Latents => StartPicture::Original,
                Copies::Picture => StartPicture::Warped,
            },
            original: false,
            inversion: Inversion::Own,
            spacing: Spacing::Linspace,
            unconditional: false,
        }
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        let grid = subject.frame.latent_grid();
        let lost = subject
            .regions
            .iter()
            .filter(|region| region.covered_cells(1.0, &grid).is_empty());
        let lost = lost.map(|region| Misfit::Region {
            id: region.id.clone(),
            key: "",
            message: "after the drag, the region covers the centre of no cell of the latent".into(),
            hint: "a cell is 8 x 8 working pixels; enlarge the region, or choose another method"
                .into(),
        });
        let diffusion = subject.diffusion;
        let has_no_level_above = diffusion.executed_steps() == diffusion.steps;
        let strength = has_no_level_above.then(|| Misfit::Setting {
            name: "strength",
            value: diffusion.strength.to_string(),
            reason: format!(
                "executes all {} steps, but region-drag needs a noisier level above them; use less, or more `--steps`",
                diffusion.steps
            ),
        });
        lost.chain(strength).collect()
    }

    fn cost(&self, _: &DiffusionSettings, timesteps: usize) -> Cost {
        Cost {
            steps: timesteps,
            iterations: 2 * timesteps,
            passes: 2 * timesteps,
        }
    }

    fn keeps_warped(&self, _: &DiffusionSettings, has_new: bool) -> bool {
        let adds_noise = has_new && self.noise_scale != NoiseScale::Share(0.0);
        self.copies == Copies::Picture && !adds_noise
    }

    fn drag<B: Backend, N: Network<B>>(
        &self,
        mut scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let clean = scene.trajectory.clean();
        let (regions, frame, scale) = (scene.regions, &scene.frame, self.noise_scale);
        let moved = match self.copies {
            Copies::Latents => MovedCells::new(regions, frame, scale),
            Copies::Picture => MovedCells::in_place(regions, frame, scale, scene.new),
        };
        let grid = scene.frame.latent_grid();
        let copy = CellCopy::new(clean.backend(), &scene.frame, &moved, |cell| {
            scene
                .editable
                .is_some_and(|editable| !editable.at(grid.first_pixel(cell)))
        });
        let mut levels = levels::invert(&mut scene, progress, interrupt)?;
        let inverted = levels.last().map_or(clean, |level| &level.latent);
        let fresh = scene.noise.normal(Stream::VACATED, clean.shape().len());
        let start = moved.with_noise(inverted, &fresh);
        let mut z = start.clone();
        let mut step = levels.len();
        while let Some(level) = levels.pop() {
            interrupt.check()?;
            step += 1;
            z = copy.apply(z, &level.latent);
            z = level.down(&scene, z, step)?;
            progress.step(None);
        }
        Ok(Dragged {
            start,
            pair: Pair {
                reference: clean.clone(),
                edit: z,
            },
            kept: None,
            steps: scene.grid.timesteps.len(),
            losses: Vec::new(),
            diverged: 0,
            tracks: Vec::new(),
            prompts: None,
            bottleneck: None,
        })
    }
}
