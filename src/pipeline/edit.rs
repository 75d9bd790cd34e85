//! One edit, stage by stage.

use std::time::Instant;

use super::adapters::Adapters;
use super::clock::StageClock;
use super::components::{Components, latent_shape};
use super::cost::passes;
use super::edit_cache::{EditCache, SharedCache};
use super::{Latents, Outcome, Steps, Work};
use crate::diffusion::denoise::Pair;
use crate::diffusion::invert::invert;
use crate::diffusion::{Grid, NoiseSource, Spacing};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{Dragged, Scene};
use crate::model::unet::{Network, Prompt};
use crate::nn::Tensor;
use crate::plan::Plan;
use crate::progress::{Progress, Stage};

/// An edit in progress: what its stages share.
pub(super) struct Edit<'a, B: Backend> {
    pub(super) components: &'a Components<B>,
    pub(super) plan: &'a Plan,
    /// The executed timesteps.
    pub(super) grid: Grid,
    /// The prompt's context (1, 1, tokens, channels).
    pub(super) context: Tensor<B>,
    pub(super) stages: StageClock<'a>,
    pub(super) cache: EditCache<'a>,
    pub(super) noise: &'a mut dyn NoiseSource,
    pub(super) interrupt: &'a Interrupt,
    pub(super) steps: Steps,
    source: Source<B>,
}

/// The picture to edit.
enum Source<B: Backend> {
    /// The working picture (padded height, padded width, 3) in -1..1.
    Picture(Vec<f32>),
    /// Its mean latent (1, height / 8, width / 8, 4).
    Latent(Tensor<B>),
}

/// The picture's latent, and where the inversion takes it.
struct Inversion<B: Backend> {
    clean: Tensor<B>,
    inverted: Tensor<B>,
}

/// Edits with `network`, to which adapters may stay attached: encode, fine-tune, invert, drag, denoise, decode.
///
/// # Errors
/// As [`super::Pipeline::edit`].
pub(super) fn run<B: Backend>(
    components: &Components<B>,
    network: &mut impl Network<B>,
    work: Work,
    cache: Option<&SharedCache>,
    noise: &mut dyn NoiseSource,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<(Outcome, Latents<B>)> {
    let on_end = || components.release();
    let stages = StageClock::new(progress, &on_end);
    let Work {
        plan,
        picture,
        lora,
    } = work;
    let mut edit = Edit::new(components, plan, picture, cache, stages, noise, interrupt)?;

    let adapters = edit.adapters(network, lora)?;
    let network = &*network;
    let prompt = network.prepare(&edit.context);
    let Inversion { clean, inverted } = edit.invert(network, &prompt, &adapters)?;
    let dragged = edit.drag(network, &prompt, &clean, &inverted)?;
    let pair = edit.denoise(network, &prompt, dragged.pair, dragged.steps)?;
    let picture = edit.decode(&pair.edit)?;

    let latents = Latents {
        clean,
        inverted,
        prepared: dragged.start,
        denoised: pair.edit,
        reference: pair.reference,
        losses: dragged.losses,
    };
    let outcome = edit.outcome(picture, adapters, &latents.losses, dragged.diverged);
    Ok((outcome, latents))
}

impl<'a, B: Backend> Edit<'a, B> {
    fn new(
        components: &'a Components<B>,
        plan: &'a Plan,
        picture: Vec<f32>,
        cache: Option<&'a SharedCache>,
        mut stages: StageClock<'a>,
        noise: &'a mut dyn NoiseSource,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        interrupt.check()?;
        let settings = &plan.settings;
        let tokens = components.tokens(plan)?;
        let executed = settings.executed_steps();
        let grid = components
            .schedule
            .grid(Spacing::Leading, settings.diffusion.steps, executed);
        stages.add(Stage::Load, components.seconds);
        stages.plan(passes(settings, grid.timesteps.len()));
        let start = Instant::now();
        let context = components
            .text_encoder
            .encode(&components.backend, &tokens)?;
        stages.add(Stage::Encode, start.elapsed().as_secs_f64());
        Ok(Self {
            components,
            plan,
            steps: Steps {
                denoise: grid.timesteps.len(),
                ..Steps::default()
            },
            grid,
            context,
            stages,
            cache: EditCache::new(cache, &picture, plan.frame.padded, &tokens),
            noise,
            interrupt,
            source: Source::Picture(picture),
        })
    }

    /// Returns the picture's latent, which the first call encodes.
    pub(super) fn clean(&mut self) -> Result<Tensor<B>> {
        let picture = match &mut self.source {
            Source::Latent(latent) => return Ok(latent.clone()),
            Source::Picture(picture) => std::mem::take(picture),
        };
        let (components, plan, interrupt) = (self.components, self.plan, self.interrupt);
        let latent = self.stages.run(Stage::Encode, 1, |_| {
            components.encode(plan, picture, interrupt)
        })?;
        interrupt.check()?;
        self.source = Source::Latent(latent.clone());
        Ok(latent)
    }

    /// Inverts the picture, or takes its inversion from the cache.
    fn invert(
        &mut self,
        network: &impl Network<B>,
        prompt: &Prompt<B>,
        adapters: &Adapters,
    ) -> Result<Inversion<B>> {
        let (components, interrupt) = (self.components, self.interrupt);
        let shape = latent_shape(self.plan);
        let cache = self.cache.clone();
        let key = cache.inversion(&adapters.hash, &self.grid);
        let tensors = [("clean", shape.len()), ("inverted", shape.len())];
        let (latents, is_cached) = cache.get_or_compute(key, tensors, || {
            let clean = self.clean()?;
            self.steps.invert = self.grid.timesteps.len();
            let (grid, schedule) = (&self.grid, &components.schedule);
            let steps = self.steps.invert;
            let inverted = self.stages.run(Stage::Invert, steps, |progress| {
                invert(network, schedule, grid, &clean, prompt, progress, interrupt)
            })?;
            Ok([clean.to_host(), inverted.to_host()])
        })?;
        if is_cached {
            self.stages.hit(Stage::Invert);
        }
        let [clean, inverted] =
            latents.map(|latent| Tensor::from_host(&components.backend, shape, latent));
        Ok(Inversion { clean, inverted })
    }

    /// Lets the method drag.
    fn drag<N: Network<B>>(
        &mut self,
        network: &N,
        prompt: &Prompt<B>,
        clean: &Tensor<B>,
        inverted: &Tensor<B>,
    ) -> Result<Dragged<B>> {
        let plan = self.plan;
        let method = &plan.settings.method;
        let scene = Scene {
            network,
            vae: &self.components.vae,
            prompt,
            schedule: &self.components.schedule,
            grid: &self.grid,
            diffusion: &plan.settings.diffusion,
            regions: &plan.regions,
            frame: plan.frame,
            editable: plan.editable.as_ref(),
            clean,
            inverted,
            noise: &mut *self.noise,
        };
        let interrupt = self.interrupt;
        let iterations = method.cost(self.grid.timesteps.len()).iterations;
        let dragged = self.stages.run(Stage::Drag, iterations, |progress| {
            method.drag(scene, progress, interrupt)
        })?;
        self.steps.drag = dragged.losses.len();
        Ok(dragged)
    }

    /// Denoises both latents along the rest of the grid, after its first `done` steps.
    fn denoise(
        &mut self,
        network: &impl Network<B>,
        prompt: &Prompt<B>,
        pair: Pair<B>,
        done: usize,
    ) -> Result<Pair<B>> {
        let (schedule, grid, interrupt) = (&self.components.schedule, &self.grid, self.interrupt);
        let start_layer = self.plan.settings.diffusion.start_layer;
        let rest = grid.timesteps.len() - done;
        self.stages.run(Stage::Denoise, rest, |progress| {
            pair.denoise(
                network,
                schedule,
                grid,
                done,
                prompt,
                start_layer,
                progress,
                interrupt,
            )
        })
    }

    fn decode(&mut self, latent: &Tensor<B>) -> Result<Vec<f32>> {
        let (components, interrupt) = (self.components, self.interrupt);
        self.stages
            .run(Stage::Decode, 1, |_| components.decode(latent, interrupt))
    }

    fn outcome(
        self,
        picture: Vec<f32>,
        adapters: Adapters,
        losses: &[f64],
        diverged: usize,
    ) -> Outcome {
        Outcome {
            picture,
            loss: losses.first().copied().zip(losses.last().copied()),
            diverged,
            steps: self.steps,
            seconds: self.stages.seconds,
            cached: self.stages.cached,
            warnings: self.cache.take_warnings(),
            lora: adapters.trained,
            lora_absent: adapters.absent,
            device_peak_bytes: self.components.backend.peak_bytes(),
        }
    }
}
