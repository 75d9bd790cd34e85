//! Adam on a latent.

use crate::kernels::{AdamStep, Backend};
use crate::nn::Tensor;

/// Adam (Kingma and Ba, arXiv 1412.6980) with betas 0.9 and 0.999, eps 1e-8, bias correction and no weight decay.
#[derive(Debug)]
pub struct LatentAdam<B: Backend> {
    first: Tensor<B>,
    second: Tensor<B>,
    steps: usize,
    lr: f64,
}

impl<B: Backend> LatentAdam<B> {
    /// Starts with zero moments for a latent of this shape.
    pub fn new(latent: &Tensor<B>, lr: f64) -> Self {
        let zeros = || Tensor::zeros(latent.backend(), latent.shape());
        Self {
            first: zeros(),
            second: zeros(),
            steps: 0,
            lr,
        }
    }

    /// Moves the latent by one step against the gradient, which has its shape.
    pub fn step(&mut self, latent: &mut Tensor<B>, gradient: &Tensor<B>) {
        self.steps += 1;
        let step = AdamStep {
            step: self.steps,
            lr: self.lr,
            decay: 0.0,
        };
        let backend = latent.backend().clone();
        backend.adam(
            &step,
            gradient.buffer(),
            self.first.buffer_mut(),
            self.second.buffer_mut(),
            latent.buffer_mut(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Cpu;

    /// With bias correction, the first step is lr against the sign of the gradient, and a constant gradient keeps that length.
    #[test]
    fn steps_have_the_length_of_the_learning_rate() {
        let mut latent = Tensor::vector(&Cpu, vec![1.0_f32, -1.0, 0.0]);
        let gradient = Tensor::vector(&Cpu, vec![0.5_f32, -3.0, 0.0]);
        let mut adam = LatentAdam::new(&latent, 0.1);
        for _ in 0..2 {
            adam.step(&mut latent, &gradient);
        }
        let expected = [0.8_f32, -0.8, 0.0];
        for (number, expected) in latent.to_host().iter().zip(expected) {
            assert!(
                (number - expected).abs() < 1e-5,
                "{number} is not {expected}"
            );
        }
    }
}
