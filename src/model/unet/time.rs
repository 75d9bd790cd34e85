//! The embedding of the timestep (Vaswani et al., arXiv 1706.03762, section 3.5; frequencies as in DDPM).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Resnet;
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
    known: Mutex<Known<B>>,
}

/// What single timesteps (their bits) add in every residual block, in execution order: (1, 1, 1, out) each.
type Known<B> = BTreeMap<u64, Vec<Tensor<B>>>;

/// Timesteps that are remembered: those of a whole edit.
const KNOWN: usize = 128;

impl<B: Backend> TimeEmbedding<B> {
    pub(super) fn load(weights: &mut Weights<B>, config: &UNetConfig) -> Result<Self> {
        let channels = config.channels[0];
        Ok(Self {
            first: weights.linear("time_embedding.linear_1", channels, 4 * channels, true)?,
            second: weights.linear("time_embedding.linear_2", 4 * channels, 4 * channels, true)?,
            flip_sin_to_cos: config.flip_sin_to_cos,
            freq_shift: config.freq_shift,
            known: Mutex::default(),
        })
    }

    /// What the timesteps add in every one of `resnets`: (timesteps, 1, 1, out) each. No latent and no adapter has a part in it, so
    /// every timestep is worked out once.
    pub(super) fn shifts(
        &self,
        backend: &B,
        timesteps: &[f64],
        resnets: &[&Resnet<B>],
    ) -> Vec<Tensor<B>> {
        let rows: Vec<Vec<Tensor<B>>> = timesteps
            .iter()
            .map(|timestep| self.shifts_at(backend, *timestep, resnets))
            .collect();
        match &rows[..] {
            [alone] => alone.clone(),
            rows => {
                let layer = |layer: usize| {
                    let shifts = rows.iter().map(|row| row[layer].clone());
                    Tensor::stacked(&shifts.collect::<Vec<_>>())
                };
                (0..resnets.len()).map(layer).collect()
            }
        }
    }

    fn shifts_at(&self, backend: &B, timestep: f64, resnets: &[&Resnet<B>]) -> Vec<Tensor<B>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shifts) = known().get(&timestep.to_bits()) {
            return shifts.clone();
        }
        let time = self.forward(backend, timestep);
        let shifts: Vec<Tensor<B>> = resnets
            .iter()
            .filter_map(|resnet| resnet.shift(&time))
            .collect();
        let mut known = known();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(timestep.to_bits(), shifts.clone());
        shifts
    }

    /// SiLU of the embedding, as every residual block reads it: (1, 1, 1, channels).
    fn forward(&self, backend: &B, timestep: f64) -> Tensor<B> {
        let waves = Tensor::from_host(
            backend,
            Shape::new(1, 1, 1, self.first.inputs()),
            self.waves(timestep),
        );
        let pass = &mut Pass::inference();
        let hidden = silu(&self.first.forward(&waves, pass));
        silu(&self.second.forward(&hidden, pass))
    }

    fn waves(&self, timestep: f64) -> Vec<f32> {
        let half = self.first.inputs() / 2;
        let angle = |index: usize| {
            timestep * (-(10000f64.ln()) * index as f64 / (half as f64 - self.freq_shift)).exp()
        };
        let sines = (0..half).map(|index| angle(index).sin() as f32);
        let cosines = (0..half).map(|index| angle(index).cos() as f32);
        if self.flip_sin_to_cos {
            cosines.chain(sines).collect()
        } else {
            sines.chain(cosines).collect()
        }
    }
}

fn silu<B: Backend>(x: &Tensor<B>) -> Tensor<B> {
    x.build(x.shape(), |y| x.backend().silu(x.buffer(), y))
}
