//! Alternating drag and denoising (`GoodDrag`, arXiv 2404.07206, section 3.1).

use super::settings::GoodDragSettings;
use crate::diffusion::denoise::Pair;
use crate::diffusion::kept::{CellContent, KeptTrajectory};
use crate::diffusion::require_finite;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{
    Candidates, Cell, DragGradient, Frozen, LatentGradient, MaskStep, MaskTerm, MotionSource,
    Outputs, PointDrag, PointLog, PointTimestep, PointTracking, TextGradient, TextOptimisation,
    Updates,
};
use crate::method::{Dragged, Scene};
use crate::model::unet::{Input, Network, NoiseAndFeatures};
use crate::nn::Tensor;
use crate::progress::{Progress, Stage};
use crate::settings::TrajectoryChoice;

/// What stays the same during a drag.
pub(super) struct Alternation<'a, 's, B: Backend, N> {
    scene: &'a Scene<'s, B, N>,
    settings: &'a GoodDragSettings,
    drags: Vec<PointDrag>,
    frozen: Option<Frozen<B>>,
}

/// What goes on from timestep to timestep.
struct State {
    /// Where the points are.
    points: Vec<Cell>,
    /// Trackings in a row that moved no point.
    stalled: usize,
    /// Whether the drag has ended for good.
    is_over: bool,
    log: PointLog,
}

/// The latent after the optimisation at a timestep.
struct Optimised<B: Backend> {
    latent: Tensor<B>,
    has_diverged: bool,
    /// The text embedding, where it is optimised.
    text: Option<Tensor<B>>,
}

impl<'a, 's, B: Backend, N: Network<B>> Alternation<'a, 's, B, N> {
    pub(super) fn new(scene: &'a Scene<'s, B, N>, settings: &'a GoodDragSettings) -> Self {
        let backend = scene.trajectory.inverted().backend();
        let frozen = scene.editable;
        Self {
            scene,
            settings,
            drags: PointDrag::of_regions(scene.regions, &scene.frame),
            frozen: frozen.map(|editable| Frozen::new(backend, editable, &scene.frame)),
        }
    }

    /// Executes the timesteps of the drag. It ends earlier when all points have arrived or none moves any more.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`], [`crate::Error::NotFinite`], [`crate::Error::Diverged`].
    pub(super) fn run(
        &self,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let scene = self.scene;
        let start = scene.trajectory.inverted();
        let contents: Vec<CellContent> = (0..scene.frame.latent_grid().len())
            .map(CellContent::Of)
            .collect();
        let is_kept = scene.diffusion.trajectory == TrajectoryChoice::Kept;
        let kept = is_kept.then(|| KeptTrajectory::new(scene.trajectory.clone(), &contents, 0.0));
        let mut pair = Pair {
            reference: start.clone(),
            edit: start.clone(),
        };
        let mut state = State {
            points: PointDrag::handles(&self.drags),
            stalled: 0,
            is_over: false,
            log: PointLog::default(),
        };
        state.log.moved(&state.points);
        let (mut text, mut steps, mut diverged) = (None, 0, 0);
        for &t in scene.grid.timesteps.iter().take(self.settings.timesteps) {
            if state.is_over {
                break;
            }
            interrupt.check()?;
            // Without mutual attention the two latents are independent, so one pass gives the reference's features and its next step.
            let input = Input::at(&pair.reference, t as f64, scene.prompt);
            let want = NoiseAndFeatures::of(&self.settings.taps.0);
            let (noise, original) = scene.network.forward(input, want);
            let reference = self.stepped(&pair.reference, &noise, t, &state)?;
            let timestep = self.timestep(t, &original, &pair.reference, &reference);
            let optimised =
                self.optimise(&timestep, &pair.edit, &mut state, progress, interrupt)?;
            diverged += usize::from(optimised.has_diverged);
            text = optimised.text.or(text);
            interrupt.check()?;
            let input = match &text {
                Some(text) => Input::at(&optimised.latent, t as f64, text),
                None => Input::at(&optimised.latent, t as f64, scene.prompt),
            };
            let noise = scene.network.predict(input);
            let edit = self.stepped(&optimised.latent, &noise, t, &state)?;
            pair = Pair { reference, edit };
            if let Some(kept) = &kept {
                pair = kept.corrected(pair, t);
            }
            steps += 1;
        }
        let tracks = state
            .log
            .tracks(&self.drags, &scene.frame.supervision_grid());
        Ok(Dragged {
            start: start.clone(),
            pair,
            kept,
            steps,
            losses: state.log.losses,
            diverged,
            tracks,
            prompts: text.map(|text| Tensor::stacked(&[scene.context.clone(), text])),
            bottleneck: None,
        })
    }

    /// Returns the latent after the denoising step from t, with the noise that was predicted for it.
    fn stepped(
        &self,
        z: &Tensor<B>,
        noise: &Tensor<B>,
        t: i64,
        state: &State,
    ) -> Result<Tensor<B>> {
        let step = state.log.losses.len().max(1);
        require_finite(noise, Stage::Drag, step, "the noise prediction")?;
        let Scene { schedule, grid, .. } = self.scene;
        Ok(schedule.step(z.clone(), noise, t, grid.after(t)))
    }

    fn timestep<'b>(
        &'b self,
        t: i64,
        original: &'b [Tensor<B>],
        reference: &'b Tensor<B>,
        next: &'b Tensor<B>,
    ) -> PointTimestep<'b, B> {
        let Self {
            scene, settings, ..
        } = self;
        let step = [t, scene.grid.after(t)];
        let (backend, weight) = (next.backend(), settings.mask_weight);
        let mask = self.frozen.as_ref().map(|frozen| MaskTerm {
            frozen,
            step: MaskStep::new(backend, scene.schedule, step, weight),
            reference: next,
        });
        let held = self.frozen.as_ref().map(|frozen| (frozen, reference));
        PointTimestep {
            t,
            frame: &scene.frame,
            drags: &self.drags,
            motion: settings.motion(),
            source: MotionSource::Original,
            tracking: PointTracking {
                radius: settings.track_radius,
                candidates: Candidates::Window,
            },
            original,
            mask: mask.filter(|_| settings.mask_weight > 0.0),
            updates: Updates {
                held: held.filter(|_| settings.hard_background),
                lr: settings.lr,
                keeps_partial: settings.keep_partial,
            },
        }
    }

    /// Optimises the edited latent at one timestep, with moments and a text embedding that start anew.
    fn optimise(
        &self,
        timestep: &PointTimestep<B>,
        start: &Tensor<B>,
        state: &mut State,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Optimised<B>> {
        let Scene {
            network,
            prompt,
            context,
            words,
            ..
        } = *self.scene;
        let (settings, taps) = (self.settings, &self.settings.taps.0);
        let (end, text) = if settings.text_optimisation == TextOptimisation::Off {
            let mut gradient = DragGradient {
                network,
                prompt,
                taps,
            };
            let end = self.descend(timestep, start, &mut gradient, state, progress, interrupt);
            (end, None)
        } else {
            let mut gradient = TextGradient::new(network, taps, context, words, settings.text());
            let end = self.descend(timestep, start, &mut gradient, state, progress, interrupt);
            (end, Some(gradient.text().clone()))
        };
        let (latent, has_diverged) = end?;
        Ok(Optimised {
            latent,
            has_diverged,
            text,
        })
    }

    /// The drags of one timestep: a number of updates, then tracking in the features of the last pass, which are those before its update.
    fn descend(
        &self,
        timestep: &PointTimestep<B>,
        start: &Tensor<B>,
        gradient: &mut impl LatentGradient<B>,
        state: &mut State,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Tensor<B>, bool)> {
        let settings = self.settings;
        let mut descent = timestep.begin(start);
        let (mut tracks, mut inner, mut is_first) = (0, 0, true);
        while tracks < settings.tracks {
            interrupt.check()?;
            let variable = descent.variable().clone();
            let step = state.log.losses.len() + 1;
            let mut features = Vec::new();
            let mut motion = 0.0;
            let mut loss = |z: &Tensor<B>, outputs: &Outputs<B>| {
                if is_first {
                    state.points = timestep.tracked(&outputs.1, &state.points);
                    state.log.moved(&state.points);
                    is_first = false;
                }
                if timestep.have_arrived(&state.points) || state.stalled >= settings.stall_limit {
                    state.is_over = true;
                    return None;
                }
                features.clone_from(&outputs.1);
                let loss = timestep.loss(z, outputs, &state.points);
                motion = loss.motion.loss.value();
                Some(loss)
            };
            let evaluated = gradient.gradient(&variable, timestep.t, step, &mut loss)?;
            let Some((loss, gradient)) = evaluated else {
                break;
            };
            state.log.losses.push(loss);
            progress.step(Some(loss));
            if !descent.step(loss, &gradient, step)? {
                break;
            }
            inner += 1;
            let is_low = motion <= settings.loss_threshold * settings.patch();
            if inner == settings.iterations || is_low {
                let points = timestep.tracked(&features, &state.points);
                let moved = points != state.points;
                state.stalled = if moved { 0 } else { state.stalled + 1 };
                state.points = points;
                state.log.moved(&state.points);
                inner = 0;
                tracks += 1;
            }
        }
        state.is_over |= state.stalled >= settings.stall_limit;
        Ok(descent.end())
    }
}
