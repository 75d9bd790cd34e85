#![doc = include_str!("README.md")]

mod fill;
mod settings;
mod stretch;
#[cfg(test)]
mod tests;

use crate::diffusion::denoise::{Pair, Place};
use crate::diffusion::invert::{Trajectory, invert_keeping};
use crate::diffusion::kept::{CellContent, KeptTrajectory};
use crate::diffusion::{Spacing, Stream, require_finite};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{
    Cost, DragMethod, Dragged, Figures, Inversion, Misfit, Needs, Profile, Scene, Score,
    StartPicture, Subject, Targets,
};
use crate::model::unet::{Input, Network, SelfAttentions};
use crate::nn::{KeysAndValues, Tensor};
use crate::progress::{Progress, Stage};
use crate::settings::{DiffusionSettings, Overrides, TrajectoryChoice};

pub use settings::{EmptyCells, FastDragSettings};
use stretch::Stretch;

impl DragMethod for FastDragSettings {
    const PROFILE: Profile = Profile {
        paper: "FastDrag, arXiv 2405.15769",
        good_at: "Moves small objects and stretches parts by points alone, in seconds; does not turn objects.",
        figures: Figures {
            plain: Score {
                gain: 0.299,
                hit: 0.06,
            },
            hard: Score {
                gain: 0.324,
                hit: 0.03,
            },
        },
    };

    const UNUSED: &'static [(&'static str, &'static str)] = &[
        ("degree", "nothing is optimised"),
        (
            "start_layer",
            "all layers of the decoder have the keys and values of the picture",
        ),
    ];

    fn shared_defaults(_: &Overrides) -> Overrides {
        let mut papers = Overrides::from([("steps", 10), ("lora_steps", 0)]);
        papers.set("strength", 0.7);
        papers.set("trajectory", "denoised");
        papers.set("detail", 0.0);
        papers
    }

    fn needs(&self) -> Needs {
        Needs {
            lora: true,
            edit_prompt: false,
            clip: false,
            targets: Targets::Points,
            start: StartPicture::Original,
            original: false,
            inversion: Inversion::Own,
            spacing: Spacing::Leading,
            unconditional: false,
        }
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        let Some(editable) = subject.editable else {
            return Vec::new();
        };
        let fixed = subject
            .regions
            .iter()
            .filter(|region| !stretch::may_move(region.points.handle, editable, subject.frame));
        fixed
            .map(|region| Misfit::Region {
                id: region.id.clone(),
                key: "/handle",
                message: "the handle lies outside the editable area, where nothing moves".into(),
                hint: "enlarge `editable`, or move the handle".into(),
            })
            .collect()
    }

    fn cost(&self, diffusion: &DiffusionSettings, timesteps: usize) -> Cost {
        // With a kept trajectory the reference latent is denoised beside the edited one.
        let denoised = match diffusion.trajectory {
            TrajectoryChoice::Kept => 2,
            TrajectoryChoice::Denoised => 1,
        };
        Cost {
            steps: timesteps,
            iterations: 2 * timesteps,
            passes: (1 + denoised) * timesteps,
        }
    }

    fn drag<B: Backend, N: Network<B>>(
        &self,
        mut scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let (trajectory, mut keys) = invert_keeping(
            scene.network,
            scene.schedule,
            scene.grid,
            scene.trajectory.clean(),
            scene.prompt,
            SelfAttentions::Decoder,
            progress,
            interrupt,
        )?;
        let sources = Stretch::new(scene.regions, scene.editable, &scene.frame).sources();
        let start = self.warped(&mut scene, trajectory.inverted(), &sources);
        let kept = (scene.diffusion.trajectory == TrajectoryChoice::Kept)
            .then(|| self.kept(&trajectory, &sources));
        let mut pair = Pair {
            reference: trajectory.inverted().clone(),
            edit: start.clone(),
        };
        let done = scene.grid.timesteps.len();
        for (index, &t) in scene.grid.timesteps.iter().enumerate() {
            interrupt.check()?;
            let place = Place {
                t,
                step: done + index + 1,
            };
            pair = denoised(&scene, pair, keys.pop(), kept.as_ref(), place)?;
            progress.step(None);
        }
        Ok(Dragged {
            start,
            pair,
            kept: None,
            steps: done,
            losses: Vec::new(),
            diverged: 0,
            tracks: Vec::new(),
            prompts: None,
            bottleneck: None,
        })
    }
}

/// Denoises by one step with the inversion's `keys`. The reference latent is denoised only where its loss is of use: with a kept trajectory.
fn denoised<B: Backend, N: Network<B>>(
    scene: &Scene<B, N>,
    pair: Pair<B>,
    keys: Option<KeysAndValues<Tensor<B>>>,
    kept: Option<&KeptTrajectory<B>>,
    Place { t, step }: Place,
) -> Result<Pair<B>> {
    let Pair { reference, edit } = pair;
    let latents = match kept {
        Some(_) => Tensor::stacked(&[reference.clone(), edit]),
        None => edit,
    };
    let input = Input::at(&latents, t as f64, scene.prompt);
    let input = match keys {
        Some(keys) => input.with_keys(keys),
        None => input,
    };
    let noise = scene.network.predict(input);
    require_finite(&noise, Stage::Drag, step, "the noise prediction")?;
    let next = scene.schedule.step(latents, &noise, t, scene.grid.after(t));
    Ok(match kept {
        Some(kept) => {
            let pair = Pair {
                reference: next.picture(0),
                edit: next.picture(1),
            };
            kept.corrected(pair, t)
        }
        None => Pair {
            reference,
            edit: next,
        },
    })
}

impl FastDragSettings {
    /// Returns the inverted latent with every cell's content from its source, and what the settings say in cells without one.
    fn warped<B: Backend, N>(
        &self,
        scene: &mut Scene<B, N>,
        inverted: &Tensor<B>,
        sources: &[Option<usize>],
    ) -> Tensor<B> {
        let (original, channels) = (inverted.to_host(), inverted.shape().channels);
        let mut latent = original.clone();
        for (cell, source) in sources.iter().enumerate() {
            if let Some(source) = source {
                latent[cell * channels..(cell + 1) * channels]
                    .copy_from_slice(&original[source * channels..(source + 1) * channels]);
            }
        }
        match self.empty_cells {
            EmptyCells::Interpolated => {
                let has_content: Vec<bool> = sources.iter().map(Option::is_some).collect();
                let grid = scene.frame.latent_grid();
                fill::interpolate(&mut latent, &has_content, &grid, channels);
            }
            EmptyCells::Kept => {}
            EmptyCells::Noise => {
                let fresh = scene.noise.normal(Stream::VACATED, latent.len());
                for cell in (0..sources.len()).filter(|cell| sources[*cell].is_none()) {
                    let range = cell * channels..(cell + 1) * channels;
                    latent[range.clone()].copy_from_slice(&fresh[range]);
                }
            }
        }
        Tensor::from_host(inverted.backend(), inverted.shape(), latent)
    }

    /// Keeps the trajectory. A cell gets the correction of its source; an empty one that of its own place, which it needs the later the more.
    fn kept<B: Backend>(
        &self,
        trajectory: &Trajectory<B>,
        sources: &[Option<usize>],
    ) -> KeptTrajectory<B> {
        let content = |(cell, source): (usize, &Option<usize>)| match (source, self.empty_cells) {
            (Some(source), _) => CellContent::Of(*source),
            (None, EmptyCells::Kept) => CellContent::Of(cell),
            (None, EmptyCells::Interpolated | EmptyCells::Noise) => CellContent::New,
        };
        let contents: Vec<CellContent> = sources.iter().enumerate().map(content).collect();
        KeptTrajectory::new(trajectory.clone(), &contents, 1.0)
    }
}
