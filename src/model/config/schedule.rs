//! `scheduler/scheduler_config.json`. The sampler it names is ignored; its betas are read.

use serde_json::Value;

use super::ConfigFile;
use crate::error::Result;
use crate::model::source::Source;

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
}

impl ScheduleConfig {
    /// Reads `scheduler/scheduler_config.json`.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when it is missing or has an unsupported value.
    pub fn read(source: &Source) -> Result<Self> {
        let file = ConfigFile::read(source, "scheduler/scheduler_config.json")?;
        file.check_values(&[
            ("prediction_type", "epsilon".into()),
            ("num_train_timesteps", 1000.into()),
            ("rescale_betas_zero_snr", false.into()),
            ("thresholding", false.into()),
        ])?;
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
        })
    }
}
