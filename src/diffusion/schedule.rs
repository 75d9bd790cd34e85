//! Noise schedule and timestep grids: deterministic DDIM (arXiv 2010.02502) on the model's betas.
//!
//! Takes the scheduler configuration of a model. Alphas are f64; the steps of latents are computed in f32 on the device.

use crate::kernels::Backend;
use crate::model::config::{Prediction, ScheduleConfig};
use crate::nn::Tensor;

/// The noise schedule of a model: cumulative products of alphas.
#[derive(Debug, Clone)]
pub struct Schedule {
    alphas: Vec<f64>,
    last: f64,
    steps_offset: usize,
    prediction: Prediction,
}

impl Schedule {
    /// Computes the schedule of a model.
    pub fn new(config: &ScheduleConfig) -> Self {
        let alphas = config.alphas();
        let last = if config.set_alpha_to_one {
            1.0
        } else {
            alphas[0]
        };
        Self {
            alphas,
            last,
            steps_offset: config.steps_offset,
            prediction: config.prediction,
        }
    }

    /// Returns the number of training timesteps.
    pub fn timesteps(&self) -> usize {
        self.alphas.len()
    }

    /// Returns the cumulative product of alphas at timestep t; for t below 0, that of the end of the process.
    ///
    /// # Panics
    /// When t is beyond the training timesteps.
    pub fn alpha(&self, t: i64) -> f64 {
        usize::try_from(t).map_or(self.last, |t| self.alphas[t])
    }

    /// Returns the weight of a squared error of the noise prediction at timestep t in the loss of the training: 1, or 1 / alpha for a network that
    /// predicts the velocity, whose error is that of the noise divided by sqrt(alpha).
    ///
    /// # Panics
    /// As [`Schedule::alpha`].
    pub fn loss_weight(&self, t: i64) -> f64 {
        match self.prediction {
            Prediction::Noise => 1.0,
            Prediction::Velocity => 1.0 / self.alpha(t),
        }
    }

    /// Returns the last `executed` of `steps` timesteps: those of the least noise.
    ///
    /// # Panics
    /// When `steps` is 0.
    pub fn grid(&self, spacing: Spacing, steps: usize, executed: usize) -> Grid {
        let stride = (self.timesteps() / steps).max(1);
        let last = self.timesteps() - 1;
        let timestep = |index: usize| match spacing {
            Spacing::Leading => (index * stride + self.steps_offset).min(last) as i64,
            Spacing::Linspace => {
                ((index + 1) as f64 * (last as f64 / steps as f64)).round_ties_even() as i64
            }
        };
        let timesteps = (0..executed).rev().map(timestep).collect();
        Grid {
            timesteps,
            stride: stride as i64,
        }
    }

    /// Returns the factors of the latent and of the noise prediction in a deterministic step (DDIM, eta = 0) between two timesteps.
    pub fn factors(&self, from: i64, to: i64) -> (f64, f64) {
        let (from, to) = (self.alpha(from), self.alpha(to));
        let scale = (to / from).sqrt();
        (scale, (1.0 - to).sqrt() - scale * (1.0 - from).sqrt())
    }

    /// Takes the latent z from timestep `from` to timestep `to` with the predicted `noise`.
    pub fn step<B: Backend>(
        &self,
        z: Tensor<B>,
        noise: &Tensor<B>,
        from: i64,
        to: i64,
    ) -> Tensor<B> {
        let (scale, shift) = self.factors(from, to);
        z.combined(scale as f32, shift as f32, noise)
    }
}

/// How the timesteps of a grid are spaced, by the names of diffusers' `timestep_spacing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Multiples of the stride plus the model's offset, from 0 on: the grid of DragDiffusion and its successors.
    Leading,
    /// Of `steps` + 1 evenly spaced timesteps from 0 to the last one, rounded half to even, all but 0: the grid of RegionDrag
    /// (arXiv 2407.18247), as in diffusers' `DPMSolverMultistepScheduler`.
    Linspace,
}

/// The timesteps of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// The executed timesteps, noisiest first.
    pub timesteps: Vec<i64>,
    /// The difference of timesteps in a step; with [`Spacing::Linspace`] that of the grid differs from it by rounding.
    pub stride: i64,
}

impl Grid {
    /// Returns the timestep after a denoising step at t; below 0 after the last step of a leading grid.
    pub fn after(&self, t: i64) -> i64 {
        t - self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::DiffusionSettings;

    fn stable_diffusion() -> Schedule {
        let betas = ScheduleConfig {
            beta_start: 0.00085,
            beta_end: 0.012,
            scaled: true,
            timesteps: 1000,
            steps_offset: 1,
            set_alpha_to_one: false,
            prediction: Prediction::Noise,
        };
        Schedule::new(&betas)
    }

    /// Expected values computed by diffusers from Stable Diffusion 1.5's configuration.
    #[test]
    fn alphas_are_those_of_stable_diffusion() {
        let expected = [
            (0, 0.999_150),
            (1, 0.998_296),
            (21, 0.980_381),
            (261, 0.655_669),
            (601, 0.159_816),
            (661, 0.108_739),
            (681, 0.094_637),
            (741, 0.060_356),
            (981, 0.005_776),
        ];
        for (t, alpha) in expected {
            assert!(
                (stable_diffusion().alpha(t) - alpha).abs() < 1e-5,
                "at {t}: {}",
                stable_diffusion().alpha(t)
            );
        }
        assert_eq!(stable_diffusion().alpha(-19), stable_diffusion().alpha(0));
    }

    #[test]
    fn leading_grid_has_an_offset_of_one() {
        let schedule = stable_diffusion();
        assert_eq!(
            schedule.grid(Spacing::Leading, 50, 50).timesteps[..3],
            [981, 961, 941]
        );
        assert_eq!(
            schedule.grid(Spacing::Leading, 10, 10).timesteps,
            [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]
        );
        for (strength, executed, first) in [
            (0.75, 38, 741),
            (0.70, 35, 681),
            (0.65, 32, 621),
            (0.85, 42, 821),
        ] {
            let settings = DiffusionSettings {
                strength,
                ..DiffusionSettings::default()
            };
            let grid = schedule.grid(Spacing::Leading, settings.steps, settings.executed_steps());
            assert_eq!(
                (
                    grid.timesteps.len(),
                    grid.timesteps[0],
                    grid.timesteps[executed - 1]
                ),
                (executed, first, 1)
            );
        }
    }

    /// The timesteps of RegionDrag's sampler with 20 steps, all and the half of strength 0.5.
    #[test]
    fn linspace_grid_is_evenly_spaced_and_rounded() {
        let expected = [
            999, 949, 899, 849, 799, 749, 699, 649, 599, 549, 500, 450, 400, 350, 300, 250, 200,
            150, 100, 50,
        ];
        let schedule = stable_diffusion();
        let grid = |executed| schedule.grid(Spacing::Linspace, 20, executed);
        assert_eq!(grid(20).timesteps, expected);
        assert_eq!(grid(10).timesteps, expected[10..]);
        assert_eq!((grid(20).stride, grid(20).after(500)), (50, 450));
    }

    /// Expected values from diffusers and from the formulas in Python (tests/fixtures/schedule.json).
    #[test]
    fn schedule_and_toy_inversion_match_diffusers() {
        let text = include_str!("../../tests/fixtures/schedule.json");
        let expected: serde_json::Value = serde_json::from_str(text).unwrap();
        let schedule = stable_diffusion();
        for (t, alpha) in expected["alphas_cumprod"].as_object().unwrap() {
            assert!(
                (schedule.alpha(t.parse().unwrap()) - alpha.as_f64().unwrap()).abs() < 1e-5,
                "at {t}"
            );
        }
        for steps in [50, 10] {
            let timesteps: Vec<i64> =
                serde_json::from_value(expected["timesteps"][steps.to_string()].clone()).unwrap();
            assert_eq!(
                schedule.grid(Spacing::Leading, steps, steps).timesteps,
                timesteps
            );
        }
        let (grid, mut x) = (schedule.grid(Spacing::Leading, 50, 38), 1.0);
        let mut step = |from: i64, to: i64, expected: &serde_json::Value| {
            let (scale, shift) = schedule.factors(from, to);
            x = scale * x + shift * (0.1 * x);
            assert!(
                (x - expected.as_f64().unwrap()).abs() < 1e-5,
                "from {from} to {to}: {x}"
            );
        };
        for (&t, value) in grid
            .timesteps
            .iter()
            .rev()
            .zip(expected["toy"]["inverted"].as_array().unwrap())
        {
            step(grid.after(t), t, value);
        }
        for (&t, value) in grid
            .timesteps
            .iter()
            .zip(expected["toy"]["denoised"].as_array().unwrap())
        {
            step(t, grid.after(t), value);
        }
    }

    /// With e(x, t) = A x, every step multiplies x by a number, so inversion and denoising have a closed form.
    #[test]
    fn inversion_and_denoising_of_a_linear_network_are_products() {
        const A: f64 = 0.1;
        let schedule = stable_diffusion();
        let grid = schedule.grid(Spacing::Leading, 50, 38);
        let (mut x, mut product) = (1.0, 1.0);
        for &t in grid.timesteps.iter().rev() {
            let (scale, shift) = schedule.factors(grid.after(t), t);
            x = scale * x + shift * (A * x);
            let (from, to) = (schedule.alpha(grid.after(t)), schedule.alpha(t));
            product *=
                to.sqrt() * (1.0 - (1.0 - from).sqrt() * A) / from.sqrt() + (1.0 - to).sqrt() * A;
        }
        assert!((x - product).abs() < 1e-12, "{x} is not {product}");
        for &t in &grid.timesteps {
            let (scale, shift) = schedule.factors(t, grid.after(t));
            x = scale * x + shift * (A * x);
        }
        assert!(
            (x - 1.0).abs() < 0.02,
            "denoising nearly undoes inversion: {x}"
        );
    }
}
