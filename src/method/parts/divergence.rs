//! Detects an optimisation of a latent that diverges.

use crate::kernels::Backend;
use crate::nn::Tensor;

/// A latent whose root mean square exceeds that of the reference latent by this factor is far from all latents that
/// the model was trained on: at a learning rate of 0.02, fifty steps of Adam move a value by at most 1.
const LIMIT: f64 = 4.0;

/// The largest root mean square that a latent may have.
#[derive(Debug, Clone, Copy)]
pub struct DivergenceGuard {
    limit: f64,
}

impl DivergenceGuard {
    /// Allows four times the root mean square of the reference latent.
    pub fn new<B: Backend>(reference: &Tensor<B>) -> Self {
        Self {
            limit: LIMIT * root_mean_square(reference),
        }
    }

    /// Returns whether the latent exceeds the limit.
    pub fn has_diverged<B: Backend>(self, latent: &Tensor<B>) -> bool {
        root_mean_square(latent) > self.limit
    }
}

fn root_mean_square<B: Backend>(tensor: &Tensor<B>) -> f64 {
    let numbers = tensor.to_host();
    let squares: f64 = numbers
        .iter()
        .map(|number| f64::from(*number).powi(2))
        .sum();
    (squares / numbers.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Cpu;

    #[test]
    fn latents_beyond_four_times_the_reference_have_diverged() {
        let latent = |factor: f32| {
            let numbers = [1.0, -0.5, 0.25, 0.0].map(|number: f32| factor * number);
            Tensor::vector(&Cpu, numbers.to_vec())
        };
        let guard = DivergenceGuard::new(&latent(1.0));
        // Infinity times zero is NaN, which is reported as not finite and not as a divergence.
        for (factor, diverged) in [
            (1.0, false),
            (3.9, false),
            (4.1, true),
            (f32::INFINITY, false),
        ] {
            assert_eq!(guard.has_diverged(&latent(factor)), diverged, "{factor}");
        }
    }
}
