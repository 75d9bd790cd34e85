//! Gradient descent on a latent with steps of a given mean length.

use crate::kernels::Backend;
use crate::nn::Tensor;

/// Steps in proportion to the gradient, scaled to a root mean square over the elements that have a gradient. Unlike Adam, whose steps have
/// about the same length in every element, it leaves elements alone that the loss hardly depends on.
#[derive(Debug, Clone, Copy)]
pub struct LatentDescent {
    lr: f64,
    decay: f64,
}

impl LatentDescent {
    /// Starts with steps of root mean square `lr`; each step is `decay` times as long as the one before.
    pub const fn new(lr: f64, decay: f64) -> Self {
        Self { lr, decay }
    }

    /// Moves the latent by one step against the gradient, which has its shape. A gradient of 0 moves nothing.
    pub fn step<B: Backend>(&mut self, latent: Tensor<B>, gradient: &Tensor<B>) -> Tensor<B> {
        let numbers = gradient.to_host();
        let moving = numbers.iter().filter(|number| **number != 0.0);
        let (count, squares) = moving.fold((0_usize, 0.0_f64), |(count, squares), number| {
            (count + 1, squares + f64::from(*number).powi(2))
        });
        let length = (squares / count.max(1) as f64).sqrt();
        let factor = if length > 0.0 { self.lr / length } else { 0.0 };
        self.lr *= self.decay;
        latent.combined(1.0, -factor as f32, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Cpu;

    #[test]
    fn steps_follow_the_gradient_and_shrink() {
        let gradient = Tensor::vector(&Cpu, vec![3.0_f32, -3.0, 0.0]);
        let mut descent = LatentDescent::new(0.1, 0.5);
        let first = descent.step(Tensor::vector(&Cpu, vec![1.0_f32; 3]), &gradient);
        let second = descent.step(first.clone(), &gradient);
        for (latent, expected) in [(first, [0.9, 1.1, 1.0]), (second, [0.85, 1.15, 1.0])] {
            for (number, expected) in latent.to_host().iter().zip(expected) {
                assert!(
                    (number - expected).abs() < 1e-6,
                    "{number} is not {expected}"
                );
            }
        }
    }

    #[test]
    fn no_gradient_moves_nothing() {
        let zero = Tensor::vector(&Cpu, vec![0.0_f32; 2]);
        let latent = Tensor::vector(&Cpu, vec![1.0_f32, 2.0]);
        let moved = LatentDescent::new(0.1, 1.0).step(latent, &zero);
        assert_eq!(moved.to_host(), [1.0, 2.0]);
    }
}
