//! The embedding of the timestep (Vaswani et al., arXiv 1706.03762, section 3.5; frequencies as in DDPM).

use crate::error::Result;
use crate::kernels::Backend;
use crate::model::config::UNetConfig;
use crate::model::weights::Weights;
use crate::nn::{Linear, Pass, Shape, Tensor};

/// Sines and cosines of the timestep through two linear layers, in f32.
#[derive(Debug)]
pub(super) struct TimeEmbedding<B: Backend> {
    first: Linear<B>,
    second: Linear<B>,
    flip_sin_to_cos: bool,
    freq_shift: f64,
}

impl<B: Backend> TimeEmbedding<B> {
    pub(super) fn load(weights: &mut Weights<B>, config: &UNetConfig) -> Result<Self> {
        let channels = config.channels[0];
        Ok(Self {
            first: weights.linear("time_embedding.linear_1", channels, 4 * channels, true)?,
            second: weights.linear("time_embedding.linear_2", 4 * channels, 4 * channels, true)?,
            flip_sin_to_cos: config.flip_sin_to_cos,
            freq_shift: config.freq_shift,
        })
    }

    /// SiLU of the embedding, as every residual block reads it: (timesteps, 1, 1, channels).
    pub(super) fn forward(&self, backend: &B, timesteps: &[f64]) -> Tensor<B> {
        let channels = self.first.inputs();
        let numbers = timesteps.iter().flat_map(|timestep| self.waves(*timestep)).collect();
        let waves = Tensor::from_host(backend, Shape::new(timesteps.len(), 1, 1, channels), numbers);
        let pass = &mut Pass::inference();
        let hidden = silu(&self.first.forward(&waves, pass));
        silu(&self.second.forward(&hidden, pass))
    }

    fn waves(&self, timestep: f64) -> Vec<f32> {
        let half = self.first.inputs() / 2;
        let angle = |index: usize| timestep * (-(10000f64.ln()) * index as f64 / (half as f64 - self.freq_shift)).exp();
        let sines = (0..half).map(|index| angle(index).sin() as f32);
        let cosines = (0..half).map(|index| angle(index).cos() as f32);
        if self.flip_sin_to_cos { cosines.chain(sines).collect() } else { sines.chain(cosines).collect() }
    }
}

fn silu<B: Backend>(x: &Tensor<B>) -> Tensor<B> {
    Tensor::build(x.backend(), x.shape(), |y| x.backend().silu(x.buffer(), y))
}
