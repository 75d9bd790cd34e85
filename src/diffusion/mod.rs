//! The diffusion process around the network: schedule, noise, inversion, denoising, fine-tuning.

pub mod denoise;
pub mod finetune;
pub mod invert;
pub mod noise;
pub mod schedule;

pub use noise::{NoiseSource, Seeded};
pub use schedule::{Grid, Schedule};

use crate::error::{Error, Result};
use crate::kernels::Backend;
use crate::nn::Tensor;
use crate::progress::Stage;

/// Stops an edit in which a number is no number any more, before more time is spent on it.
///
/// # Errors
/// [`Error::NotFinite`] that names stage, step (from 1) and what was looked at.
pub fn require_finite<B: Backend>(
    tensor: &Tensor<B>,
    stage: Stage,
    step: usize,
    what: &'static str,
) -> Result<()> {
    if tensor.is_finite() {
        Ok(())
    } else {
        Err(Error::NotFinite {
            stage: stage.name(),
            step,
            what,
        })
    }
}
