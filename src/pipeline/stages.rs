//! The stages of an edit, with their clock.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::reuse::{Kept, Reuse};
use super::{Latents, Outcome, Steps, Work};
use crate::diffusion::denoise::{Pair, Place};
use crate::diffusion::finetune::Subject;
use crate::diffusion::invert::invert;
use crate::diffusion::{NoiseSource, Schedule, Spacing, Stream, require_finite};
use crate::error::Result;
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{Dragged, Frozen, Pbsi, moved_start};
use crate::model::unet::Network;
use crate::model::vae::DOWNSCALE;
use crate::model::{Model, TextEncoder, Tokenizer, Vae};
use crate::nn::{Shape, Tensor};
use crate::plan::Plan;
use crate::progress::{Progress, Stage};
use crate::settings::{Settings, Start};

/// What edits need beside the noise predictor. Nothing of it changes, so several edits may use it.
#[derive(Debug)]
pub(super) struct Parts<B: Backend> {
    pub(super) backend: B,
    pub(super) model: Model,
    pub(super) vae: Vae<B>,
    /// Held by the edit that encodes or decodes: that takes more memory than any other stage.
    pub(super) is_in_use: Mutex<()>,
    pub(super) tokenizer: Tokenizer,
    pub(super) text_encoder: TextEncoder,
    pub(super) schedule: Schedule,
    /// How long it took to load the weights.
    pub(super) seconds: f64,
}

/// Measures the stages.
pub(super) struct Clock<'a> {
    progress: &'a mut dyn Progress,
    pub(super) seconds: Vec<(Stage, f64)>,
    /// Called when a stage is over: what it needed, the next one does not.
    over: &'a dyn Fn(),
}

impl<'a> Clock<'a> {
    pub(super) fn new(progress: &'a mut dyn Progress, over: &'a dyn Fn()) -> Self {
        Self {
            progress,
            seconds: Vec::new(),
            over,
        }
    }

    pub(super) fn run<T>(
        &mut self,
        stage: Stage,
        steps: usize,
        work: impl FnOnce(&mut dyn Progress) -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        self.progress.begin(stage, steps);
        let result = work(self.progress)?;
        self.progress.end();
        self.seconds.push((stage, start.elapsed().as_secs_f64()));
        (self.over)();
        Ok(result)
    }
}

impl<B: Backend> Parts<B> {
    /// A stage, or an edit, is over: memory that it needed is given back.
    pub(super) fn over(&self) {
        self.backend.trim();
        self.backend.restore_loss_scale();
    }

    /// Does an edit with this network, to which adapters may stay attached.
    ///
    /// # Errors
    /// As [`super::Editor::edit`].
    pub(super) fn stages(
        &self,
        network: &mut impl Network<B>,
        work: Work,
        kept: Option<&Kept>,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Outcome, Latents<B>)> {
        let Work {
            plan,
            picture,
            lora,
        } = work;
        let settings = &plan.settings;
        self.model.check(settings, &plan.prompt)?;
        interrupt.check()?;
        let grid = self
            .schedule
            .grid(Spacing::Leading, settings.steps, settings.executed_steps());
        let backend = &self.backend;
        let over = || self.over();
        let mut stages = Clock::new(progress, &over);
        stages.seconds.push((Stage::Load, self.seconds));
        let mut steps = Steps {
            denoise: grid.timesteps.len(),
            ..Steps::default()
        };

        // First, because a prompt that is too long need not wait for the picture.
        let tokens = self
            .tokenizer
            .encode(&plan.prompt, self.text_encoder.positions())?;
        let reuse = kept.map(|kept| {
            let subject = kept.subject(&picture, plan.frame.padded, &tokens);
            Reuse::new(kept, subject)
        });
        let mut adapters = self.adapters(network, lora, settings, noise.seed(), reuse.as_ref())?;
        // Whoever has to train has to invert as well.
        let latent = Shape::new(
            1,
            plan.frame.padded.height / DOWNSCALE,
            plan.frame.padded.width / DOWNSCALE,
            4,
        );
        let known = match (&reuse, &adapters.hash) {
            (Some(reuse), Some(hash)) => reuse.latents(hash, &grid, latent.len()),
            _ => None,
        };
        stages.progress.plan(&passes(
            settings,
            grid.timesteps.len(),
            adapters.hash.is_some(),
            known.is_some(),
        ));
        let mut cached = adapters
            .are_cached
            .then_some(Stage::Lora)
            .into_iter()
            .collect::<Vec<_>>();

        let (known_clean, known_inverted) =
            known.map(|[clean, inverted]| (clean, inverted)).unzip();
        let (clean, context) = stages.run(Stage::Encode, 1, |_| {
            let clean = match known_clean {
                Some(numbers) => Tensor::from_host(backend, latent, numbers),
                None => self.encode(plan, picture, interrupt)?,
            };
            Ok((clean, self.text_encoder.encode(backend, &tokens)?))
        })?;
        interrupt.check()?;

        if adapters.hash.is_none() {
            steps.lora = settings.lora_steps;
            let subject = Subject {
                latent: &clean,
                context: &context,
            };
            stages.run(Stage::Lora, steps.lora, |progress| {
                self.train(
                    network,
                    &mut adapters,
                    &subject,
                    settings,
                    noise,
                    reuse.as_ref(),
                    progress,
                    interrupt,
                )
            })?;
        }

        let network = &*network;
        let prompt = network.prepare(&context);
        let inverted = if let Some(numbers) = known_inverted {
            cached.push(Stage::Invert);
            Tensor::from_host(backend, latent, numbers)
        } else {
            steps.invert = grid.timesteps.len();
            let inverted = stages.run(Stage::Invert, steps.invert, |progress| {
                invert(
                    network,
                    &self.schedule,
                    &grid,
                    &clean,
                    &prompt,
                    progress,
                    interrupt,
                )
            })?;
            if let (Some(reuse), Some(hash)) = (&reuse, &adapters.hash) {
                reuse.keep_latents(hash, &grid, [&clean.to_host(), &inverted.to_host()]);
            }
            inverted
        };

        let prepared = match settings.start {
            Start::Paper => inverted.clone(),
            Start::Moved => {
                let alpha = self.schedule.alpha(grid.timesteps[0]);
                moved_start(
                    &inverted,
                    &clean,
                    alpha,
                    &noise.normal(Stream::VACATED, inverted.shape().len()),
                    &plan.regions,
                    &plan.frame,
                )
            }
        };
        let frozen = plan
            .editable
            .as_ref()
            .map(|editable| Frozen::new(&self.backend, editable, &plan.frame));
        let schedule = &self.schedule;
        let method = Pbsi {
            unet: network,
            prompt: &prompt,
            schedule,
            grid: &grid,
            regions: &plan.regions,
            frame: plan.frame,
            frozen,
            settings,
        };
        steps.drag = method.iterations();
        let pair = Pair {
            reference: inverted.clone(),
            edit: prepared.clone(),
        };
        let Dragged {
            mut pair,
            walked,
            losses,
            diverged,
        } = stages.run(Stage::Drag, steps.drag, |progress| {
            method.run(pair, progress, interrupt)
        })?;
        steps.drag = losses.len();

        let rest = &grid.timesteps[walked..];
        pair = stages.run(Stage::Denoise, rest.len(), |progress| {
            for (index, &t) in rest.iter().enumerate() {
                interrupt.check()?;
                let place = Place { t, step: index + 1 };
                pair = pair.step(
                    network,
                    schedule,
                    &grid,
                    place,
                    &prompt,
                    settings.start_layer,
                )?;
                progress.step(None);
            }
            Ok(pair)
        })?;

        let picture = stages.run(Stage::Decode, 1, |_| self.decode(&pair.edit, interrupt))?;
        let loss = losses.first().copied().zip(losses.last().copied());
        let (seconds, device_peak_bytes) = (stages.seconds, backend.peak_bytes());
        let warnings = reuse.map(|reuse| reuse.take_warnings()).unwrap_or_default();
        let (lora, lora_absent) = (adapters.trained, adapters.absent);
        let outcome = Outcome {
            picture,
            loss,
            diverged,
            steps,
            seconds,
            cached,
            warnings,
            lora,
            lora_absent,
            device_peak_bytes,
        };
        let latents = Latents {
            clean,
            inverted,
            prepared,
            denoised: pair.edit,
            reference: pair.reference,
            losses,
        };
        Ok((outcome, latents))
    }

    /// The picture's mean latent.
    fn encode(&self, plan: &Plan, picture: Vec<f32>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let shape = Shape::new(1, plan.frame.padded.height, plan.frame.padded.width, 3);
        failpoint::wait("wait_in_encode", || interrupt.has_come());
        let _alone = self
            .is_in_use
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let latent = self
            .vae
            .encode(&Tensor::from_host(&self.backend, shape, picture), interrupt)?;
        require_finite(&latent, Stage::Encode, 1, "the picture's latent")?;
        // From here on the network computes with it, which has a format of its own; a latent from the cache lies there, too.
        Ok(Tensor::from_host(
            &self.backend,
            latent.shape(),
            latent.to_host(),
        ))
    }

    /// The picture of a latent, in 0..1.
    fn decode(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Vec<f32>> {
        failpoint::panic("panic_in_decode");
        failpoint::wait("hang_in_decode", || false);
        failpoint::wait("wait_in_decode", || interrupt.has_come());
        let _alone = self
            .is_in_use
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let decoded = failpoint::corrupt("nan_in_decode", self.vae.decode(latent, interrupt)?);
        require_finite(&decoded, Stage::Decode, 1, "the picture")?;
        Ok(decoded
            .to_host()
            .into_iter()
            .map(|value| (value * 0.5 + 0.5).clamp(0.0, 1.0))
            .collect())
    }
}

/// About how many pictures go through the network in an edit with these settings.
pub fn passes_of(settings: &Settings) -> f64 {
    passes(settings, settings.executed_steps(), false, false)
        .iter()
        .map(|(_, passes)| passes)
        .sum()
}

/// About how many pictures go through the network in each stage; a backward pass counts as one. Close enough to tell how long it takes.
fn passes(
    settings: &Settings,
    timesteps: usize,
    has_lora: bool,
    is_inverted: bool,
) -> Vec<(Stage, f64)> {
    let drag = settings.timesteps.min(timesteps);
    let lora = if has_lora {
        0
    } else {
        2 * settings.lora_steps * settings.lora_batch
    };
    let passes = [
        (Stage::Lora, lora),
        (Stage::Invert, if is_inverted { 0 } else { timesteps }),
        (Stage::Drag, drag * (2 * settings.iterations + 2)),
        (Stage::Denoise, 2 * (timesteps - drag)),
    ];
    passes
        .map(|(stage, passes)| (stage, passes as f64))
        .to_vec()
}
