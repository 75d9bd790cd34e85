//! The diffusion process around the network: schedule, noise, inversion, denoising, fine-tuning of a LoRA.
//!
//! Functions take any [`crate::model::unet::Network`], so they work with a network of their own or a shared one. They report
//! progress step by step, stop when interrupted, and fail on numbers that are not finite.

pub mod denoise;
pub mod finetune;
pub mod invert;
pub mod kept;
pub mod noise;
pub mod schedule;

pub use noise::{NoiseSource, Seeded, Stream};
pub use schedule::{Grid, Schedule, Spacing};

use crate::error::{Error, Result};
use crate::kernels::Backend;
use crate::nn::Tensor;
use crate::progress::Stage;

/// Checks that all elements are finite.
///
/// # Errors
/// [`Error::NotFinite`] with the stage, the step (from 1) and `what` was checked.
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
