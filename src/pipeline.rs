//! One edit, stage by stage: encode, fine-tune, invert, drag, denoise, decode. With a cache, what an earlier edit of the same picture
//! trained and inverted is taken from there.

mod adapters;
mod outcome;
mod reuse;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use crate::cache::Cache;
use crate::diffusion::denoise::{Pair, Place};
use crate::diffusion::finetune::Subject;
use crate::diffusion::invert::invert;
use crate::diffusion::{NoiseSource, Schedule, require_finite};
use crate::digest::sha256;
use crate::error::Result;
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::kernels::{Backend, fault};
use crate::method::{Dragged, Frozen, Pbsi, moved_start};
use crate::model::lora::LoraFile;
use crate::model::vae::DOWNSCALE;
use crate::model::{Model, TextEncoder, Tokenizer, UNet, Vae};
use crate::nn::{Shape, Tensor};
use crate::plan::Plan;
use crate::progress::{Progress, Stage};
use crate::settings::{Settings, Start};
pub use outcome::{Latents, Outcome, Steps, Trained};
use reuse::{Kept, Reuse};

/// A model whose weights are in memory, ready for one edit after the other.
#[derive(Debug)]
pub struct Editor<B: Backend> {
    backend: B,
    model: Model,
    unet: UNet<B>,
    vae: Vae<B>,
    tokenizer: Tokenizer,
    text_encoder: TextEncoder,
    schedule: Schedule,
    seconds: f64,
    kept: Option<Kept>,
}

/// An editor on a device that only the run knows.
pub trait Edits: std::fmt::Debug {
    /// SHA-256 over the weights of all parts.
    fn digest(&self) -> String;
    /// Does one edit. The model is left as it was loaded.
    ///
    /// # Errors
    /// As [`Editor::edit`].
    fn edit(&mut self, work: Work, noise: &mut dyn NoiseSource, progress: &mut dyn Progress, interrupt: &Interrupt) -> Result<Outcome>;
    /// From now on, edits take from this cache what is there, and keep in it what they compute.
    ///
    /// # Errors
    /// As [`Editor::reuse`].
    fn reuse(&mut self, cache: Cache) -> Result<()>;
    /// The cache, where there is one.
    fn cache(&mut self) -> Option<&mut Cache>;
}

impl<B: Backend> Edits for Editor<B> {
    fn digest(&self) -> String {
        Editor::digest(self)
    }

    fn edit(&mut self, work: Work, noise: &mut dyn NoiseSource, progress: &mut dyn Progress, interrupt: &Interrupt) -> Result<Outcome> {
        Editor::edit(self, work, noise, progress, interrupt)
    }

    fn reuse(&mut self, cache: Cache) -> Result<()> {
        Editor::reuse(self, cache)
    }

    fn cache(&mut self) -> Option<&mut Cache> {
        self.kept.as_mut().map(Kept::cache)
    }
}

/// What an edit works on.
#[derive(Debug)]
pub struct Work<'a> {
    /// Regions, settings and sizes; with at least one region that moves.
    pub plan: &'a Plan,
    /// The working picture (padded height, padded width, 3) in -1..1.
    pub picture: Vec<f32>,
    /// A LoRA that was trained before, instead of a new one.
    pub lora: Option<LoraFile>,
}

/// Stages with their clock.
struct Stages<'a> {
    progress: &'a mut dyn Progress,
    seconds: Vec<(Stage, f64)>,
    /// Called when a stage is over: what it needed, the next one does not.
    over: &'a dyn Fn(),
}

impl Stages<'_> {
    fn run<T>(&mut self, stage: Stage, steps: usize, work: impl FnOnce(&mut dyn Progress) -> Result<T>) -> Result<T> {
        let start = Instant::now();
        self.progress.begin(stage, steps);
        let result = work(self.progress)?;
        self.progress.end();
        self.seconds.push((stage, start.elapsed().as_secs_f64()));
        (self.over)();
        Ok(result)
    }
}

impl<B: Backend> Editor<B> {
    /// Loads a model's weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when a file is missing, damaged, or does not fit its configuration; [`crate::Error::Interrupted`].
    pub fn load(backend: B, model: Model, progress: &mut dyn Progress, interrupt: &Interrupt) -> Result<Self> {
        let mut stages = Stages { progress, seconds: Vec::new(), over: &|| backend.trim() };
        let (unet, vae, (tokenizer, text_encoder)) = stages.run(Stage::Load, 1, |_| {
            fault::caught(|| Ok((model.unet(&backend, interrupt)?, model.vae(&backend.for_pictures(), interrupt)?, model.text(interrupt)?)))
        })?;
        let schedule = Schedule::new(model.schedule());
        let seconds = stages.seconds[0].1;
        Ok(Self { backend, model, unet, vae, tokenizer, text_encoder, schedule, seconds, kept: None })
    }

    /// From now on, edits take from this cache what is there, and keep in it what they compute. Their results have the same bytes.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the model's configuration cannot be read again.
    pub fn reuse(&mut self, cache: Cache) -> Result<()> {
        self.kept = Kept::new(cache, self.backend.arithmetic(), self.digest(), self.model.configuration()?);
        Ok(())
    }

    /// SHA-256 over the weights of all parts.
    pub fn digest(&self) -> String {
        sha256([self.unet.digest(), self.vae.digest(), self.text_encoder.digest()].concat().as_bytes())
    }

    /// Does one edit. The model is left as it was loaded.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`], [`crate::Error::PromptTooLong`], [`crate::Error::Weights`] when a LoRA does not fit,
    /// [`crate::Error::Setting`] for a decoder stage that the model does not have.
    ///
    /// # Panics
    /// When the picture does not have the plan's padded size.
    pub fn edit(&mut self, work: Work, noise: &mut dyn NoiseSource, progress: &mut dyn Progress, interrupt: &Interrupt) -> Result<Outcome> {
        self.edit_with_latents(work, noise, progress, interrupt).map(|(outcome, _)| outcome)
    }

    /// As [`Editor::edit`], with the latents on the way.
    ///
    /// # Errors
    /// As [`Editor::edit`].
    ///
    /// # Panics
    /// As [`Editor::edit`].
    pub fn edit_with_latents(
        &mut self,
        work: Work,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Outcome, Latents<B>)> {
        // Whatever becomes of one edit, the next one finds the weights as they were loaded.
        let mut kept = self.kept.take();
        let result = catch_unwind(AssertUnwindSafe(|| fault::caught(|| self.stages(work, kept.as_mut(), noise, progress, interrupt))));
        self.kept = kept;
        self.unet.detach_adapters();
        self.backend.restore_gradient_scale();
        self.backend.trim();
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn stages(
        &mut self,
        work: Work,
        kept: Option<&mut Kept>,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Outcome, Latents<B>)> {
        let Work { plan, picture, lora } = work;
        let settings = &plan.settings;
        self.model.check(settings, &plan.prompt)?;
        interrupt.check()?;
        let grid = self.schedule.grid(settings.steps, settings.executed_steps());
        let backend = self.backend.clone();
        let over = || {
            backend.trim();
            backend.restore_gradient_scale();
        };
        let mut stages = Stages { progress, seconds: vec![(Stage::Load, self.seconds)], over: &over };
        let mut steps = Steps { denoise: grid.timesteps.len(), ..Steps::default() };

        // First, because a prompt that is too long need not wait for the picture.
        let tokens = self.tokenizer.encode(&plan.prompt, self.text_encoder.positions())?;
        let mut reuse = kept.map(|kept| {
            let subject = kept.subject(&picture, plan.frame.padded, &tokens);
            Reuse::new(kept, subject)
        });
        let mut adapters = self.adapters(lora, settings, noise.seed(), reuse.as_mut())?;
        // Whoever has to train has to invert as well.
        let latent = Shape::new(1, plan.frame.padded.height / DOWNSCALE, plan.frame.padded.width / DOWNSCALE, 4);
        let known = match (&mut reuse, &adapters.hash) {
            (Some(reuse), Some(hash)) => reuse.latents(hash, &grid, latent.len()),
            _ => None,
        };
        stages.progress.plan(&passes(settings, grid.timesteps.len(), adapters.hash.is_some(), known.is_some()));
        let mut cached = adapters.are_cached.then_some(Stage::Lora).into_iter().collect::<Vec<_>>();

        let (known_clean, known_inverted) = known.map(|[clean, inverted]| (clean, inverted)).unzip();
        let (clean, context) = stages.run(Stage::Encode, 1, |_| {
            let clean = match known_clean {
                Some(numbers) => Tensor::from_host(&backend, latent, numbers),
                None => self.encode(plan, picture, interrupt)?,
            };
            Ok((clean, self.text_encoder.encode(&backend, &tokens)?))
        })?;
        interrupt.check()?;

        if adapters.hash.is_none() {
            steps.lora = settings.lora_steps;
            let subject = Subject { latent: &clean, context: &context };
            stages.run(Stage::Lora, steps.lora, |progress| {
                self.train(&mut adapters, &subject, settings, noise, reuse.as_mut(), progress, interrupt)
            })?;
        }

        let prompt = self.unet.prepare(&context);
        let inverted = if let Some(numbers) = known_inverted {
            cached.push(Stage::Invert);
            Tensor::from_host(&backend, latent, numbers)
        } else {
            steps.invert = grid.timesteps.len();
            let inverted = stages.run(Stage::Invert, steps.invert, |progress| {
                invert(&self.unet, &self.schedule, &grid, &clean, &prompt, progress, interrupt)
            })?;
            if let (Some(reuse), Some(hash)) = (&mut reuse, &adapters.hash) {
                reuse.keep_latents(hash, &grid, [&clean.to_host(), &inverted.to_host()]);
            }
            inverted
        };

        let prepared = match settings.start {
            Start::Paper => inverted.clone(),
            Start::Moved => {
                let alpha = self.schedule.alpha(grid.timesteps[0]);
                moved_start(&inverted, &clean, alpha, &noise.vacated(inverted.shape().len()), &plan.regions, &plan.frame)
            }
        };
        let frozen = plan.editable.as_ref().map(|editable| Frozen::new(&self.backend, editable, &plan.frame));
        let (unet, schedule) = (&self.unet, &self.schedule);
        let method = Pbsi { unet, prompt: &prompt, schedule, grid: &grid, regions: &plan.regions, frame: plan.frame, frozen, settings };
        steps.drag = method.iterations();
        let pair = Pair { reference: inverted.clone(), edit: prepared.clone() };
        let Dragged { mut pair, walked, losses, diverged } =
            stages.run(Stage::Drag, steps.drag, |progress| method.run(pair, progress, interrupt))?;
        steps.drag = losses.len();

        let rest = &grid.timesteps[walked..];
        pair = stages.run(Stage::Denoise, rest.len(), |progress| {
            for (index, &t) in rest.iter().enumerate() {
                interrupt.check()?;
                let place = Place { t, step: index + 1 };
                pair = pair.step(unet, schedule, &grid, place, &prompt, settings.start_layer)?;
                progress.step(None);
            }
            Ok(pair)
        })?;

        let picture = stages.run(Stage::Decode, 1, |_| self.decode(&pair.edit, interrupt))?;
        let loss = losses.first().copied().zip(losses.last().copied());
        let (seconds, device_peak_bytes) = (stages.seconds, backend.peak_bytes());
        let warnings = reuse.map(|mut reuse| reuse.take_warnings()).unwrap_or_default();
        let (lora, lora_absent) = (adapters.trained, adapters.absent);
        let outcome = Outcome { picture, loss, diverged, steps, seconds, cached, warnings, lora, lora_absent, device_peak_bytes };
        let latents = Latents { clean, inverted, prepared, denoised: pair.edit, reference: pair.reference, losses };
        Ok((outcome, latents))
    }

    /// The picture's mean latent.
    fn encode(&self, plan: &Plan, picture: Vec<f32>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let shape = Shape::new(1, plan.frame.padded.height, plan.frame.padded.width, 3);
        failpoint::wait("wait_in_encode", || interrupt.has_come());
        let latent = self.vae.encode(&Tensor::from_host(&self.backend, shape, picture), interrupt)?;
        require_finite(&latent, Stage::Encode, 1, "the picture's latent")?;
        // From here on the network computes with it, which has a format of its own; a latent from the cache lies there, too.
        Ok(Tensor::from_host(&self.backend, latent.shape(), latent.to_host()))
    }

    /// The picture of a latent, in 0..1.
    fn decode(&self, latent: &Tensor<B>, interrupt: &Interrupt) -> Result<Vec<f32>> {
        failpoint::panic("panic_in_decode");
        failpoint::wait("hang_in_decode", || false);
        failpoint::wait("wait_in_decode", || interrupt.has_come());
        let decoded = failpoint::corrupt("nan_in_decode", self.vae.decode(latent, interrupt)?);
        require_finite(&decoded, Stage::Decode, 1, "the picture")?;
        Ok(decoded.to_host().into_iter().map(|value| (value * 0.5 + 0.5).clamp(0.0, 1.0)).collect())
    }
}

/// About how many pictures go through the network in an edit with these settings.
pub fn passes_of(settings: &Settings) -> f64 {
    passes(settings, settings.executed_steps(), false, false).iter().map(|(_, passes)| passes).sum()
}

/// About how many pictures go through the network in each stage; a backward pass counts as one. Close enough to tell how long it takes.
fn passes(settings: &Settings, timesteps: usize, has_lora: bool, is_inverted: bool) -> Vec<(Stage, f64)> {
    let drag = settings.timesteps.min(timesteps);
    let lora = if has_lora { 0 } else { 2 * settings.lora_steps * settings.lora_batch };
    let passes = [
        (Stage::Lora, lora),
        (Stage::Invert, if is_inverted { 0 } else { timesteps }),
        (Stage::Drag, drag * (2 * settings.iterations + 2)),
        (Stage::Denoise, 2 * (timesteps - drag)),
    ];
    passes.map(|(stage, passes)| (stage, passes as f64)).to_vec()
}
