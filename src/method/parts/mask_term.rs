//! The mask term: cells outside the editable area should denoise as the reference latent does (R_M of `DragNeXt`, arXiv 2506.07611, Eq. 7;
//! DragDiffusion, arXiv 2306.14435, Eq. 3).

use super::frozen::Frozen;
use crate::diffusion::Schedule;
use crate::kernels::Backend;
use crate::nn::{Loss, Tensor};

/// weight * sum over frozen cells and channels of |x - reference|, where x is the latent after the denoising step from one timestep.
#[derive(Debug)]
pub struct MaskTerm<'a, B: Backend> {
    /// The cells.
    pub frozen: &'a Frozen<B>,
    /// The weight, lambda.
    pub weight: f64,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// The timestep, and the one after the step.
    pub step: [i64; 2],
    /// The reference latent after the step.
    pub reference: &'a Tensor<B>,
}

/// The term of one latent.
#[derive(Debug)]
pub struct MaskLoss<B: Backend> {
    /// Its value, with the weight.
    pub loss: Loss<B>,
    /// Its gradient to the latent, with the noise prediction held.
    pub to_latent: Tensor<B>,
    /// Its gradient to the noise prediction.
    pub to_noise: Tensor<B>,
    /// About the size of the larger numbers of `to_noise`.
    pub magnitude: f32,
}

impl<B: Backend> MaskTerm<'_, B> {
    /// Returns the term of a latent with its noise prediction.
    pub fn evaluate(&self, z: &Tensor<B>, noise: &Tensor<B>) -> MaskLoss<B> {
        let [t, after] = self.step;
        let next = self.schedule.step(z.clone(), noise, t, after);
        let (difference, gradient) = self.frozen.difference(&next, self.reference);
        let (scale, shift) = self.schedule.factors(t, after);
        let times = |factor: f64| {
            let factor = (self.weight * factor) as f32;
            gradient.clone().combined(factor, 0.0, &gradient)
        };
        MaskLoss {
            loss: Loss::zero(z.backend()).plus(self.weight, difference),
            to_latent: times(scale),
            to_noise: times(shift),
            magnitude: (self.weight * shift).abs() as f32,
        }
    }
}
