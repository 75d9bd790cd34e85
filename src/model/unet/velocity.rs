//! The noise in latents, from the velocity that a network predicts (Salimans and Ho, "Progressive distillation", arXiv 2202.00512, appendix D).
//!
//! With z = sqrt(a) x + sqrt(1 - a) noise and v = sqrt(a) noise - sqrt(1 - a) x, the noise is sqrt(a) v + sqrt(1 - a) z. The network itself
//! computes it, so that everything that uses a network sees a noise prediction, whatever the model was trained to predict.

use super::UNet;
use super::backward_pass::Gradients;
use crate::kernels::Backend;
use crate::nn::{BackwardPass, Pass, Tensor};

/// What a network that predicts the velocity needs to know of its noise schedule.
#[derive(Debug)]
pub(super) struct Velocity {
    /// The cumulative product of alphas at every training timestep.
    alphas: Vec<f64>,
}

impl Velocity {
    /// Returns the factors of velocity and latent in the noise at a timestep.
    fn factors(&self, timestep: f64) -> [f32; 2] {
        let last = self.alphas.len() - 1;
        let alpha = self.alphas[(timestep.round() as usize).min(last)];
        [alpha.sqrt() as f32, (1.0 - alpha).sqrt() as f32]
    }

    /// Returns the noise in `latents` (batch, height, width, 4) at a timestep each; both tensors are stored as f32.
    pub(super) fn noise<B: Backend>(
        &self,
        velocity: &Tensor<B>,
        latents: &Tensor<B>,
        timesteps: &[f64],
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let factors: Vec<[f32; 2]> = timesteps.iter().map(|t| self.factors(*t)).collect();
        let noise = each(&factors, |picture, [keep, add]| {
            let own = velocity.pictures(picture..picture + 1);
            own.combined(keep, add, &latents.pictures(picture..picture + 1))
        });
        pass.save_factors(factors);
        noise
    }
}

/// Applies `f` to the number and the factors of every picture.
fn each<B: Backend>(factors: &[[f32; 2]], f: impl Fn(usize, [f32; 2]) -> Tensor<B>) -> Tensor<B> {
    let pictures = factors.iter().enumerate();
    let pictures: Vec<Tensor<B>> = pictures.map(|(index, of)| f(index, *of)).collect();
    Tensor::stacked(&pictures)
}

impl<B: Backend> UNet<B> {
    /// Makes a network whose output is the velocity one that predicts noise. `alphas` are the cumulative products of alphas at every training
    /// timestep.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of_velocity(self, alphas: Vec<f64>) -> Self {
        assert!(!alphas.is_empty(), "a schedule has timesteps");
        Self {
            velocity: Some(Velocity { alphas }),
            ..self
        }
    }

    /// Whether the noise is computed from a velocity.
    pub(super) fn predicts_velocity(&self) -> bool {
        self.velocity.is_some()
    }

    /// Replaces the gradient with respect to the noise by that with respect to the velocity from which it was computed. Returns the latents' direct
    /// share of the gradient; `None` when the network predicts noise, or the pass did not.
    pub(super) fn backward_to_velocity(
        &self,
        gradients: &mut Gradients<B>,
        pass: &mut BackwardPass<B>,
    ) -> Option<Tensor<B>> {
        self.velocity.as_ref()?;
        let d_noise = gradients.noise.take()?;
        let factors = pass.take_factors();
        let [d_velocity, d_latents] = [0, 1].map(|which| {
            each(&factors, |picture, of| {
                d_noise.pictures(picture..picture + 1).full(of[which])
            })
        });
        gradients.noise = Some(d_velocity);
        Some(d_latents)
    }
}
