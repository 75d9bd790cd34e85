//! DDIM inversion: from the clean latent to the noisy one that denoises to it.

use super::{Grid, Schedule, require_finite};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::unet::{Input, Network, Prompt};
use crate::nn::Tensor;
use crate::progress::{Progress, Stage};

/// Walks the grid towards noise. The network is asked at the time where a step arrives, while the latent is still at the
/// time where it starts: the convention of DragDiffusion's family, on which LoRA-tuned reconstructions depend.
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
        interrupt.check()?;
        let noise =
            crate::failpoint::corrupt("nan_in_unet", unet.predict(Input::at(&z, t as f64, prompt)));
        require_finite(&noise, Stage::Invert, index + 1, "the noise prediction")?;
        z = schedule.step(z, &noise, grid.after(t), t);
        progress.step(None);
    }
    Ok(z)
}
