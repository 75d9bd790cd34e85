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
    /// The weight and the denoising step.
    pub step: MaskStep<B>,
    /// The reference latent after the step.
    pub reference: &'a Tensor<B>,
}

/// The weight of a mask term and its denoising step. The factors of the timestep are on the device, so that iterations at different
/// timesteps make the same calls, unless the magnitude changes the loss scale of a short number format.
#[derive(Debug)]
pub struct MaskStep<B: Backend> {
    /// The weight, lambda.
    weight: f64,
    /// About the size of the larger numbers of the gradient to the noise prediction.
    magnitude: f32,
    /// Pairs of factors: [`STEP`], [`TO_LATENT`] and [`TO_NOISE`].
    factors: Tensor<B>,
}

/// Place of the factors of latent and noise prediction in the denoising step.
const STEP: usize = 0;
/// Place of the factors weight * that of the latent, and 0.
const TO_LATENT: usize = 2;
/// Place of the factors weight * that of the noise prediction, and 0.
const TO_NOISE: usize = 4;

impl<B: Backend> MaskStep<B> {
    /// Takes the weight lambda and the denoising step from one timestep to another.
    pub fn new(backend: &B, schedule: &Schedule, [t, after]: [i64; 2], weight: f64) -> Self {
        let (scale, shift) = schedule.factors(t, after);
        let factors = [scale, shift, weight * scale, 0.0, weight * shift, 0.0];
        Self {
            weight,
            magnitude: (weight * shift).abs() as f32,
            factors: Tensor::vector(backend, factors.map(|factor| factor as f32).to_vec()),
        }
    }
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
        let MaskStep {
            weight,
            magnitude,
            factors,
        } = &self.step;
        let next = z.clone().combined_by(factors, STEP, noise);
        let (difference, gradient) = self.frozen.difference(&next, self.reference);
        let times = |place| gradient.clone().combined_by(factors, place, &gradient);
        MaskLoss {
            loss: Loss::zero(z.backend()).plus(*weight, difference),
            to_latent: times(TO_LATENT),
            to_noise: times(TO_NOISE),
            magnitude: *magnitude,
        }
    }
}
