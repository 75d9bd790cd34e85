//! A drag of points at the noisiest timestep alone (DragDiffusion, arXiv 2306.14435; `CLIPDrag`, arXiv 2410.03097; `FreeDrag`, arXiv 2307.04684;
//! `DragNoise`, arXiv 2404.01050): what its methods share around their optimisation.

use super::frozen::Frozen;
use super::mask_term::{MaskStep, MaskTerm};
use super::motion_supervision::MotionSupervision;
use super::point_pairs::PointDrag;
use super::point_timestep::{MotionSource, PointTimestep, Updates};
use super::point_tracking::PointTracking;
use crate::diffusion::denoise::Pair;
use crate::diffusion::kept::{CellContent, KeptTrajectory};
use crate::diffusion::require_finite;
use crate::error::Result;
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{Bottleneck, Dragged, PointTrack, Scene};
use crate::model::unet::{Input, Network, NoiseAndFeatures};
use crate::nn::Tensor;
use crate::progress::Stage;
use crate::settings::TrajectoryChoice;

/// Settings of such a drag.
#[derive(Debug, Clone, Copy)]
pub struct SingleTimestep<'a> {
    /// The compared decoder stages.
    pub taps: &'a [usize],
    /// Weight of the mask term.
    pub mask_weight: f64,
    /// Whether cells outside the editable area are reset after every update.
    pub hard_background: bool,
    /// Learning rate.
    pub lr: f64,
    /// Whether a drag that diverges continues with the variable of the smallest loss.
    pub keeps_partial: bool,
}

/// The noisiest timestep, and what a pass of the reference latent there gave.
#[derive(Debug)]
pub struct Noisiest<'a, B: Backend> {
    /// The timestep.
    pub t: i64,
    /// How the picture lies in the latent.
    pub frame: &'a Frame,
    /// The points.
    pub drags: &'a [PointDrag],
    /// Features of the reference latent.
    pub original: &'a [Tensor<B>],
    /// Output of the middle block for the reference latent, stored as f32.
    pub bottleneck: &'a Tensor<B>,
    /// The mask term; `None` when everything may change, or the weight is 0.
    pub mask: Option<MaskTerm<'a, B>>,
    /// The updates of the latent.
    pub updates: Updates<'a, B>,
}

impl<'a, B: Backend> Noisiest<'a, B> {
    /// Returns a drag by motion supervision and point tracking.
    pub fn tracked(
        self,
        motion: MotionSupervision,
        source: MotionSource,
        tracking: PointTracking,
    ) -> PointTimestep<'a, B> {
        PointTimestep {
            t: self.t,
            frame: self.frame,
            drags: self.drags,
            motion,
            source,
            tracking,
            original: self.original,
            mask: self.mask,
            updates: self.updates,
        }
    }
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
    /// As [`Dragged::bottleneck`].
    pub bottleneck: Option<Bottleneck<B>>,
    /// The loss of every iteration.
    pub losses: Vec<f64>,
    /// Where the points were.
    pub tracks: Vec<PointTrack>,
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
        optimise: impl FnOnce(Noisiest<B>) -> Result<Optimised<B>>,
    ) -> Result<Dragged<B>> {
        let start = scene.trajectory.inverted();
        let t = scene.grid.timesteps[0];
        let after = scene.grid.after(t);
        interrupt.check()?;
        let input = Input::at(start, t as f64, scene.prompt);
        // The middle block's output comes first.
        let want = NoiseAndFeatures::of(&[&[0], self.taps].concat());
        let (noise, features) = scene.network.forward(input, want);
        let (bottleneck, original) = (features[0].full(1.0), &features[1..]);
        require_finite(&noise, Stage::Drag, 1, "the noise prediction")?;
        let next = scene.schedule.step(start.clone(), &noise, t, after);

        let drags = PointDrag::of_regions(scene.regions, &scene.frame);
        let backend = start.backend();
        let frozen = scene
            .editable
            .map(|editable| Frozen::new(backend, editable, &scene.frame));
        let mask = frozen.as_ref().map(|frozen| MaskTerm {
            frozen,
            step: MaskStep::new(backend, scene.schedule, [t, after], self.mask_weight),
            reference: &next,
        });
        let optimised = optimise(Noisiest {
            t,
            frame: &scene.frame,
            drags: &drags,
            original,
            bottleneck: &bottleneck,
            mask: mask.filter(|_| self.mask_weight > 0.0),
            updates: Updates {
                held: frozen
                    .as_ref()
                    .filter(|_| self.hard_background)
                    .map(|frozen| (frozen, start)),
                lr: self.lr,
                keeps_partial: self.keeps_partial,
            },
        })?;
        let contents: Vec<CellContent> = (0..scene.frame.latent_grid().len())
            .map(CellContent::Of)
            .collect();
        let is_kept = scene.diffusion.trajectory == TrajectoryChoice::Kept;
        Ok(Dragged {
            start: start.clone(),
            pair: Pair {
                reference: start.clone(),
                edit: optimised.latent,
            },
            kept: is_kept.then(|| KeptTrajectory::new(scene.trajectory.clone(), &contents, 0.0)),
            steps: 0,
            tracks: optimised.tracks,
            losses: optimised.losses,
            diverged: usize::from(optimised.diverged),
            prompts: optimised.prompts,
            bottleneck: optimised.bottleneck,
        })
    }
}
