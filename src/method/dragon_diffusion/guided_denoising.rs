//! Denoising with energy guidance: the gradients of the energies are added to the noise prediction, and self-attention reads the keys and values
//! of the inversion beside its own. `DragonDiffusion` and `DiffEditor` differ in what they do at which step ([`StepPlan`]).

use super::prediction::Prediction;
use super::step_plan::{PlannedSteps, StepPlan};
use crate::diffusion::denoise::Pair;
use crate::diffusion::invert::{KeptKeys, Trajectory, invert_keeping};
use crate::diffusion::kept::KeptTrajectory;
use crate::diffusion::{Stream, require_finite};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{
    Energies, EnergyWeights, FeatureGradients, FeatureMap, Frozen, Taps, in_range, on_host, pasted,
};
use crate::method::{Cost, Dragged, Scene};
use crate::model::unet::{Features, Input, Network, SelfAttentions};
use crate::nn::{Finiteness, KeysAndValues, Loss, Tensor};
use crate::progress::{Progress, Stage};
use crate::settings::{DiffusionSettings, TrajectoryChoice};

/// Normal noise of the stochastic steps, one latent for each.
const STOCHASTIC: Stream = Stream::new("sde", 5);

/// What the energy scale is multiplied by, in the released code.
const ENERGY_UNIT: f64 = 0.04;

/// A denoising with energy guidance.
#[derive(Debug, Clone, Copy)]
pub(in crate::method) struct GuidedDenoising<'a> {
    /// The compared decoder stages.
    pub(in crate::method) taps: &'a Taps,
    /// Weights of the energies.
    pub(in crate::method) weights: EnergyWeights,
    /// Factor of the energies' gradients.
    pub(in crate::method) energy_scale: f64,
    /// Scale of classifier-free guidance; 1 is none.
    pub(in crate::method) guidance_scale: f64,
    /// What happens at which step.
    pub(in crate::method) plan: StepPlan,
    /// Whether cells outside the editable area are put back on the inversion's latents after every step.
    pub(in crate::method) hard_background: bool,
}

impl GuidedDenoising<'_> {
    /// Returns the cost of an edit with a prompt and a content area.
    pub(in crate::method) fn cost(&self, diffusion: &DiffusionSettings, timesteps: usize) -> Cost {
        let plan = self.plan.of(timesteps);
        let repeats = |step: &usize| plan.repeats(*step);
        let denoisings: usize = (0..timesteps).map(|step| repeats(&step)).sum();
        let guided = (0..timesteps).filter(|step| self.is_guided(&plan, *step));
        // A pass of the original, and for each repetition a forward pass and the backward passes of the energies.
        let backward = 1 + usize::from(self.weights.content > 0.0);
        let guidance: usize = guided
            .map(|step| 1 + plan.repeats(step) * (1 + backward))
            .sum();
        let latents = match diffusion.trajectory {
            TrajectoryChoice::Kept => 2,
            TrajectoryChoice::Denoised => 1,
        };
        let prompts = 1 + usize::from(self.guidance_scale > 1.0);
        let back = denoisings - timesteps;
        Cost {
            steps: timesteps,
            iterations: timesteps + denoisings,
            passes: timesteps + denoisings * latents * prompts + back + guidance,
        }
    }

    fn is_guided(&self, plan: &PlannedSteps, step: usize) -> bool {
        self.energy_scale > 0.0 && plan.is_guided(step)
    }

    /// Inverts the scene's picture, pastes the points' cells at their targets, and denoises.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
    pub(in crate::method) fn drag<B: Backend, N: Network<B>>(
        &self,
        scene: Scene<B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Dragged<B>> {
        let steps = scene.grid.timesteps.len();
        let (mut run, start) = GuidedRun::begin(*self, scene, progress, interrupt)?;
        let mut z = start.clone();
        let mut losses = Vec::new();
        for step in 0..steps {
            let once = |loss: Option<f64>| {
                progress.step(loss);
                losses.extend(loss);
            };
            z = run.advance(z, step, once, interrupt)?;
        }
        Ok(Dragged {
            start,
            pair: Pair {
                reference: run.trajectory.clean().clone(),
                edit: z,
            },
            kept: None,
            steps,
            losses,
            diverged: 0,
            tracks: Vec::new(),
            prompts: None,
            bottleneck: None,
        })
    }
}

/// A denoising in progress.
pub(super) struct GuidedRun<'a, 's, B: Backend, N> {
    of: GuidedDenoising<'a>,
    plan: PlannedSteps,
    scene: Scene<'s, B, N>,
    pub(super) trajectory: Trajectory<B>,
    /// Those of the steps ahead, the next one's last; the first steps have none.
    keys: KeptKeys<B>,
    energies: Energies,
    /// 1 outside the editable area; `None` when everything may change.
    frozen: Option<Frozen<B>>,
    prediction: Prediction<B>,
    kept: Option<KeptTrajectory<B>>,
}

/// The energy of a latent, and what guides the noise prediction.
#[derive(Debug)]
pub(super) struct Guidance<B: Backend> {
    /// Of the points, and of the content area.
    pub(super) energies: [f64; 2],
    /// What is added to the noise prediction.
    pub(super) added: Tensor<B>,
}

impl<'a, 's, B: Backend, N: Network<B>> GuidedRun<'a, 's, B, N> {
    /// Inverts the scene's picture. Returns the run, and the latent with the points' cells pasted at their targets.
    ///
    /// # Errors
    /// As [`invert_keeping`].
    pub(super) fn begin(
        of: GuidedDenoising<'a>,
        scene: Scene<'s, B, N>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Self, Tensor<B>)> {
        let (trajectory, mut keys) = invert_keeping(
            scene.network,
            scene.schedule,
            scene.grid,
            scene.trajectory.clean(),
            scene.prompt,
            SelfAttentions::Decoder,
            progress,
            interrupt,
        )?;
        let plan = of.plan.of(scene.grid.timesteps.len());
        keys.truncate(keys.len() - plan.own_keys);
        let (start, contents) = pasted(trajectory.inverted(), scene.regions, &scene.frame);
        let is_kept = scene.diffusion.trajectory == TrajectoryChoice::Kept;
        let run = Self {
            of,
            plan,
            energies: Energies::new(of.weights, scene.regions, scene.editable, &scene.frame),
            frozen: scene
                .editable
                .map(|editable| Frozen::new(start.backend(), editable, &scene.frame)),
            prediction: Prediction::new(&scene, of.guidance_scale, 1 + usize::from(is_kept)),
            kept: is_kept.then(|| KeptTrajectory::new(trajectory.clone(), &contents, 0.0)),
            scene,
            trajectory,
            keys,
        };
        Ok((run, start))
    }

    /// Returns the inversion's latent at a step.
    fn original(&self, step: usize) -> &Tensor<B> {
        match step.checked_sub(1) {
            Some(before) => self.trajectory.after(self.scene.grid.timesteps[before]),
            None => self.trajectory.inverted(),
        }
    }

    /// Denoises the latent by one step, with time travel where the plan has it. Reports every repetition with its energy.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
    pub(super) fn advance(
        &mut self,
        mut z: Tensor<B>,
        step: usize,
        mut once: impl FnMut(Option<f64>),
        interrupt: &Interrupt,
    ) -> Result<Tensor<B>> {
        let reads_keys = step >= self.plan.own_keys;
        let keys = reads_keys.then(|| self.keys.pop()).flatten();
        let original = self
            .of
            .is_guided(&self.plan, step)
            .then(|| self.original_features(step));
        for repetition in 0..self.plan.repeats(step) {
            interrupt.check()?;
            if repetition > 0 {
                z = self.back(z, step)?;
            }
            let guidance = match &original {
                Some(original) => Some(self.guidance(&z, original, step)?),
                None => None,
            };
            let added = guidance.as_ref().map(|guidance| &guidance.added);
            z = self.down(z, keys.as_ref(), added, step)?;
            once(guidance.map(|guidance| guidance.energies.iter().sum()));
        }
        Ok(z)
    }

    /// Returns the features of the inversion's latent at a step.
    pub(super) fn original_features(&self, step: usize) -> Vec<FeatureMap> {
        let t = self.scene.grid.timesteps[step];
        let input = Input::at(self.original(step), t as f64, self.scene.prompt);
        let features = self
            .scene
            .network
            .forward(input, Features::of(&self.of.taps.0));
        features.iter().map(on_host).collect()
    }

    /// Returns the energies of a latent, and their gradients: in editable cells that of the points, in the others that of the content area.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`].
    pub(super) fn guidance(
        &self,
        z: &Tensor<B>,
        original: &[FeatureMap],
        step: usize,
    ) -> Result<Guidance<B>> {
        let t = self.scene.grid.timesteps[step];
        let input = Input::at(z, t as f64, self.scene.prompt);
        let want = Features::of(&self.of.taps.0);
        let mut pass = self.scene.network.record(input, want);
        let loss = self.energies.evaluate(pass.outputs(), original, step + 1)?;
        let mut backward = |gradients: &FeatureGradients<B>| {
            let found = in_range(z.backend(), step + 1, || {
                let gradient = pass.backward_keeping(gradients.stages.clone(), gradients.magnitude);
                (
                    Vec::<Loss<B>>::new(),
                    Finiteness::of(&[&gradient]),
                    gradient,
                )
            });
            found.map(|(_, gradient)| gradient)
        };
        let mut gradient = backward(&loss.to_edit)?;
        if let Some(frozen) = &self.frozen {
            let of_content = match &loss.to_content {
                Some(gradients) => backward(gradients)?,
                None => Tensor::zeros(z.backend(), z.shape()),
            };
            gradient = frozen.hold(gradient, &of_content);
        }
        let scale = (ENERGY_UNIT * self.of.energy_scale) as f32;
        Ok(Guidance {
            energies: [loss.edit, loss.content],
            added: gradient.clone().combined(scale, 0.0, &gradient),
        })
    }

    /// Denoises by one step. The guidance counts where the clean latent is estimated, and not where noise is put back.
    fn down(
        &mut self,
        z: Tensor<B>,
        keys: Option<&KeysAndValues<Tensor<B>>>,
        guidance: Option<&Tensor<B>>,
        step: usize,
    ) -> Result<Tensor<B>> {
        let (schedule, grid) = (self.scene.schedule, self.scene.grid);
        let t = grid.timesteps[step];
        let after = grid.after(t);
        let latents = match self.kept {
            Some(_) => Tensor::stacked(&[self.original(step).clone(), z.clone()]),
            None => z.clone(),
        };
        let both = (self.prediction).of(&latents, t, keys, &self.scene, step + 1)?;
        let noise = both.picture(both.shape().batch - 1);
        let mut next = schedule.step(z, &noise, t, after);
        if let Some(guidance) = guidance {
            let (scale, _) = schedule.factors(t, after);
            let factor = -scale * (1.0 - schedule.alpha(t)).sqrt();
            next = next.combined(1.0, factor as f32, guidance);
        }
        let eta = self.plan.eta(step);
        if eta > 0.0 {
            next = self.with_fresh_noise(&next, &noise, eta, [t, after]);
        }
        if let Some(kept) = &self.kept {
            let original = self.original(step).clone();
            let pair = Pair {
                reference: schedule.step(original, &both.picture(0), t, after),
                edit: next,
            };
            next = kept.corrected(pair, t).edit;
        }
        Ok(match &self.frozen {
            Some(frozen) if self.of.hard_background => frozen.hold(next, self.trajectory.after(t)),
            _ => next,
        })
    }

    /// Replaces the part of a step that puts noise back, in editable cells: a share `eta` of it is fresh (DDIM, arXiv 2010.02502, equation 16).
    fn with_fresh_noise(
        &mut self,
        next: &Tensor<B>,
        noise: &Tensor<B>,
        eta: f64,
        [t, after]: [i64; 2],
    ) -> Tensor<B> {
        let [from, to] = [t, after].map(|t| self.scene.schedule.alpha(t));
        let variance = eta * eta * (1.0 - to) / (1.0 - from) * (1.0 - from / to);
        let less = (1.0 - to - variance).max(0.0).sqrt() - (1.0 - to).sqrt();
        let fresh = self.scene.noise.normal(STOCHASTIC, next.shape().len());
        let fresh = Tensor::from_host(next.backend(), next.shape(), fresh);
        let stochastic = next.clone().combined(1.0, less as f32, noise);
        let stochastic = stochastic.combined(1.0, variance.sqrt() as f32, &fresh);
        match &self.frozen {
            Some(frozen) => frozen.hold(stochastic, next),
            None => stochastic,
        }
    }

    /// Takes the latent after a step back to its timestep, as the inversion does: with the prompt alone, and the latent's own keys and values.
    fn back(&self, z: Tensor<B>, step: usize) -> Result<Tensor<B>> {
        let (schedule, grid) = (self.scene.schedule, self.scene.grid);
        let t = grid.timesteps[step];
        let input = Input::at(&z, t as f64, self.scene.prompt);
        let noise = self.scene.network.predict(input);
        require_finite(&noise, Stage::Drag, step + 1, "the noise prediction")?;
        Ok(schedule.step(z, &noise, grid.after(t), t))
    }
}
