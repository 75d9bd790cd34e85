//! When an optimisation of the latent has run away.

use crate::kernels::Backend;
use crate::nn::Tensor;

/// A latent whose root mean square is so many times that of the un-dragged one shows nothing that the model knows: at the method's own
/// rate no cell moves by more than about one of its standard deviations.
const LIMIT: f64 = 4.0;

/// The range that a latent must not leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    most: f64,
}

impl Range {
    /// Of latents like the un-dragged one.
    pub(super) fn around<B: Backend>(reference: &Tensor<B>) -> Self {
        Self {
            most: LIMIT * root_mean_square(reference),
        }
    }

    /// Has the latent left it?
    pub(super) fn is_left_by<B: Backend>(self, latent: &Tensor<B>) -> bool {
        root_mean_square(latent) > self.most
    }
}

fn root_mean_square<B: Backend>(tensor: &Tensor<B>) -> f64 {
    let numbers = tensor.to_host();
    (numbers
        .iter()
        .map(|number| f64::from(*number).powi(2))
        .sum::<f64>()
        / numbers.len() as f64)
        .sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Cpu;

    #[test]
    fn what_grows_beyond_all_bounds_has_diverged() {
        let latent = |factor: f32| {
            Tensor::vector(
                &Cpu,
                [1.0, -0.5, 0.25, 0.0]
                    .map(|number: f32| factor * number)
                    .to_vec(),
            )
        };
        for (factor, diverged) in [
            (1.0, false),
            (3.9, false),
            (4.1, true),
            (f32::INFINITY, false),
        ] {
            // Infinity times zero is not a number, which is told as such and not as a divergence.
            assert_eq!(
                Range::around(&latent(1.0)).is_left_by(&latent(factor)),
                diverged,
                "{factor}"
            );
        }
    }
}
