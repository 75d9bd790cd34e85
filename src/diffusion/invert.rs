//! DDIM inversion: from the clean latent to the noisy latent from which denoising restores it.
//!
//! The network is evaluated at the timestep to which a step goes, while the latent is still at the timestep from which it
//! comes: the convention of DragDiffusion and its successors, on which reconstructions with a trained LoRA depend. An
//! inversion that also keeps keys and values of the self-attention would take them from the pass at each timestep, here.

use super::{Grid, Schedule, require_finite};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::unet::{Input, Network, Prompt};
use crate::nn::Tensor;
use crate::progress::{Progress, Stage};

/// All latents of an inversion.
#[derive(Debug, Clone)]
pub struct Trajectory<B: Backend> {
    clean: Tensor<B>,
    /// A timestep and the latent there, in the order of the inversion.
    steps: Vec<(i64, Tensor<B>)>,
}

impl<B: Backend> Trajectory<B> {
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
}

/// Inverts a clean latent along the grid and returns the noisiest latent.
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
) -> Result<Tensor<B>> {
    let mut z = latent.clone();
    for (index, &t) in grid.timesteps.iter().rev().enumerate() {
        z = step(unet, schedule, grid, z, (index, t), prompt, interrupt)?;
        progress.step(None);
    }
    Ok(z)
}

/// As [`invert`], but returns all latents.
///
/// # Errors
/// As [`invert`].
pub fn trajectory<B: Backend>(
    unet: &impl Network<B>,
    schedule: &Schedule,
    grid: &Grid,
    latent: &Tensor<B>,
    prompt: &Prompt<B>,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Trajectory<B>> {
    let mut trajectory = Trajectory {
        clean: latent.clone(),
        steps: Vec::with_capacity(grid.timesteps.len()),
    };
    for (index, &t) in grid.timesteps.iter().rev().enumerate() {
        let z = trajectory.inverted().clone();
        let z = step(unet, schedule, grid, z, (index, t), prompt, interrupt)?;
        trajectory.steps.push((t, z));
        progress.step(None);
    }
    Ok(trajectory)
}

/// Takes the latent one step of the inversion, to timestep `t`.
fn step<B: Backend>(
    unet: &impl Network<B>,
    schedule: &Schedule,
    grid: &Grid,
    z: Tensor<B>,
    (index, t): (usize, i64),
    prompt: &Prompt<B>,
    interrupt: &Interrupt,
) -> Result<Tensor<B>> {
    interrupt.check()?;
    let noise = unet.predict(Input::at(&z, t as f64, prompt));
    let noise = crate::failpoint::corrupt("nan_in_unet", noise);
    require_finite(&noise, Stage::Invert, index + 1, "the noise prediction")?;
    Ok(schedule.step(z, &noise, grid.after(t), t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{NoiseSource, Seeded, Spacing, Stream};
    use crate::kernels::cpu::Cpu;
    use crate::model::Model;
    use crate::nn::Shape;
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
        let arguments = (&unet, &schedule, &grid, &clean, &prompt);
        let (unet, schedule, grid, clean, prompt) = arguments;
        let plain = invert(unet, schedule, grid, clean, prompt, &mut Silent, &never);
        let whole = trajectory(unet, schedule, grid, clean, prompt, &mut Silent, &never);
        let (plain, whole) = (plain.expect("finite"), whole.expect("finite"));
        assert_eq!(whole.clean().to_host(), clean.to_host());
        assert_eq!(whole.inverted().to_host(), plain.to_host());
        let noisiest = whole.at(grid.timesteps[0]).expect("a latent per timestep");
        assert_eq!(noisiest.to_host(), plain.to_host());
        assert!(grid.timesteps.iter().all(|t| whole.at(*t).is_some()));
        // The first step alone.
        let first = schedule.grid(Spacing::Leading, 10, 1);
        let first_latent = invert(unet, schedule, &first, clean, prompt, &mut Silent, &never);
        let at_first = whole.at(first.timesteps[0]).expect("a latent per timestep");
        assert_eq!(at_first.to_host(), first_latent.expect("finite").to_host());
    }
}
