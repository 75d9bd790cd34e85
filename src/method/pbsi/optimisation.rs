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
use crate::model::unet::{Gradients, Network, Prompt, Want};
use crate::nn::{Pass, Tensor};
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
        for (index, &t) in self.grid.timesteps.iter().enumerate().take(walked) {
            interrupt.check()?;
            // Without mutual attention the two latents do not meet: the reference's trip gives both its features and its step.
            let want = Want {
                noise: true,
                taps: &self.settings.taps.0,
            };
            let seen = self.unet.forward(
                &pair.reference,
                &[t as f64],
                self.prompt.into(),
                want,
                &mut Pass::inference(),
            );
            let reference = self.stepped(&pair.reference, seen.noise, t, losses.len() + 1)?;
            if ramp.intervenes(index) {
                let target = Target {
                    index,
                    t,
                    features: seen.taps,
                    next: &reference,
                };
                let (edit, has_run_away) =
                    self.optimise(&pair, target, ramp, &mut losses, progress, interrupt)?;
                pair.edit = edit;
                diverged += usize::from(has_run_away);
            }
            interrupt.check()?;
            let noise = self.unet.predict(
                &pair.edit,
                t as f64,
                self.prompt.into(),
                &mut Pass::inference(),
            );
            pair = Pair {
                edit: self.stepped(&pair.edit, Some(noise), t, losses.len().max(1))?,
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
    fn stepped(
        &self,
        z: &Tensor<B>,
        noise: Option<Tensor<B>>,
        t: i64,
        step: usize,
    ) -> Result<Tensor<B>> {
        let noise = noise.unwrap_or_else(|| unreachable!("the noise was asked for"));
        require_finite(&noise, Stage::Drag, step, "the noise prediction")?;
        Ok(self.schedule.step(z.clone(), &noise, t, self.grid.after(t)))
    }

    fn held(&self, z: Tensor<B>, reference: &Tensor<B>) -> Tensor<B> {
        match &self.frozen {
            Some(frozen) => frozen.hold(z, reference),
            None => z,
        }
    }

    /// Is there a mask term? It alone needs the noise prediction.
    fn wants_noise(&self) -> bool {
        self.frozen.is_some() && self.settings.mask_weight > 0.0
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
            let want = Want {
                noise: false,
                taps: &self.settings.taps.0,
            };
            features = self
                .unet
                .forward(
                    &pair.edit,
                    &[t as f64],
                    self.prompt.into(),
                    want,
                    &mut Pass::inference(),
                )
                .taps;
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
        let want = Want {
            noise: self.wants_noise(),
            taps: &self.settings.taps.0,
        };
        let mut pass = Pass::recording();
        let output = self
            .unet
            .forward(z, &[t as f64], self.prompt.into(), want, &mut pass);
        let (mut loss, gradients, mut magnitude) = goal.evaluate(&output.taps, reduction);
        let mut direct = None; // the mask term's gradient that does not pass through the network
        let mut to_noise = None;
        if let (Some(frozen), Some(noise)) = (&self.frozen, &output.noise) {
            let next = self.schedule.step(z.clone(), noise, t, self.grid.after(t));
            let (difference, gradient) = frozen.difference(&next, reference);
            loss += self.settings.mask_weight * difference;
            let (scale, shift) = self.schedule.factors(t, self.grid.after(t));
            let times = |factor: f64| {
                gradient.clone().combined(
                    (self.settings.mask_weight * factor) as f32,
                    0.0,
                    &gradient,
                )
            };
            direct = Some(times(scale));
            to_noise = Some(times(shift));
            magnitude = magnitude.max((self.settings.mask_weight * shift).abs() as f32);
        }
        let taps = self
            .settings
            .taps
            .0
            .iter()
            .copied()
            .zip(gradients)
            .collect();
        let gradient = self.unet.backward(
            &output,
            Gradients {
                magnitude,
                noise: to_noise,
                taps,
            },
            true,
            &mut pass,
        );
        let gradient = gradient.unwrap_or_else(|| unreachable!("the way back goes to the latent"));
        (
            loss,
            if let Some(direct) = direct {
                gradient.plus(&direct)
            } else {
                gradient
            },
        )
    }
}
