//! DDIM inversion: from the clean latent to the noisy latent from which denoising restores it.
//!
//! The network is evaluated at the timestep to which a step goes, while the latent is still at the timestep from which it
//! comes: the convention of DragDiffusion and its successors, on which reconstructions with a trained LoRA depend.

use super::{Grid, Schedule, require_finite};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::unet::{Input, Network, NoiseAndKeys, Prompt, SelfAttentions};
use crate::nn::{KeysAndValues, Shape, Tensor};
use crate::progress::{Progress, Stage};

/// All latents of an inversion.
#[derive(Debug, Clone)]
pub struct Trajectory<B: Backend> {
    clean: Tensor<B>,
    /// A timestep and the latent there, in the order of the inversion.
    steps: Vec<(i64, Tensor<B>)>,
}

impl<B: Backend> Trajectory<B> {
    /// Returns a trajectory that ends where it starts, at this latent.
    pub fn of_clean(clean: Tensor<B>) -> Self {
        Self {
            clean,
            steps: Vec::new(),
        }
    }

    /// Returns the latent from which the inversion starts.
    pub fn clean(&self) -> &Tensor<B> {
        &self.clean
    }

    /// Returns the latent at which the inversion ends: the noisiest one.
    pub fn inverted(&self) -> &Tensor<B> {
        self.steps.last().map_or(&self.clean, |(_, latent)| latent)
    }

    /// Returns the latent at a timestep of the grid; `None` when the inversion did not reach it.
    pub fn at(&self, t: i64) -> Option<&Tensor<B>> {
        let step = self.steps.iter().find(|(timestep, _)| *timestep == t);
        step.map(|(_, latent)| latent)
    }

    /// Returns the latent to which a denoising step from timestep `t` leads: that at the greatest timestep below `t`, or the clean one.
    pub fn after(&self, t: i64) -> &Tensor<B> {
        let below = self.steps.iter().rev().find(|(timestep, _)| *timestep < t);
        below.map_or(&self.clean, |(_, latent)| latent)
    }

    /// Returns the share of the trajectory that a denoising step from timestep `t` completes: 1 for the last step.
    pub fn share_done(&self, t: i64) -> f64 {
        let left = self
            .steps
            .iter()
            .filter(|(timestep, _)| *timestep < t)
            .count();
        1.0 - left as f64 / self.steps.len().max(1) as f64
    }

    /// Creates a trajectory from its numbers: the clean latent of this shape, and one latent per timestep of the grid, in the order of the
    /// inversion.
    ///
    /// # Panics
    /// If the number of elements is not that of the grid.
    pub fn from_host(
        backend: &B,
        shape: Shape,
        grid: &Grid,
        clean: Vec<f32>,
        steps: &[f32],
    ) -> Self {
        assert_eq!(
            steps.len(),
            grid.timesteps.len() * shape.len(),
            "one latent per timestep"
        );
        let latents = steps.chunks_exact(shape.len());
        Self {
            clean: Tensor::from_host(backend, shape, clean),
            steps: grid
                .timesteps
                .iter()
                .rev()
                .zip(latents)
                .map(|(t, latent)| (*t, Tensor::from_host(backend, shape, latent.to_vec())))
                .collect(),
        }
    }

    /// Returns the numbers of all latents but the clean one, in the order of the inversion.
    pub fn steps_to_host(&self) -> Vec<f32> {
        self.steps
            .iter()
            .flat_map(|(_, latent)| latent.to_host())
            .collect()
    }
}

/// Inverts a clean latent along the grid, and keeps every latent on the way.
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub fn invert<B: Backend>(
    unet: &impl Network<B>,
    schedule: &Schedule,
    grid: &Grid,
    latent: &Tensor<B>,
    prompt: &Prompt<B>,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Trajectory<B>> {
    let predict = |input| unet.predict(input);
    along(schedule, grid, latent, prompt, predict, progress, interrupt)
}

/// Keys and values that an inversion kept, one list per timestep, in the order of the inversion.
pub type KeptKeys<B> = Vec<KeysAndValues<Tensor<B>>>;

/// As [`invert`], and keeps keys and values of self-attentions for the pass that denoises at the same timestep. They are those of the latent from which a step comes.
///
/// # Errors
/// As [`invert`].
pub fn invert_keeping<B: Backend>(
    unet: &impl Network<B>,
    schedule: &Schedule,
    grid: &Grid,
    latent: &Tensor<B>,
    prompt: &Prompt<B>,
    attentions: SelfAttentions,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<(Trajectory<B>, KeptKeys<B>)> {
    let mut kept = Vec::with_capacity(grid.timesteps.len());
    let predict = |input| {
        let (noise, keys) = unet.forward(input, NoiseAndKeys::of(attentions));
        kept.push(keys);
        noise
    };
    let trajectory = along(schedule, grid, latent, prompt, predict, progress, interrupt)?;
    Ok((trajectory, kept))
}

/// Inverts with the noise that `predict` returns.
fn along<B: Backend>(
    schedule: &Schedule,
    grid: &Grid,
    latent: &Tensor<B>,
    prompt: &Prompt<B>,
    mut predict: impl FnMut(Input<B>) -> Tensor<B>,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Trajectory<B>> {
    let mut steps: Vec<(i64, Tensor<B>)> = Vec::with_capacity(grid.timesteps.len());
    for (index, &t) in grid.timesteps.iter().rev().enumerate() {
        interrupt.check()?;
        let z = steps.last().map_or(latent, |(_, z)| z).clone();
        let noise = predict(Input::at(&z, t as f64, prompt));
        let noise = crate::failpoint::corrupt("nan_in_unet", noise);
        require_finite(&noise, Stage::Invert, index + 1, "the noise prediction")?;
        steps.push((t, schedule.step(z, &noise, grid.after(t), t)));
        progress.step(None);
    }
    Ok(Trajectory {
        clean: latent.clone(),
        steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{NoiseSource, Seeded, Spacing, Stream};
    use crate::kernels::cpu::Cpu;
    use crate::model::Model;
    use crate::progress::Silent;

    #[test]
    fn trajectory_runs_from_the_clean_to_the_inverted_latent() {
        let never = Interrupt::never();
        let model = Model::open("tests/fixtures/tiny", None).expect("the fixture is a model");
        let unet = model
            .unet(&Cpu, &never)
            .expect("the fixture has a noise predictor");
        let schedule = Schedule::new(model.schedule());
        let grid = schedule.grid(Spacing::Leading, 10, 4);
        let random = |seed, shape: Shape| {
            let numbers = Seeded::new(seed).normal(Stream::VACATED, shape.len());
            Tensor::from_host(&Cpu, shape, numbers)
        };
        let clean = random(1, Shape::new(1, 8, 8, 4));
        let prompt = unet.prepare(&random(2, Shape::new(1, 1, 7, 24)));
        let run = |grid: &Grid| {
            invert(&unet, &schedule, grid, &clean, &prompt, &mut Silent, &never).expect("finite")
        };
        let whole = run(&grid);
        assert_eq!(whole.clean().to_host(), clean.to_host());
        assert!(grid.timesteps.iter().all(|t| whole.at(*t).is_some()));
        let noisiest = whole.at(grid.timesteps[0]).expect("a latent per timestep");
        assert_eq!(whole.inverted().to_host(), noisiest.to_host());
        // The first step alone.
        let first = schedule.grid(Spacing::Leading, 10, 1);
        let at_first = whole.at(first.timesteps[0]).expect("a latent per timestep");
        assert_eq!(at_first.to_host(), run(&first).inverted().to_host());
        // A step of the denoising leads one latent down.
        let [.., second, last] = grid.timesteps[..] else {
            panic!("the grid has four timesteps")
        };
        assert_eq!(whole.after(last).to_host(), clean.to_host());
        assert_eq!(whole.after(second).to_host(), at_first.to_host());
        assert_eq!(
            (whole.share_done(last), whole.share_done(grid.timesteps[0])),
            (1.0, 0.25)
        );
        // Its numbers are enough to make it again.
        let steps = whole.steps_to_host();
        let again = Trajectory::from_host(&Cpu, clean.shape(), &grid, clean.to_host(), &steps);
        assert_eq!(again.inverted().to_host(), noisiest.to_host());
    }
}
