//! A drag of points at the noisiest timestep alone (DragDiffusion, arXiv 2306.14435; `CLIPDrag`, arXiv 2410.03097): what its methods share around
//! their gradients.

use super::frozen::Frozen;
use super::mask_term::MaskTerm;
use super::motion_supervision::MotionSupervision;
use super::point_log::PointLog;
use super::point_pairs::PointDrag;
use super::point_timestep::{MotionSource, PointTimestep};
use super::point_tracking::PointTracking;
use crate::diffusion::denoise::Pair;
use crate::diffusion::kept::{CellContent, KeptTrajectory};
use crate::diffusion::require_finite;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{Dragged, Scene};
use crate::model::unet::{Input, Network, NoiseAndFeatures};
use crate::nn::Tensor;
use crate::progress::Stage;
use crate::settings::TrajectoryChoice;

/// Settings of such a drag.
#[derive(Debug, Clone, Copy)]
pub struct SingleTimestep<'a> {
    /// The compared decoder stages.
    pub taps: &'a [usize],
    /// The loss of motion.
    pub motion: MotionSupervision,
    /// What the loss of motion compares with.
    pub source: MotionSource,
    /// The tracking.
    pub tracking: PointTracking,
    /// Weight of the mask term.
    pub mask_weight: f64,
    /// Whether cells outside the editable area are reset after every update.
    pub hard_background: bool,
    /// Learning rate.
    pub lr: f64,
    /// Whether a drag that diverges continues with the latent of the smallest loss.
    pub keeps_partial: bool,
}

/// The end of the optimisation.
#[derive(Debug)]
pub struct Optimised<B: Backend> {
    /// The latent.
    pub latent: Tensor<B>,
    /// Whether the optimisation diverged.
    pub diverged: bool,
    /// Embeddings of the rest of the denoising, as [`Dragged::prompts`].
    pub prompts: Option<Tensor<B>>,
}

impl SingleTimestep<'_> {
    /// Runs one pass of the reference latent, lets `optimise` optimise the latent from there, and returns what it did.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`], and those of `optimise`.
    pub fn drag<B: Backend, N: Network<B>>(
        &self,
        scene: &Scene<B, N>,
        interrupt: &Interrupt,
        optimise: impl FnOnce(&PointTimestep<B>, &mut PointLog) -> Result<Optimised<B>>,
    ) -> Result<Dragged<B>> {
        let start = scene.trajectory.inverted();
        let t = scene.grid.timesteps[0];
        let after = scene.grid.after(t);
        interrupt.check()?;
        let input = Input::at(start, t as f64, scene.prompt);
        let want = NoiseAndFeatures::of(self.taps);
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
            motion: self.motion,
            source: self.source,
            tracking: self.tracking,
            original: &original,
            mask: mask.filter(|_| self.mask_weight > 0.0),
            held: frozen
                .as_ref()
                .filter(|_| self.hard_background)
                .map(|frozen| (frozen, start)),
            lr: self.lr,
            keeps_partial: self.keeps_partial,
        };
        let mut log = PointLog::default();
        let Optimised {
            latent,
            diverged,
            prompts,
        } = optimise(&timestep, &mut log)?;
        let contents: Vec<CellContent> = (0..scene.frame.latent_grid().len())
            .map(CellContent::Of)
            .collect();
        let is_kept = scene.diffusion.trajectory == TrajectoryChoice::Kept;
        Ok(Dragged {
            start: start.clone(),
            pair: Pair {
                reference: start.clone(),
                edit: latent,
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
