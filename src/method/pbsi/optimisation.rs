//! The optimisation of Algorithm 1 (DragNeXt, arXiv 2506.07611).

mod gradient;

use std::sync::Arc;

use super::feature_loss::{Aim, FeatureLoss};
use super::progress::ProgressSchedule;
use super::settings::{Mode, PbsiSettings};
use crate::diffusion::denoise::Pair;
use crate::diffusion::invert::Trajectory;
use crate::diffusion::kept::KeptTrajectory;
use crate::diffusion::{Grid, Schedule, require_finite};
use crate::error::{Error, Result};
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{
    Correspondence, DivergenceGuard, Frozen, LatentAdam, LatentDescent, TextGradient,
};
use crate::method::{Dragged, Scene};
use crate::model::unet::{Features, Input, Network, NoiseAndFeatures, Prompt};
use crate::nn::Tensor;
use crate::progress::{Progress, Stage};
use crate::region::Region;

/// Latent cells around the regions that a warped start may move.
const RING: usize = 1;
/// Length of a step of the correction relative to the one before.
const DECAY: f64 = 0.9;
/// Iterations without a smaller loss that a correction goes through; it ends with the next one.
const PATIENCE: usize = 2;

/// What stays the same during a drag.
#[derive(Debug)]
pub(super) struct Optimisation<'a, B: Backend, N> {
    unet: &'a N,
    prompt: &'a Prompt<B>,
    /// The prompt's embedding, and how many of its tokens are the start token and words.
    context: (&'a Tensor<B>, usize),
    schedule: &'a Schedule,
    grid: &'a Grid,
    regions: &'a [Region],
    frame: Frame,
    /// Cells that are held; `None` when everything may change.
    frozen: Option<Frozen<B>>,
    reference: &'a Tensor<B>,
    original: &'a Trajectory<B>,
    settings: &'a PbsiSettings,
    progress: ProgressSchedule,
    /// The last aim, with its progress.
    aim: Option<(f64, Arc<Aim<B>>)>,
}

/// What the iterations at one timestep optimise towards.
struct TimestepTarget<'a, B: Backend> {
    /// Index of the timestep in the grid.
    index: usize,
    /// The timestep.
    t: i64,
    /// Features of the reference latent, one map for each compared decoder stage.
    features: Vec<Tensor<B>>,
    /// The reference latent after the denoising step from here.
    next: &'a Tensor<B>,
}

/// A latent, and the text embedding that was optimised with it.
#[derive(Clone)]
struct WithText<B: Backend> {
    latent: Tensor<B>,
    /// `None` where the embedding stays.
    text: Option<Tensor<B>>,
}

impl<B: Backend> WithText<B> {
    fn new<N: Network<B>>(latent: &Tensor<B>, text: Option<&TextGradient<B, N>>) -> Self {
        Self {
            latent: latent.clone(),
            text: text.map(|text| text.text().clone()),
        }
    }
}

impl<'a, B: Backend, N: Network<B>> Optimisation<'a, B, N> {
    pub(super) fn new(scene: &'a Scene<B, N>, settings: &'a PbsiSettings) -> Self {
        let reference = scene.trajectory.inverted();
        let backend = reference.backend();
        let (editable, frame) = (scene.editable, &scene.frame);
        let frozen = if settings.corrects() {
            Some(Frozen::around(
                backend,
                scene.regions,
                RING,
                editable,
                frame,
            ))
        } else {
            editable.map(|editable| Frozen::new(backend, editable, frame))
        };
        Self {
            unet: scene.network,
            prompt: scene.prompt,
            context: (scene.context, scene.words),
            schedule: scene.schedule,
            grid: scene.grid,
            regions: scene.regions,
            frame: scene.frame,
            frozen,
            reference,
            original: scene.original,
            settings,
            progress: ProgressSchedule::new(settings),
            aim: None,
        }
    }

    /// Executes the first steps of the grid, from the edited latent `start`.
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::Interrupted`]; [`Error::Diverged`] unless the settings keep the best latent.
    pub(super) fn run(
        &mut self,
        start: Tensor<B>,
        kept: Option<KeptTrajectory<B>>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let (mut losses, mut diverged, mut text) = (Vec::new(), 0, None);
        let mut pair = Pair {
            reference: self.reference.clone(),
            edit: start.clone(),
        };
        if self.settings.hard_background {
            pair.edit = self.held(pair.edit, &pair.reference);
        }
        let steps = self.progress.steps(self.grid.timesteps.len());
        for (index, &t) in self.grid.timesteps.iter().enumerate().take(steps) {
            interrupt.check()?;
            // Without mutual attention the two latents are independent, so one pass gives the reference's features and its next step.
            let input = Input::at(&pair.reference, t as f64, self.prompt);
            let want = NoiseAndFeatures::of(&self.settings.taps.0);
            let (noise, features) = self.unet.forward(input, want);
            let reference = self.stepped(&pair.reference, &noise, t, losses.len() + 1)?;
            if self.progress.intervenes(index) {
                let target = TimestepTarget {
                    index,
                    t,
                    features,
                    next: &reference,
                };
                let (edit, has_diverged) =
                    self.optimise(&pair, target, &mut losses, progress, interrupt)?;
                pair.edit = edit.latent;
                text = edit.text;
                diverged += usize::from(has_diverged);
            }
            interrupt.check()?;
            let input = match &text {
                Some(text) => Input::at(&pair.edit, t as f64, text),
                None => Input::at(&pair.edit, t as f64, self.prompt),
            };
            let noise = self.unet.predict(input);
            pair = Pair {
                edit: self.stepped(&pair.edit, &noise, t, losses.len().max(1))?,
                reference,
            };
            if let Some(kept) = &kept {
                pair = kept.corrected(pair, t);
            }
        }
        Ok(Dragged {
            start,
            pair,
            kept,
            steps,
            losses,
            diverged,
            tracks: Vec::new(),
            prompts: text.map(|text| Tensor::stacked(&[self.context.0.clone(), text])),
            bottleneck: None,
        })
    }

    /// Returns the latent after the denoising step from t, with the noise that was predicted for it.
    fn stepped(&self, z: &Tensor<B>, noise: &Tensor<B>, t: i64, step: usize) -> Result<Tensor<B>> {
        require_finite(noise, Stage::Drag, step, "the noise prediction")?;
        Ok(self.schedule.step(z.clone(), noise, t, self.grid.after(t)))
    }

    /// Returns `z` with frozen cells reset to the reference.
    fn held(&self, z: Tensor<B>, reference: &Tensor<B>) -> Tensor<B> {
        match &self.frozen {
            Some(frozen) => frozen.hold(z, reference),
            None => z,
        }
    }

    /// Returns whether this is the paper's own form.
    fn is_literal(&self) -> bool {
        self.settings.mode != Mode::Pbsi
    }

    /// Optimises the edited latent at one timestep, with moments and a text embedding that start anew. Returns both, and whether the optimisation
    /// diverged, in which case they are those of the smallest loss of the last aim.
    fn optimise(
        &mut self,
        pair: &Pair<B>,
        target: TimestepTarget<B>,
        losses: &mut Vec<f64>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(WithText<B>, bool)> {
        let TimestepTarget {
            index,
            t,
            mut features,
            next,
        } = target;
        // The paper copies the features of the current latent; here, as in the released code, they are those of the reference.
        let own = if self.is_literal() {
            Some(&pair.edit)
        } else if self.settings.needs_original() {
            self.original.at(t)
        } else {
            None
        };
        if let Some(latent) = own {
            let input = Input::at(latent, t as f64, self.prompt);
            let want = Features::of(&self.settings.taps.0);
            features = self.unet.forward(input, want);
        }
        if self.settings.corrects() {
            return self.correct(
                pair,
                (index, t),
                &features,
                next,
                losses,
                progress,
                interrupt,
            );
        }
        let mut text = self.text_gradient();
        let mut z = pair.edit.clone();
        let mut previous = WithText::new(&z, text.as_ref());
        let guard = DivergenceGuard::new(&pair.reference);
        let mut adam = LatentAdam::new(&z, self.settings.lr);
        let mut eta = self.progress.eta(index, 0);
        let mut loss_at = self.loss_at(eta, &features);
        let mut best = (f64::INFINITY, previous.clone());
        for iteration in 0..self.settings.iterations {
            interrupt.check()?;
            let now = self.progress.eta(index, iteration);
            if now != eta {
                eta = now;
                loss_at = self.loss_at(eta, &features);
                // Losses of different aims do not compare.
                best = (f64::INFINITY, WithText::new(&z, text.as_ref()));
            }
            let step = losses.len() + 1;
            previous = WithText::new(&z, text.as_ref());
            let (loss, gradient) =
                self.finite_gradient(&z, t, &loss_at, next, step, text.as_mut())?;
            if loss < best.0 {
                best = (loss, previous.clone());
            }
            adam.step(&mut z, &gradient);
            if self.settings.hard_background {
                z = self.held(z, &pair.reference);
            }
            losses.push(loss);
            progress.step(Some(loss));
            let is_dropped = self.is_literal() && iteration + 1 == self.settings.iterations;
            if !is_dropped && guard.has_diverged(&z) {
                if self.settings.keep_partial {
                    return Ok((best.1, true));
                }
                return Err(Error::Diverged {
                    stage: Stage::Drag.name(),
                    step,
                    lr: self.settings.lr,
                });
            }
        }
        // Algorithm 1 denoises z^{K-1}: its last update is dropped.
        let end = if self.is_literal() {
            previous
        } else {
            WithText::new(&z, text.as_ref())
        };
        Ok((end, false))
    }

    /// As [`Optimisation::optimise`], for a start that is right in most places: the latent moves in proportion to the gradient, by less from step
    /// to step, and only near the regions; the best latent counts, and the iterations end when the loss no longer falls.
    fn correct(
        &mut self,
        pair: &Pair<B>,
        (index, t): (usize, i64),
        features: &[Tensor<B>],
        next: &Tensor<B>,
        losses: &mut Vec<f64>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(WithText<B>, bool)> {
        let loss_at = self.loss_at(self.progress.eta(index, 0), features);
        let mut descent = LatentDescent::new(self.settings.lr, DECAY);
        let mut text = self.text_gradient();
        let mut z = pair.edit.clone();
        let mut best = (f64::INFINITY, WithText::new(&z, text.as_ref()));
        let mut worse = 0;
        for _ in 0..self.settings.iterations {
            interrupt.check()?;
            let step = losses.len() + 1;
            let own = WithText::new(&z, text.as_ref());
            let (loss, gradient) =
                self.finite_gradient(&z, t, &loss_at, next, step, text.as_mut())?;
            losses.push(loss);
            progress.step(Some(loss));
            if loss < best.0 {
                best = (loss, own);
                worse = 0;
            } else {
                worse += 1;
            }
            // A loss of 0 is that of a start without fresh noise, whose features are the right ones.
            if worse > PATIENCE || loss == 0.0 {
                break;
            }
            let zero = gradient.clone().combined(0.0, 0.0, &gradient);
            z = descent.step(z, &self.held(gradient, &zero));
        }
        Ok((best.1, false))
    }

    /// Returns the feature loss of all regions at progress eta, with reference features of every compared decoder stage.
    fn loss_at(&mut self, eta: f64, features: &[Tensor<B>]) -> FeatureLoss<B> {
        let aim = match self.aim.take() {
            Some((of, aim)) if of == eta => aim,
            _ => Arc::new(self.aim_at(eta, features)),
        };
        self.aim = Some((eta, Arc::clone(&aim)));
        FeatureLoss::new(aim, features)
    }

    /// Returns the aim at progress eta, on maps of the shapes of these features.
    fn aim_at(&self, eta: f64, features: &[Tensor<B>]) -> Aim<B> {
        let in_place = self.settings.corrects() && !self.settings.needs_original();
        let pairs: Vec<Correspondence> = self
            .regions
            .iter()
            .map(|region| {
                if in_place {
                    Correspondence::in_place(region, eta, &self.frame)
                } else {
                    Correspondence::new(region, eta, &self.frame)
                }
            })
            .collect();
        let maps: Vec<_> = features.iter().map(Tensor::shape).collect();
        let backend = self.reference.backend();
        Aim::new(backend, &pairs, &maps, self.frame.padded)
    }
}
