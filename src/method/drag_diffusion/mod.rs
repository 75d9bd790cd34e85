#![doc = include_str!("README.md")]

mod settings;

use crate::diffusion::Spacing;
use crate::diffusion::denoise::Pair;
use crate::diffusion::kept::{CellContent, KeptTrajectory};
use crate::diffusion::require_finite;
use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{
    Candidates, DragGradient, Frozen, MaskTerm, MotionSource, PointDrag, PointLog, PointTimestep,
    PointTracking, TextGradient, TextOptimisation,
};
use crate::method::{
    Cost, DragMethod, Dragged, Inversion, Misfit, Needs, Profile, Scene, StartPicture, Subject,
    Targets,
};
use crate::model::unet::{Input, Network, NoiseAndFeatures};
use crate::nn::Tensor;
use crate::progress::{Progress, Stage};
use crate::region::Region;
use crate::settings::{Overrides, TrajectoryChoice};

pub use settings::DragDiffusionSettings;

impl DragMethod for DragDiffusionSettings {
    const PROFILE: Profile = Profile {
        paper: "DragDiffusion, arXiv 2306.14435",
        good_at: "Short pulls of a point; the rest follows as the model sees fit.",
        figures: None,
    };

    fn shared_defaults(given: &Overrides) -> Overrides {
        let _ = given;
        Self::shared()
    }

    fn needs(&self) -> Needs {
        Needs {
            lora: true,
            edit_prompt: false,
            clip: false,
            targets: Targets::Points,
            start: StartPicture::Original,
            original: false,
            inversion: Inversion::Pipeline,
            spacing: Spacing::Leading,
        }
    }

    fn misfits(&self, subject: &Subject) -> Vec<Misfit> {
        let taps = self.taps.misfits(subject);
        taps.into_iter()
            .chain(PointDrag::misfits(subject))
            .collect()
    }

    fn is_still(&self, region: &Region, frame: &Frame) -> bool {
        region.is_still() || PointDrag::is_still(region, frame)
    }

    fn cost(&self, timesteps: usize) -> Cost {
        let _ = timesteps;
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
            source: MotionSource::Current,
            tracking: PointTracking {
                radius: self.track_radius,
                candidates: Candidates::Window,
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
        let taps = &self.taps.0;
        let (network, context) = (scene.network, scene.context);
        let ((edit, diverged), prompts) = if self.text_optimisation == TextOptimisation::Off {
            let mut gradient = DragGradient {
                network,
                prompt: scene.prompt,
                taps,
            };
            let iterations = self.iterations;
            let end = timestep.run(
                start,
                iterations,
                &mut gradient,
                &mut log,
                progress,
                interrupt,
            );
            (end?, None)
        } else {
            let mut gradient = TextGradient::new(network, taps, context, scene.words, self.text());
            let iterations = self.iterations;
            let end = timestep.run(
                start,
                iterations,
                &mut gradient,
                &mut log,
                progress,
                interrupt,
            );
            let prompts = Tensor::stacked(&[context.clone(), gradient.text().clone()]);
            (end?, Some(prompts))
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
            prompts,
        })
    }
}
