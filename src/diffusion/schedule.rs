//! Noise schedule and timestep grid: DDIM (arXiv 2010.02502) on the model's betas.

use crate::kernels::Backend;
use crate::model::config::ScheduleConfig;
use crate::nn::Tensor;

/// Cumulative products of alphas.
#[derive(Debug, Clone)]
pub struct Schedule {
    alphas: Vec<f64>,
    last: f64,
    steps_offset: usize,
}

impl Schedule {
    /// The schedule of a model.
    pub fn new(config: &ScheduleConfig) -> Self {
        let bend = |beta: f64| if config.scaled { beta.sqrt() } else { beta };
        let (start, end) = (bend(config.beta_start), bend(config.beta_end));
        let mut product = 1.0;
        let mut alphas = Vec::with_capacity(config.timesteps);
        for index in 0..config.timesteps {
            let value = start + (end - start) * index as f64 / (config.timesteps - 1) as f64;
            product *= 1.0 - if config.scaled { value * value } else { value };
            alphas.push(product);
        }
        let last = if config.set_alpha_to_one {
            1.0
        } else {
            alphas[0]
        };
        Self {
            alphas,
            last,
            steps_offset: config.steps_offset,
        }
    }

    /// Training timesteps.
    pub fn timesteps(&self) -> usize {
        self.alphas.len()
    }

    /// The cumulative product of alphas at timestep t; below 0 that of the end of the process.
    ///
    /// # Panics
    /// When t is beyond the training timesteps.
    pub fn alpha(&self, t: i64) -> f64 {
        usize::try_from(t).map_or(self.last, |t| self.alphas[t])
    }

    /// The last `executed` of `steps` timesteps in leading spacing: those nearest to the picture.
    ///
    /// # Panics
    /// When `steps` is 0.
    pub fn grid(&self, steps: usize, executed: usize) -> Grid {
        let stride = (self.timesteps() / steps).max(1);
        let most = self.timesteps() - 1;
        let timesteps = (0..executed)
            .rev()
            .map(|index| (index * stride + self.steps_offset).min(most) as i64)
            .collect();
        Grid {
            timesteps,
            stride: stride as i64,
        }
    }

    /// Factors (of the latent, of the noise prediction) that take a latent at timestep `from` to timestep `to`, deterministically (DDIM, eta = 0).
    pub fn factors(&self, from: i64, to: i64) -> (f64, f64) {
        let (from, to) = (self.alpha(from), self.alpha(to));
        let scale = (to / from).sqrt();
        (scale, (1.0 - to).sqrt() - scale * (1.0 - from).sqrt())
    }

    /// The latent z at timestep `from`, with the noise predicted as `noise`, at timestep `to`.
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

/// The timesteps that an edit walks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// The executed timesteps, noisiest first.
    pub timesteps: Vec<i64>,
    /// Distance of two timesteps.
    pub stride: i64,
}

impl Grid {
    /// The timestep after a denoising step at t; below 0 after the last.
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
        };
        Schedule::new(&betas)
    }

    /// Values of the schedule published with Stable Diffusion 1.5's configuration, as diffusers computes them.
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
    fn grids_are_leading_with_an_offset_of_one() {
        let schedule = stable_diffusion();
        assert_eq!(schedule.grid(50, 50).timesteps[..3], [981, 961, 941]);
        assert_eq!(
            schedule.grid(10, 10).timesteps,
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
            let grid = schedule.grid(settings.steps, settings.executed_steps());
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

    /// What diffusers and the formulas in Python give (tests/fixtures/schedule.json).
    #[test]
    fn schedule_and_toy_inversion_are_the_peers() {
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
            assert_eq!(schedule.grid(steps, steps).timesteps, timesteps);
        }
        let (grid, mut x) = (schedule.grid(50, 38), 1.0);
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

    /// With e(x, t) = A x, every step multiplies x by a number, so inversion and denoising are products.
    #[test]
    fn inversion_and_denoising_of_a_linear_network_are_products() {
        const A: f64 = 0.1;
        let schedule = stable_diffusion();
        let grid = schedule.grid(50, 38);
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
