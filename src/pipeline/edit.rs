//! One edit, stage by stage.

mod as_warped;
mod inversions;
mod results;

use std::time::Instant;

use inversions::Inversions;

use super::clock::StageClock;
use super::components::Components;
use super::cost::passes;
use super::edit_cache::{EditCache, SharedCache};
use super::{Latents, Outcome, Steps, WarpedWork, Work};
use crate::diffusion::denoise::{Injection, Pair};
use crate::diffusion::kept::KeptTrajectory;
use crate::diffusion::{Grid, NoiseSource};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{Dragged, Guide, Inversion, Scene, StartPicture};
use crate::model::unet::{Network, Prompt};
use crate::nn::Tensor;
use crate::plan::Plan;
use crate::progress::{Progress, Stage};
use crate::warning::Warning;

/// An edit in progress: what its stages share.
pub(super) struct Edit<'a, B: Backend> {
    pub(super) components: &'a Components<B>,
    pub(super) plan: &'a Plan,
    /// The executed timesteps.
    pub(super) grid: Grid,
    /// The prompt's context (1, 1, tokens, channels).
    pub(super) context: Tensor<B>,
    /// That of the empty prompt, for methods that guide away from it, unless the prompt is empty.
    unconditional: Option<Tensor<B>>,
    /// The text that the method follows, if it follows one.
    guide: Option<Guide<'a, B>>,
    /// How many of its tokens stand before the first end token.
    words: usize,
    pub(super) stages: StageClock<'a>,
    pub(super) cache: EditCache<'a>,
    pub(super) noise: &'a mut dyn NoiseSource,
    pub(super) interrupt: &'a Interrupt,
    pub(super) steps: Steps,
    /// Warnings about the prompts.
    warnings: Vec<Warning>,
    source: Source<B>,
}

/// The picture to edit.
enum Source<B: Backend> {
    /// The working picture (padded height, padded width, 3) in -1..1.
    Picture(Vec<f32>),
    /// Its mean latent (1, height / 8, width / 8, 4).
    Latent(Tensor<B>),
}

/// Receives a result and the latents between its stages.
pub(super) type EachResult<'a, B> = dyn FnMut(Outcome, Latents<B>) -> Result<()> + 'a;

/// Edits with `network`, to which adapters may stay attached: encode, fine-tune, invert, drag, denoise, decode. What follows the drag is done once for
/// each of `degrees`, whose results `each` gets one after the other, in their order.
///
/// # Errors
/// As [`super::Pipeline::edit_degrees`].
pub(super) fn run<B: Backend>(
    components: &Components<B>,
    network: &mut impl Network<B>,
    work: Work,
    degrees: &[f64],
    cache: Option<&SharedCache>,
    noise: &mut dyn NoiseSource,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
    each: &mut EachResult<B>,
) -> Result<()> {
    let on_end = || components.release();
    let stages = StageClock::new(progress, &on_end);
    let Work {
        plan,
        picture,
        warped,
        lora,
    } = work;
    let mut edit = Edit::new(components, plan, picture, cache, stages, noise, interrupt)?;

    let mut adapters = edit.adapters(network, lora)?;
    let warped = match warped {
        Some(warped) if edit.keeps(&warped) => {
            return edit.finish_as_warped(adapters, warped, degrees, each);
        }
        other => other,
    };
    let network = &*network;
    let prompt = network.prepare(&edit.context);
    let inversions = edit.invert_all(network, &prompt, &adapters, warped.as_ref())?;
    let dragged = edit.drag(network, &prompt, &inversions, warped.as_ref())?;
    let mut reconstruction = None;
    for (index, degree) in degrees.iter().enumerate() {
        if index > 0 {
            edit.begin_again();
        }
        let start = dragged.at_degree(*degree);
        let prompts = start.prompts.as_ref();
        let prompts = prompts.map(|embeddings| network.prepare(embeddings));
        let end = start.pair.edit.clone();
        let pair = edit.denoise(
            network,
            prompts.as_ref().unwrap_or(&prompt),
            start.pair,
            start.injection.as_ref(),
            dragged.kept.as_ref(),
            dragged.steps,
        )?;
        let picture = edit.decode(&pair.edit)?;
        if index == 0 {
            reconstruction = edit.reconstruction(warped.as_ref(), &inversions)?;
        }
        let latents = Latents {
            clean: inversions.start.clean().clone(),
            inverted: inversions.start.inverted().clone(),
            prepared: dragged.start.clone(),
            dragged: end,
            prompts: start.prompts,
            bottleneck: start.injection.map(|injection| injection.bottleneck),
            denoised: pair.edit,
            reference: pair.reference,
            losses: dragged.losses.clone(),
        };
        let outcome = Outcome {
            reconstruction: reconstruction.clone(),
            losses: dragged.losses.clone(),
            diverged: dragged.diverged,
            tracks: edit.tracks(&dragged.tracks),
            ..edit.outcome(picture, &mut adapters)
        };
        each(outcome, latents)?;
    }
    Ok(())
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
        let (tokens, mut warnings) = components.tokens(plan)?;
        let executed = settings.executed_steps();
        let grid = components.schedule.grid(
            settings.method.needs().spacing,
            settings.diffusion.steps,
            executed,
        );
        let start = Instant::now();
        let (guide, goal_cut) = components.guide(plan, interrupt)?.unzip();
        warnings.extend(goal_cut.flatten());
        stages.add(
            Stage::Load,
            components.seconds + start.elapsed().as_secs_f64(),
        );
        stages.plan(passes(settings, grid.timesteps.len()));
        let start = Instant::now();
        let context = components
            .text_encoder
            .encode(&components.backend, &tokens)?;
        let unconditional = components.unconditional(plan)?;
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
            unconditional,
            guide,
            words: components.tokenizer.words(&tokens),
            stages,
            cache: EditCache::new(cache, &picture, plan.frame.padded, &tokens),
            noise,
            interrupt,
            warnings,
            source: Source::Picture(picture),
        })
    }

    /// Returns the picture's latent, which the first call encodes.
    pub(super) fn clean(&mut self) -> Result<Tensor<B>> {
        let picture = match &mut self.source {
            Source::Latent(latent) => return Ok(latent.clone()),
            Source::Picture(picture) => std::mem::take(picture),
        };
        let latent = self.encode(picture)?;
        self.source = Source::Latent(latent.clone());
        Ok(latent)
    }

    /// Returns the latent of the picture, or of `warped` in its place.
    fn clean_of(&mut self, warped: Option<&[f32]>) -> Result<Tensor<B>> {
        match warped {
            None => self.clean(),
            Some(warped) => self.encode(warped.to_vec()),
        }
    }

    /// Encodes a working picture (padded height, padded width, 3) in -1..1.
    fn encode(&mut self, picture: Vec<f32>) -> Result<Tensor<B>> {
        let (components, plan, interrupt) = (self.components, self.plan, self.interrupt);
        let latent = self.stages.run(Stage::Encode, 1, |_| {
            components.encode(plan, picture, interrupt)
        })?;
        interrupt.check()?;
        Ok(latent)
    }

    /// Lets the method drag.
    fn drag<N: Network<B>>(
        &mut self,
        network: &N,
        prompt: &Prompt<B>,
        inversions: &Inversions<B>,
        warped: Option<&WarpedWork>,
    ) -> Result<Dragged<B>> {
        let plan = self.plan;
        let nothing_new = vec![0.0; plan.frame.latent_grid().len()];
        let new = match (plan.settings.method.needs().start, warped) {
            (StartPicture::Warped, Some(warped)) => &warped.new,
            _ => &nothing_new,
        };
        let method = &plan.settings.method;
        let scene = Scene {
            network,
            vae: &self.components.vae,
            guide: self.guide.as_ref(),
            prompt,
            context: &self.context,
            unconditional: self.unconditional.as_ref(),
            words: self.words,
            schedule: &self.components.schedule,
            grid: &self.grid,
            diffusion: &plan.settings.diffusion,
            regions: &plan.regions,
            frame: plan.frame,
            editable: plan.editable.as_ref(),
            trajectory: &inversions.start,
            original: inversions.original.as_ref().unwrap_or(&inversions.start),
            new,
            noise: &mut *self.noise,
        };
        let interrupt = self.interrupt;
        let iterations = method
            .cost(&plan.settings.diffusion, self.grid.timesteps.len())
            .iterations;
        let dragged = self.stages.run(Stage::Drag, iterations, |progress| {
            method.drag(scene, progress, interrupt)
        })?;
        self.steps.drag = dragged.losses.len();
        if method.needs().inversion == Inversion::Own {
            self.steps.invert = dragged.steps;
        }
        Ok(dragged)
    }

    /// Denoises both latents along the rest of the grid, after its first `done` steps.
    fn denoise(
        &mut self,
        network: &impl Network<B>,
        prompt: &Prompt<B>,
        pair: Pair<B>,
        injection: Option<&Injection<B>>,
        kept: Option<&KeptTrajectory<B>>,
        done: usize,
    ) -> Result<Pair<B>> {
        let (schedule, grid, interrupt) = (&self.components.schedule, &self.grid, self.interrupt);
        let start_layer = self.plan.settings.diffusion.start_layer;
        let rest = grid.timesteps.len() - done;
        if rest == 0 {
            self.stages.skip(Stage::Denoise);
            return Ok(pair);
        }
        self.stages.run(Stage::Denoise, rest, |progress| {
            pair.denoise(
                network,
                schedule,
                grid,
                done,
                prompt,
                start_layer,
                injection,
                kept,
                progress,
                interrupt,
            )
        })
    }

    /// Decodes the warped picture's latent where the result carries detail. Without that, or without a warped picture, returns `None`.
    fn reconstruction(
        &mut self,
        warped: Option<&WarpedWork>,
        inversions: &Inversions<B>,
    ) -> Result<Option<Vec<f32>>> {
        let settings = &self.plan.settings;
        let Some(warped) = warped.filter(|_| settings.warp.detail > 0.0) else {
            return Ok(None);
        };
        let latent = match settings.method.needs().start {
            StartPicture::Warped => inversions.start.clean().clone(),
            StartPicture::Original => self.encode(warped.picture.clone())?,
        };
        let (components, interrupt) = (self.components, self.interrupt);
        let decoded = self.stages.run(Stage::Decode, 1, |_| {
            components.reconstruct(&latent, interrupt)
        });
        decoded.map(Some)
    }

    fn decode(&mut self, latent: &Tensor<B>) -> Result<Vec<f32>> {
        let (components, interrupt) = (self.components, self.interrupt);
        self.stages
            .run(Stage::Decode, 1, |_| components.decode(latent, interrupt))
    }
}
