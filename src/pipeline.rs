//! One edit, stage by stage: encode, fine-tune, invert, drag, denoise, decode.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use serde::Serialize;

use crate::diffusion::denoise::{Pair, Place};
use crate::diffusion::finetune::{Subject, finetune};
use crate::diffusion::invert::invert;
use crate::diffusion::{NoiseSource, Schedule, require_finite};
use crate::digest::sha256;
use crate::error::Result;
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::kernels::{Backend, fault};
use crate::method::{Dragged, Frozen, Pbsi, moved_start};
use crate::model::lora::LoraFile;
use crate::model::unet::AdapterPlace;
use crate::model::{Model, TextEncoder, Tokenizer, UNet, Vae};
use crate::nn::{Shape, Tensor};
use crate::plan::Plan;
use crate::progress::{Progress, Stage};
use crate::settings::{Settings, Start};

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
}

impl<B: Backend> Edits for Editor<B> {
    fn digest(&self) -> String {
        Editor::digest(self)
    }

    fn edit(&mut self, work: Work, noise: &mut dyn NoiseSource, progress: &mut dyn Progress, interrupt: &Interrupt) -> Result<Outcome> {
        Editor::edit(self, work, noise, progress, interrupt)
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

/// A LoRA that an edit trained.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The adapted projections.
    pub places: Vec<AdapterPlace>,
    /// Their parameters, in the order of the places.
    pub parameters: Vec<f32>,
}

/// Steps that were done, for the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// Fine-tuning steps.
    pub lora: usize,
    /// Inversion steps.
    pub invert: usize,
    /// Iterations of the drag.
    pub drag: usize,
    /// Denoising steps.
    pub denoise: usize,
}

/// What an edit gave.
#[derive(Debug)]
pub struct Outcome {
    /// The edited working picture (padded height, padded width, 3) in 0..1.
    pub picture: Vec<f32>,
    /// First and last loss of the drag.
    pub loss: Option<(f64, f64)>,
    /// Timesteps at which the drag ran away, and went on with the best latent until then.
    pub diverged: usize,
    /// Steps of each stage.
    pub steps: Steps,
    /// Seconds of each stage, in order.
    pub seconds: Vec<(Stage, f64)>,
    /// The LoRA that was trained for this edit.
    pub lora: Option<Trained>,
    /// Adapted projections about which a given LoRA file says nothing.
    pub lora_absent: Vec<String>,
    /// The most bytes of the device's own memory that were held at once; `None` where it is the process's.
    pub device_peak_bytes: Option<u64>,
}

/// The latents of an edit, for checks against another implementation.
#[derive(Debug)]
pub struct Latents<B: Backend> {
    /// The picture's own.
    pub clean: Tensor<B>,
    /// After inversion.
    pub inverted: Tensor<B>,
    /// Where the drag started.
    pub prepared: Tensor<B>,
    /// The edit after denoising.
    pub denoised: Tensor<B>,
    /// The un-dragged picture after denoising.
    pub reference: Tensor<B>,
    /// The loss of every iteration.
    pub losses: Vec<f64>,
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
        Ok(Self { backend, model, unet, vae, tokenizer, text_encoder, schedule, seconds })
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
        self.backend.restore_gradient_scale();
        // Whatever becomes of one edit, the next one finds the weights as they were loaded.
        let result = catch_unwind(AssertUnwindSafe(|| fault::caught(|| self.stages(work, noise, progress, interrupt))));
        self.unet.detach_adapters();
        self.backend.trim();
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn stages(
        &mut self,
        work: Work,
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
        let mut stages = Stages { progress, seconds: vec![(Stage::Load, self.seconds)], over: &|| backend.trim() };
        stages.progress.plan(&passes(settings, grid.timesteps.len(), lora.is_some()));
        let mut steps = Steps { invert: grid.timesteps.len(), denoise: grid.timesteps.len(), ..Steps::default() };

        let (clean, context) = stages.run(Stage::Encode, 1, |_| self.encode(plan, picture, interrupt))?;
        interrupt.check()?;

        let (mut trained, mut lora_absent) = (None, Vec::new());
        if let Some(file) = lora {
            lora_absent = self.adapt(file)?;
        } else if settings.lora_steps > 0 {
            steps.lora = settings.lora_steps;
            let subject = Subject { latent: &clean, context: &context };
            trained = Some(stages.run(Stage::Lora, steps.lora, |progress| self.train(&subject, settings, noise, progress, interrupt))?);
        }

        let (prompt, inverted) = stages.run(Stage::Invert, steps.invert, |progress| {
            let prompt = self.unet.prepare(&context);
            let inverted = invert(&self.unet, &self.schedule, &grid, &clean, &prompt, progress, interrupt)?;
            Ok((prompt, inverted))
        })?;

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
        let outcome = Outcome { picture, loss, diverged, steps, seconds, lora: trained, lora_absent, device_peak_bytes };
        let latents = Latents { clean, inverted, prepared, denoised: pair.edit, reference: pair.reference, losses };
        Ok((outcome, latents))
    }

    /// The picture's mean latent, and the prompt's context.
    fn encode(&self, plan: &Plan, picture: Vec<f32>, interrupt: &Interrupt) -> Result<(Tensor<B>, Tensor<B>)> {
        // First, because a prompt that is too long need not wait for the picture.
        let tokens = self.tokenizer.encode(&plan.prompt, self.text_encoder.positions())?;
        let shape = Shape::new(1, plan.frame.padded.height, plan.frame.padded.width, 3);
        failpoint::wait("wait_in_encode", || interrupt.has_come());
        let latent = self.vae.encode(&Tensor::from_host(&self.backend, shape, picture), interrupt)?;
        require_finite(&latent, Stage::Encode, 1, "the picture's latent")?;
        Ok((latent, self.text_encoder.encode(&self.backend, &tokens)?))
    }

    /// Merges a LoRA file into the weights; returns the projections about which it says nothing.
    fn adapt(&mut self, file: LoraFile) -> Result<Vec<String>> {
        let places = self.unet.attach_adapters(file.rank());
        let lora = file.read(&places)?;
        self.unet.merge_adapters(&Tensor::vector(&self.backend, lora.parameters));
        Ok(lora.absent)
    }

    /// Trains a LoRA on the picture and merges it into the weights.
    fn train(
        &mut self,
        subject: &Subject<B>,
        settings: &Settings,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Trained> {
        let places = self.unet.attach_adapters(settings.lora_rank);
        let start = noise.adapters(&places);
        let parameters = finetune(&mut self.unet, &self.schedule, subject, start, settings, noise, progress, interrupt)?;
        Ok(Trained { places, parameters: parameters.to_host() })
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
    passes(settings, settings.executed_steps(), false).iter().map(|(_, passes)| passes).sum()
}

/// About how many pictures go through the network in each stage; a backward pass counts as one. Close enough to tell how long it takes.
fn passes(settings: &Settings, timesteps: usize, is_lora_given: bool) -> Vec<(Stage, f64)> {
    let drag = settings.timesteps.min(timesteps);
    let lora = if is_lora_given { 0 } else { 2 * settings.lora_steps * settings.lora_batch };
    let passes = [
        (Stage::Lora, lora),
        (Stage::Invert, timesteps),
        (Stage::Drag, drag * (2 * settings.iterations + 2)),
        (Stage::Denoise, 2 * (timesteps - drag)),
    ];
    passes.map(|(stage, passes)| (stage, passes as f64)).to_vec()
}
