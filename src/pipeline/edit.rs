//! One edit, stage by stage.

mod as_warped;

use std::time::Instant;

use super::adapters::Adapters;
use super::clock::StageClock;
use super::components::{Components, latent_shape};
use super::cost::passes;
use super::edit_cache::{EditCache, SharedCache};
use super::{Latents, Outcome, Steps, WarpedWork, Work};
use crate::diffusion::denoise::Pair;
use crate::diffusion::invert::{Trajectory, invert};
use crate::diffusion::kept::KeptTrajectory;
use crate::diffusion::{Grid, NoiseSource};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::{Dragged, Guide, Inversion, PointTrack, Scene, StartPicture};
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

/// The inversions that an edit needs.
struct Inversions<B: Backend> {
    /// That of the picture which the method starts from.
    start: Trajectory<B>,
    /// That of the original picture, where it is another and the method needs it.
    original: Option<Trajectory<B>>,
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
        warped,
        lora,
    } = work;
    let mut edit = Edit::new(components, plan, picture, cache, stages, noise, interrupt)?;

    let adapters = edit.adapters(network, lora)?;
    let warped = match warped {
        Some(warped) if edit.keeps(&warped) => return edit.finish_as_warped(adapters, warped),
        other => other,
    };
    let network = &*network;
    let prompt = network.prepare(&edit.context);
    let inversions = edit.invert_all(network, &prompt, &adapters, warped.as_ref())?;
    let dragged = edit.drag(network, &prompt, &inversions, warped.as_ref())?;
    let prompts = dragged.prompts.as_ref();
    let prompts = prompts.map(|embeddings| network.prepare(embeddings));
    let end = dragged.pair.edit.clone();
    let pair = edit.denoise(
        network,
        prompts.as_ref().unwrap_or(&prompt),
        dragged.pair,
        dragged.kept.as_ref(),
        dragged.steps,
    )?;
    let picture = edit.decode(&pair.edit)?;
    let reconstruction = edit.reconstruction(warped, &inversions)?;

    let latents = Latents {
        clean: inversions.start.clean().clone(),
        inverted: inversions.start.inverted().clone(),
        prepared: dragged.start,
        dragged: end,
        prompts: dragged.prompts,
        denoised: pair.edit,
        reference: pair.reference,
        losses: dragged.losses,
    };
    let outcome = Outcome {
        reconstruction,
        ..edit.outcome(
            picture,
            adapters,
            &latents.losses,
            dragged.diverged,
            dragged.tracks,
        )
    };
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
        let (tokens, cut) = components.tokens(plan)?;
        let executed = settings.executed_steps();
        let grid = components.schedule.grid(
            settings.method.needs().spacing,
            settings.diffusion.steps,
            executed,
        );
        let start = Instant::now();
        let (guide, goal_cut) = components.guide(plan, interrupt)?.unzip();
        stages.add(
            Stage::Load,
            components.seconds + start.elapsed().as_secs_f64(),
        );
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
            guide,
            words: components.tokenizer.words(&tokens),
            stages,
            cache: EditCache::new(cache, &picture, plan.frame.padded, &tokens),
            noise,
            interrupt,
            warnings: cut.into_iter().chain(goal_cut.flatten()).collect(),
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

    /// Inverts the pictures that the method needs, or takes their inversions from the cache.
    ///
    /// # Panics
    /// When the method starts from the warped picture and there is none.
    fn invert_all(
        &mut self,
        network: &impl Network<B>,
        prompt: &Prompt<B>,
        adapters: &Adapters,
        warped: Option<&WarpedWork>,
    ) -> Result<Inversions<B>> {
        let needs = self.plan.settings.method.needs();
        match needs.start {
            StartPicture::Original => Ok(Inversions {
                start: self.invert(network, prompt, adapters, None)?,
                original: None,
            }),
            StartPicture::Warped => {
                let warped = warped.expect("the caller warps the picture for this method");
                let start = self.invert(network, prompt, adapters, Some(&warped.picture))?;
                let original = needs
                    .original
                    .then(|| self.invert(network, prompt, adapters, None))
                    .transpose()?;
                Ok(Inversions { start, original })
            }
        }
    }

    /// Inverts the picture, or `warped` in its place, or takes the inversion from the cache.
    fn invert(
        &mut self,
        network: &impl Network<B>,
        prompt: &Prompt<B>,
        adapters: &Adapters,
        warped: Option<&[f32]>,
    ) -> Result<Trajectory<B>> {
        if self.plan.settings.method.needs().inversion == Inversion::Own {
            self.stages.skip(Stage::Invert);
            return self.clean_of(warped).map(Trajectory::of_clean);
        }
        let (components, interrupt) = (self.components, self.interrupt);
        let shape = latent_shape(self.plan);
        let cache = self.cache.clone();
        let key = cache.inversion(&adapters.hash, &self.grid, warped);
        let steps = self.grid.timesteps.len();
        let tensors = [("clean", shape.len()), ("steps", steps * shape.len())];
        let (latents, is_cached) = cache.get_or_compute(key, tensors, || {
            let clean = self.clean_of(warped)?;
            self.steps.invert += steps;
            let (grid, schedule) = (&self.grid, &components.schedule);
            let trajectory = self.stages.run(Stage::Invert, steps, |progress| {
                invert(network, schedule, grid, &clean, prompt, progress, interrupt)
            })?;
            Ok([clean.to_host(), trajectory.steps_to_host()])
        })?;
        if is_cached {
            self.stages.hit(Stage::Invert);
        }
        let ([clean, steps], backend) = (latents, &components.backend);
        Ok(Trajectory::from_host(
            backend, shape, &self.grid, clean, &steps,
        ))
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
        Ok(dragged.at_degree(plan.settings.diffusion.degree))
    }

    /// Denoises both latents along the rest of the grid, after its first `done` steps.
    fn denoise(
        &mut self,
        network: &impl Network<B>,
        prompt: &Prompt<B>,
        pair: Pair<B>,
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
                kept,
                progress,
                interrupt,
            )
        })
    }

    /// Decodes the warped picture's latent where the result carries detail. Without that, or without a warped picture, returns `None`.
    fn reconstruction(
        &mut self,
        warped: Option<WarpedWork>,
        inversions: &Inversions<B>,
    ) -> Result<Option<Vec<f32>>> {
        let settings = &self.plan.settings;
        let Some(warped) = warped.filter(|_| settings.warp.detail > 0.0) else {
            return Ok(None);
        };
        let latent = match settings.method.needs().start {
            StartPicture::Warped => inversions.start.clean().clone(),
            StartPicture::Original => self.encode(warped.picture)?,
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

    fn outcome(
        self,
        picture: Vec<f32>,
        adapters: Adapters,
        losses: &[f64],
        diverged: usize,
        tracks: Vec<PointTrack>,
    ) -> Outcome {
        let frame = self.plan.frame;
        let mut warnings = self.warnings;
        warnings.extend(self.cache.take_warnings());
        let on_picture = |track: PointTrack| PointTrack {
            points: track
                .points
                .into_iter()
                .map(|point| frame.to_source(point))
                .collect(),
            target: frame.to_source(track.target),
            ..track
        };
        Outcome {
            picture,
            reconstruction: None,
            losses: losses.to_vec(),
            tracks: tracks.into_iter().map(on_picture).collect(),
            diverged,
            steps: self.steps,
            seconds: self.stages.seconds,
            cached: self.stages.cached,
            warnings,
            lora: adapters.trained,
            lora_absent: adapters.absent,
            device_peak_bytes: self.components.backend.peak_bytes(),
        }
    }
}
