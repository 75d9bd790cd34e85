//! Progressive backward self-intervention (DragNeXt, arXiv 2506.07611, Algorithm 1): at the first timesteps of denoising the
//! latent is optimised so that decoder features of the regions, read from the un-dragged reconstruction at the same
//! timestep, appear where the drag puts them.

use super::divergence::Range;
use super::feature_loss::{FeatureLoss, Reduction};
use super::{Correspondence, Frozen, Ramp};
use crate::diffusion::denoise::Pair;
use crate::diffusion::{Grid, Schedule, require_finite};
use crate::error::{Error, Result};
use crate::geometry::Frame;
use crate::interrupt::Interrupt;
use crate::kernels::{AdamStep, Backend};
use crate::model::unet::{Features, Input, Network, NoiseAndFeatures, Prompt};
use crate::nn::Tensor;
use crate::progress::{Progress, Stage};
use crate::region::Region;
use crate::settings::{Mode, Settings};

/// Everything that stays the same during a drag.
#[derive(Debug)]
pub struct Pbsi<'a, B: Backend, N> {
    /// The noise predictor, with the LoRA merged.
    pub unet: &'a N,
    /// The prompt, prepared for these weights.
    pub prompt: &'a Prompt<B>,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// The timesteps to walk.
    pub grid: &'a Grid,
    /// The regions that move.
    pub regions: &'a [Region],
    /// How the picture lies in the latent.
    pub frame: Frame,
    /// Cells that must stay; none when everything may change.
    pub frozen: Option<Frozen<B>>,
    /// All numbers of the method.
    pub settings: &'a Settings,
}

/// What the iterations at one timestep aim at.
struct Target<'a, B: Backend> {
    /// The timestep's place in the grid.
    index: usize,
    /// The timestep.
    t: i64,
    /// Features of the un-dragged latent.
    features: Vec<Tensor<B>>,
    /// The un-dragged latent after the denoising step from here.
    next: &'a Tensor<B>,
}

/// What a drag gave.
#[derive(Debug)]
pub struct Dragged<B: Backend> {
    /// Both latents after the last optimised timestep's denoising step.
    pub pair: Pair<B>,
    /// Steps of the grid that were walked.
    pub walked: usize,
    /// The loss of every iteration.
    pub losses: Vec<f64>,
    /// Timesteps at which the optimisation ran away and the best latent until then was kept.
    pub diverged: usize,
}

impl<B: Backend, N: Network<B>> Pbsi<'_, B, N> {
    /// Steps of the grid that belong to the drag.
    pub fn steps(&self) -> usize {
        let ramp = Ramp::new(self.settings);
        (0..self.grid.timesteps.len())
            .filter(|index| ramp.intervenes(*index))
            .max()
            .map_or(0, |last| last + 1)
    }

    /// Iterations of the whole drag.
    pub fn iterations(&self) -> usize {
        let ramp = Ramp::new(self.settings);
        (0..self.steps())
            .filter(|index| ramp.intervenes(*index))
            .count()
            * self.settings.iterations
    }

    /// Walks the drag's steps from the inverted latent (`reference`) and what it starts from (`edit`).
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::Interrupted`]; [`Error::Diverged`] unless the settings keep what there is.
    pub fn run(
        &self,
        mut pair: Pair<B>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let ramp = Ramp::new(self.settings);
        let (mut losses, mut diverged) = (Vec::new(), 0);
        if self.settings.hard_background {
            pair.edit = self.held(pair.edit, &pair.reference);
        }
        let walked = self.steps();
        let taps = &self.settings.taps.0;
        for (index, &t) in self.grid.timesteps.iter().enumerate().take(walked) {
            interrupt.check()?;
            // Without mutual attention the two latents are independent: one pass of the reference gives its features and its step.
            let input = Input::at(&pair.reference, t as f64, self.prompt);
            let (noise, features) = self.unet.forward(input, NoiseAndFeatures::of(taps));
            let reference = self.stepped(&pair.reference, &noise, t, losses.len() + 1)?;
            if ramp.intervenes(index) {
                let target = Target {
                    index,
                    t,
                    features,
                    next: &reference,
                };
                let (edit, has_run_away) =
                    self.optimise(&pair, target, ramp, &mut losses, progress, interrupt)?;
                pair.edit = edit;
                diverged += usize::from(has_run_away);
            }
            interrupt.check()?;
            let noise = self
                .unet
                .predict(Input::at(&pair.edit, t as f64, self.prompt));
            pair = Pair {
                edit: self.stepped(&pair.edit, &noise, t, losses.len().max(1))?,
                reference,
            };
        }
        Ok(Dragged {
            pair,
            walked,
            losses,
            diverged,
        })
    }

    /// The latent after the denoising step from t, with the noise that was predicted for it.
    fn stepped(&self, z: &Tensor<B>, noise: &Tensor<B>, t: i64, step: usize) -> Result<Tensor<B>> {
        require_finite(noise, Stage::Drag, step, "the noise prediction")?;
        Ok(self.schedule.step(z.clone(), noise, t, self.grid.after(t)))
    }

    fn held(&self, z: Tensor<B>, reference: &Tensor<B>) -> Tensor<B> {
        match &self.frozen {
            Some(frozen) => frozen.hold(z, reference),
            None => z,
        }
    }

    /// The frozen cells, if there is a mask term. It alone needs the noise prediction.
    fn mask_term(&self) -> Option<&Frozen<B>> {
        self.frozen
            .as_ref()
            .filter(|_| self.settings.mask_weight > 0.0)
    }

    /// The iterations at one timestep: the latent, and whether they ran away, so that it is the best one until then.
    fn optimise(
        &self,
        pair: &Pair<B>,
        target: Target<B>,
        ramp: Ramp,
        losses: &mut Vec<f64>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Tensor<B>, bool)> {
        let literal = self.settings.mode != Mode::Pbsi;
        let Target {
            index,
            t,
            mut features,
            next,
        } = target;
        // The paper copies the features of the current latent; ours, like the released code, are those of the un-dragged one.
        if literal {
            let input = Input::at(&pair.edit, t as f64, self.prompt);
            features = self
                .unet
                .forward(input, Features::of(&self.settings.taps.0));
        }
        let mut z = pair.edit.clone();
        let mut previous = z.clone();
        let backend = z.backend().clone();
        let range = Range::around(&pair.reference);
        let mut moments = [
            Tensor::zeros(&backend, z.shape()),
            Tensor::zeros(&backend, z.shape()),
        ];
        let mut goal: Option<(f64, FeatureLoss<B>)> = None;
        let mut best: Option<(f64, Tensor<B>)> = None;
        for iteration in 0..self.settings.iterations {
            interrupt.check()?;
            let eta = ramp.eta(index, iteration);
            if goal.as_ref().is_none_or(|(at, _)| *at != eta) {
                let pairs: Vec<Correspondence> = self
                    .regions
                    .iter()
                    .map(|region| Correspondence::new(region, eta, &self.frame))
                    .collect();
                goal = Some((eta, FeatureLoss::new(&pairs, &features, self.frame.padded)));
                best = None; // losses of different goals do not compare
            }
            let Some((_, features)) = &goal else {
                unreachable!("the goal was just set")
            };
            let step = losses.len() + 1;
            let (loss, is_sound, gradient) = loop {
                let (loss, gradient) = self.gradient(&z, t, features, next);
                let is_sound = gradient.is_finite();
                if is_sound || !loss.is_finite() || !backend.lower_loss_scale() {
                    break (loss, is_sound, gradient);
                }
            };
            let loss = if crate::failpoint::is_hit("nan_in_loss") {
                f64::NAN
            } else {
                loss
            };
            if !loss.is_finite() {
                return Err(Error::NotFinite {
                    stage: Stage::Drag.name(),
                    step,
                    what: "the loss",
                });
            }
            if !is_sound {
                return Err(Error::NotFinite {
                    stage: Stage::Drag.name(),
                    step,
                    what: "the gradient of the latent",
                });
            }
            previous = z.clone();
            if best.as_ref().is_none_or(|(least, _)| loss < *least) {
                best = Some((loss, z.clone()));
            }
            let [first, second] = &mut moments;
            let adam = AdamStep {
                step: iteration + 1,
                lr: self.settings.lr,
                decay: 0.0,
            };
            backend.adam(
                &adam,
                gradient.buffer(),
                first.buffer_mut(),
                second.buffer_mut(),
                z.buffer_mut(),
            );
            if self.settings.hard_background {
                z = self.held(z, &pair.reference);
            }
            losses.push(loss);
            progress.step(Some(loss));
            let is_dropped = literal && iteration + 1 == self.settings.iterations;
            if !is_dropped && range.is_left_by(&z) {
                return match best {
                    Some((_, best)) if self.settings.keep_partial => Ok((best, true)),
                    _ => Err(Error::Diverged {
                        stage: Stage::Drag.name(),
                        step,
                        lr: self.settings.lr,
                    }),
                };
            }
        }
        // Algorithm 1 denoises z^{K-1}: its last update is dropped.
        Ok((if literal { previous } else { z }, false))
    }

    /// Loss of a latent at timestep t, and its gradient.
    fn gradient(
        &self,
        z: &Tensor<B>,
        t: i64,
        goal: &FeatureLoss<B>,
        reference: &Tensor<B>,
    ) -> (f64, Tensor<B>) {
        let literal = self.settings.mode != Mode::Pbsi;
        let reduction = if literal {
            Reduction::Sum
        } else {
            Reduction::Mean(self.settings.loss_scale)
        };
        let (taps, weight) = (&self.settings.taps.0, self.settings.mask_weight);
        let input = Input::at(z, t as f64, self.prompt);
        let Some(frozen) = self.mask_term() else {
            let pass = self.unet.record(input, Features::of(taps));
            let (loss, gradients, magnitude) = goal.evaluate(pass.outputs(), reduction);
            return (loss, pass.backward(gradients, magnitude));
        };
        let pass = self.unet.record(input, NoiseAndFeatures::of(taps));
        let (noise, features) = pass.outputs();
        let (mut loss, gradients, mut magnitude) = goal.evaluate(features, reduction);
        let next = self.schedule.step(z.clone(), noise, t, self.grid.after(t));
        let (difference, gradient) = frozen.difference(&next, reference);
        loss += weight * difference;
        let (scale, shift) = self.schedule.factors(t, self.grid.after(t));
        let times = |factor: f64| {
            gradient
                .clone()
                .combined((weight * factor) as f32, 0.0, &gradient)
        };
        // The mask term depends on the latent directly and through the noise prediction.
        let (direct, to_noise) = (times(scale), times(shift));
        magnitude = magnitude.max((weight * shift).abs() as f32);
        let gradient = pass.backward((to_noise, gradients), magnitude);
        (loss, gradient.plus(&direct))
    }
}
