//! A drag of points at one timestep: its loss, its tracking, and the loop of methods that optimise a single timestep.

use super::divergence::DivergenceGuard;
use super::drag_gradient::{DragLoss, LatentGradient, Outputs};
use super::frozen::Frozen;
use super::grid_features::GridFeatures;
use super::latent_adam::LatentAdam;
use super::mask_term::MaskTerm;
use super::motion_supervision::MotionSupervision;
use super::point_log::PointLog;
use super::point_pairs::{Cell, PointDrag};
use super::point_tracking::PointTracking;
use super::single_timestep::Optimised;
use crate::error::{Error, Result};
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::Tensor;
use crate::progress::{Progress, Stage};

/// Features that the patch ahead of a point should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MotionSource {
    /// Those where the point is now, in the current latent (DragDiffusion). The appearance may drift.
    Current,
    /// Those of the original handle, in the reference latent (`GoodDrag`, `CLIPDrag`).
    Original,
}

/// What the iterations at one timestep share.
#[derive(Debug)]
pub struct PointTimestep<'a, B: Backend> {
    /// The timestep.
    pub t: i64,
    /// How the picture lies in the latent.
    pub frame: &'a Frame,
    /// The points.
    pub drags: &'a [PointDrag],
    /// The loss of motion.
    pub motion: MotionSupervision,
    /// What the loss of motion compares with.
    pub source: MotionSource,
    /// The tracking.
    pub tracking: PointTracking,
    /// Features of the reference latent.
    pub original: &'a [Tensor<B>],
    /// The mask term; `None` when everything may change, or the weight is 0.
    pub mask: Option<MaskTerm<'a, B>>,
    /// The updates.
    pub updates: Updates<'a, B>,
}

impl<'a, B: Backend> PointTimestep<'a, B> {
    fn on_grid<'b>(&self, maps: &'b [Tensor<B>]) -> GridFeatures<'b, B> {
        GridFeatures::new(maps, self.frame)
    }

    /// Returns the loss of a latent with these outputs, whose points are at `points`.
    pub fn loss(
        &self,
        z: &Tensor<B>,
        (noise, features): &Outputs<B>,
        points: &[Cell],
    ) -> DragLoss<B> {
        let current = self.on_grid(features);
        let motion = match self.source {
            MotionSource::Current => self
                .motion
                .evaluate(current, points, self.drags, current, points),
            MotionSource::Original => self.motion.evaluate(
                current,
                points,
                self.drags,
                self.on_grid(self.original),
                &PointDrag::handles(self.drags),
            ),
        };
        let mask = self.mask.as_ref().map(|mask| mask.evaluate(z, noise));
        DragLoss { motion, mask }
    }

    /// Returns where points are in these features that were at `points`.
    pub fn tracked(&self, features: &[Tensor<B>], points: &[Cell]) -> Vec<Cell> {
        let original = self.on_grid(self.original);
        self.tracking
            .tracked(self.on_grid(features), points, self.drags, original)
    }

    /// Returns whether all points have arrived.
    pub fn have_arrived(&self, points: &[Cell]) -> bool {
        PointDrag::have_arrived(self.drags, points)
    }

    /// Begins the optimisation of a variable.
    pub fn begin(&'a self, start: &Tensor<B>) -> PointDescent<'a, B> {
        self.updates.begin(start)
    }

    /// Returns the end of a drag at this timestep alone: a latent, and whether the optimisation diverged.
    pub fn ended(&self, (latent, diverged): (Tensor<B>, bool), log: PointLog) -> Optimised<B> {
        let tracks = log.tracks(self.drags, &self.frame.supervision_grid());
        Optimised {
            latent,
            diverged,
            prompts: None,
            bottleneck: None,
            losses: log.losses,
            tracks,
        }
    }

    /// Optimises a variable, such as the latent, at this timestep alone: at most `iterations` updates, with tracking before each but the first, until all points have
    /// arrived (DragDiffusion; `CLIPDrag` with another tracker and another gradient). Returns it, and whether it diverged.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::NotFinite`], [`Error::Diverged`], and those of `gradient`.
    pub fn run(
        &self,
        start: &Tensor<B>,
        iterations: usize,
        gradient: &mut impl LatentGradient<B>,
        log: &mut PointLog,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Tensor<B>, bool)> {
        let mut descent = self.begin(start);
        let mut points = PointDrag::handles(self.drags);
        log.moved(&points);
        for iteration in 0..iterations {
            interrupt.check()?;
            let variable = descent.variable().clone();
            let mut loss = |z: &Tensor<B>, outputs: &Outputs<B>| {
                if iteration > 0 {
                    points = self.tracked(&outputs.1, &points);
                    log.moved(&points);
                }
                (!self.have_arrived(&points)).then(|| self.loss(z, outputs, &points))
            };
            let evaluated = gradient.gradient(&variable, self.t, iteration + 1, &mut loss)?;
            let Some((loss, gradient)) = evaluated else {
                break;
            };
            log.losses.push(loss);
            progress.step(Some(loss));
            if !descent.step(loss, &gradient, log.losses.len())? {
                break;
            }
        }
        Ok(descent.end())
    }
}

/// How a variable, such as the latent, is updated.
#[derive(Debug)]
pub struct Updates<'a, B: Backend> {
    /// Cells that are reset after each update, and the latent to which they are.
    pub held: Option<(&'a Frozen<B>, &'a Tensor<B>)>,
    /// Learning rate.
    pub lr: f64,
    /// Whether a drag that diverges continues with the variable of the smallest loss instead of failing.
    pub keeps_partial: bool,
}

impl<'a, B: Backend> Updates<'a, B> {
    /// Begins the optimisation of a variable.
    pub fn begin(&'a self, start: &Tensor<B>) -> PointDescent<'a, B> {
        PointDescent {
            updates: self,
            z: start.clone(),
            adam: LatentAdam::new(start, self.lr),
            guard: DivergenceGuard::new(start),
            best: (f64::INFINITY, start.clone()),
            has_diverged: false,
        }
    }
}

/// The optimisation of a variable, such as the latent, at one timestep.
#[derive(Debug)]
pub struct PointDescent<'a, B: Backend> {
    updates: &'a Updates<'a, B>,
    z: Tensor<B>,
    adam: LatentAdam<B>,
    guard: DivergenceGuard,
    /// The smallest loss and its variable.
    best: (f64, Tensor<B>),
    has_diverged: bool,
}

impl<B: Backend> PointDescent<'_, B> {
    /// Returns the variable.
    pub fn variable(&self) -> &Tensor<B> {
        &self.z
    }

    /// Updates the variable, whose loss and gradient are given, and resets its held cells. Returns whether to go on; `step` is the number of the
    /// iteration.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn step(&mut self, loss: f64, gradient: &Tensor<B>, step: usize) -> Result<bool> {
        if loss < self.best.0 {
            self.best = (loss, self.z.clone());
        }
        self.adam.step(&mut self.z, gradient);
        if let Some((frozen, reference)) = self.updates.held {
            self.z = frozen.hold(self.z.clone(), reference);
        }
        if !self.guard.has_diverged(&self.z) {
            return Ok(true);
        }
        if !self.updates.keeps_partial {
            return Err(Error::Diverged {
                stage: Stage::Drag.name(),
                step,
                lr: self.updates.lr,
            });
        }
        self.has_diverged = true;
        Ok(false)
    }

    /// Returns the variable, or that of the smallest loss where the optimisation diverged, and whether it did.
    pub fn end(self) -> (Tensor<B>, bool) {
        if self.has_diverged {
            (self.best.1, true)
        } else {
            (self.z, false)
        }
    }
}
