//! `scheduler/scheduler_config.json`. The sampler it names is ignored; its betas are read.

use serde_json::Value;

use super::ConfigFile;
use crate::error::Result;
use crate::model::source::Source;

/// What the network was trained to predict. Both say the same: with z = sqrt(a) x + sqrt(1 - a) noise at a timestep whose cumulative product of
/// alphas is a, the velocity is sqrt(a) noise - sqrt(1 - a) x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prediction {
    /// The noise in the latents: `epsilon`, as in Stable Diffusion 1 and the base models of Stable Diffusion 2.
    Noise,
    /// The velocity (Salimans and Ho, arXiv 2202.00512): `v_prediction`, as in Stable Diffusion 2 and 2.1.
    Velocity,
}

/// Starts of the names of samplers that are made for other processes than adding noise by betas.
const OTHER_PROCESSES: [&str; 7] = [
    "FlowMatch",
    "EDM",
    "CMStochastic",
    "ScoreSde",
    "KarrasVe",
    "CogVideoX",
    "VQDiffusion",
];

/// The noise schedule of the training, with betas that grow from `beta_start` to `beta_end`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleConfig {
    /// Beta of the first timestep.
    pub beta_start: f64,
    /// Beta of the last timestep.
    pub beta_end: f64,
    /// Whether the square roots of the betas are evenly spaced (`scaled_linear`), or the betas (`linear`).
    pub scaled: bool,
    /// Number of training timesteps.
    pub timesteps: usize,
    /// Offset of the timesteps of a coarser grid.
    pub steps_offset: usize,
    /// Whether the last step ends without noise. Otherwise it ends with the noise of timestep 0.
    pub set_alpha_to_one: bool,
    /// What the network predicts.
    pub prediction: Prediction,
}

impl ScheduleConfig {
    /// Reads `scheduler/scheduler_config.json`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when it is missing or has an unsupported value.
    pub fn read(source: &Source) -> Result<Self> {
        let file = ConfigFile::read(source, "scheduler/scheduler_config.json")?;
        let class = file.get("_class_name").and_then(Value::as_str);
        if class.is_some_and(|class| OTHER_PROCESSES.iter().any(|other| class.starts_with(other))) {
            return Err(file.refused(
                "_class_name",
                "a model with another diffusion process, such as flow matching",
            ));
        }
        file.check_values(&[
            ("num_train_timesteps", 1000.into()),
            ("rescale_betas_zero_snr", false.into()),
            ("thresholding", false.into()),
        ])?;
        let prediction = match file.get("prediction_type").map(Value::as_str) {
            None | Some(Some("epsilon")) => Prediction::Noise,
            Some(Some("v_prediction")) => Prediction::Velocity,
            Some(_) => {
                return Err(file.unsupported("prediction_type", "epsilon and v_prediction"));
            }
        };
        if file.get("trained_betas").is_some() {
            return Err(file.unsupported("trained_betas", "only null"));
        }
        let scaled = match file.get("beta_schedule").and_then(Value::as_str) {
            Some("scaled_linear") => true,
            Some("linear") | None => false,
            Some(_) => return Err(file.unsupported("beta_schedule", "scaled_linear and linear")),
        };
        let offset = file.number("steps_offset", 0.0)?;
        if !(0.0..=10.0).contains(&offset) {
            return Err(file.unsupported("steps_offset", "0 to 10"));
        }
        Ok(Self {
            beta_start: file.number("beta_start", 0.0001)?,
            beta_end: file.number("beta_end", 0.02)?,
            scaled,
            timesteps: 1000,
            steps_offset: offset as usize,
            set_alpha_to_one: file.boolean("set_alpha_to_one", true)?,
            prediction,
        })
    }

    /// Computes the cumulative product of alphas at every training timestep.
    pub fn alphas(&self) -> Vec<f64> {
        let bend = |beta: f64| if self.scaled { beta.sqrt() } else { beta };
        let (start, end) = (bend(self.beta_start), bend(self.beta_end));
        let mut product = 1.0;
        let alpha = |index: usize| {
            let value = start + (end - start) * index as f64 / (self.timesteps - 1) as f64;
            product *= 1.0 - if self.scaled { value * value } else { value };
            product
        };
        (0..self.timesteps).map(alpha).collect()
    }
}
