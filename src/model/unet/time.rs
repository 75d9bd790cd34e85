//! The embedding of the timestep (Vaswani et al., arXiv 1706.03762, section 3.5; frequencies as in DDPM).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Resnet;
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::config::UNetConfig;
use crate::model::weights::Weights;
use crate::nn::{Linear, Pass, Shape, Tensor};

/// Sines and cosines of the timestep through two linear layers.
#[derive(Debug)]
pub(super) struct TimeEmbedding<B: Backend> {
    first: Linear<B>,
    second: Linear<B>,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    cached: Mutex<Shifts<B>>,
}

/// The shifts (1, 1, 1, out) of every residual block in execution order, by the bits of the timestep, in execution order.
type Shifts<B> = BTreeMap<u64, Vec<Tensor<B>>>;

/// Where a pass gets the shifts of its timesteps from.
#[derive(Debug)]
pub(super) enum TimeSource<B: Backend> {
    /// The shifts of every residual block, in execution order.
    Cached(Vec<Tensor<B>>),
    /// Timesteps, one per latent.
    Timesteps(Vec<f64>),
    /// What was prepared for a longer pass.
    Prepared(Arc<PassTime<B>>),
}

/// What a pass reads of its timesteps, in the memory of the pass.
#[derive(Debug)]
pub(super) enum PassTime<B: Backend> {
    /// The shifts of every residual block, in execution order.
    Shifts(Vec<Tensor<B>>),
    /// Sines and cosines (timesteps, 1, 1, channels), of which the pass computes the shifts.
    Waves(Tensor<B>),
}

/// Largest number of cached timesteps; more than an edit with the default settings has.
const CAPACITY: usize = 128;

impl<B: Backend> TimeEmbedding<B> {
    /// Loads the embedding.
    pub(super) fn load(weights: &mut Weights<B>, config: &UNetConfig) -> Result<Self> {
        let channels = config.channels[0];
        if let Some(guidance) = config.guidance_embedding {
            // It takes part only where a guidance scale is passed.
            weights.values("time_embedding.cond_proj.weight", &[&[channels, guidance]])?;
        }
        Ok(Self {
            first: weights.linear("time_embedding.linear_1", channels, 4 * channels, true)?,
            second: weights.linear("time_embedding.linear_2", 4 * channels, 4 * channels, true)?,
            flip_sin_to_cos: config.flip_sin_to_cos,
            freq_shift: config.freq_shift,
            cached: Mutex::default(),
        })
    }

    /// Returns where a pass gets the shifts of these timesteps from. Call it before the pass begins, because it fills the cache.
    ///
    /// Shifts depend on neither latent nor adapters. Those of one timestep are cached; those of several are joined from the cache, unless the
    /// device computes them in one call, which is then a part of the pass.
    pub(super) fn source(
        &self,
        backend: &B,
        timesteps: &[f64],
        resnets: &[&Resnet<B>],
    ) -> TimeSource<B> {
        let at = |timestep: f64| self.shifts_at(backend, timestep, resnets);
        let first = timesteps[0];
        let are_equal = timesteps.iter().all(|timestep| *timestep == first);
        if timesteps.len() == 1 || are_equal && backend.fuses_shift() {
            return TimeSource::Cached(at(first));
        }
        if backend.prefers_large_calls() {
            return TimeSource::Timesteps(timesteps.to_vec());
        }
        let rows: Vec<Vec<Tensor<B>>> = timesteps.iter().copied().map(at).collect();
        let layer = |layer: usize| {
            let shifts = rows.iter().map(|row| row[layer].clone());
            Tensor::stacked(&shifts.collect::<Vec<_>>())
        };
        TimeSource::Cached((0..resnets.len()).map(layer).collect())
    }

    /// Copies what a pass reads of its timesteps to the memory of the pass. Call it where the pass prepares its inputs
    /// ([`Backend::pass`]).
    pub(super) fn prepared(&self, backend: &B, source: TimeSource<B>) -> Arc<PassTime<B>> {
        match source {
            TimeSource::Prepared(time) => time,
            TimeSource::Cached(shifts) => {
                let is_shared = shifts.first().is_some_and(|shift| shift.shape().batch == 1);
                let are_biases = is_shared && backend.fuses_shift();
                let shifts = Tensor::copied_together(backend, shifts, are_biases);
                Arc::new(PassTime::Shifts(shifts))
            }
            TimeSource::Timesteps(timesteps) => {
                Arc::new(PassTime::Waves(self.waves(backend, &timesteps)))
            }
        }
    }

    /// Returns the shifts of every residual block: (1, 1, 1, out) if all timesteps are equal and the device fuses them with biases, else
    /// (timesteps, 1, 1, out).
    pub(super) fn shifts(&self, time: &PassTime<B>, resnets: &[&Resnet<B>]) -> Vec<Tensor<B>> {
        match time {
            PassTime::Shifts(shifts) => shifts.clone(),
            PassTime::Waves(waves) => self.computed(waves, resnets),
        }
    }

    /// Returns the shifts (timesteps, 1, 1, out) of every residual block.
    fn computed(&self, waves: &Tensor<B>, resnets: &[&Resnet<B>]) -> Vec<Tensor<B>> {
        let time = self.forward(waves);
        let shifts = resnets.iter().filter_map(|resnet| resnet.shift(&time));
        shifts.collect()
    }

    fn shifts_at(&self, backend: &B, timestep: f64, resnets: &[&Resnet<B>]) -> Vec<Tensor<B>> {
        let cached = || self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shifts) = cached().get(&timestep.to_bits()) {
            return shifts.clone();
        }
        let shifts = self.computed(&self.waves(backend, &[timestep]), resnets);
        let shifts = Tensor::copied_together(backend, shifts, backend.fuses_shift());
        let mut cached = cached();
        if cached.len() >= CAPACITY {
            cached.clear();
        }
        cached.insert(timestep.to_bits(), shifts.clone());
        shifts
    }

    /// Returns SiLU of the embedding (timesteps, 1, 1, channels), the input of every residual block's time projection, from the waves of the
    /// timesteps.
    fn forward(&self, waves: &Tensor<B>) -> Tensor<B> {
        let pass = &mut Pass::inference();
        let hidden = silu(&self.first.forward(waves, pass));
        silu(&self.second.forward(&hidden, pass))
    }

    /// Returns the waves of timesteps (timesteps, 1, 1, channels): their sines and cosines.
    fn waves(&self, backend: &B, timesteps: &[f64]) -> Tensor<B> {
        let waves = timesteps
            .iter()
            .flat_map(|timestep| self.waves_at(*timestep));
        let shape = Shape::new(timesteps.len(), 1, 1, self.first.inputs());
        Tensor::from_host(backend, shape, waves.collect())
    }

    /// Returns the sines and cosines.
    fn waves_at(&self, timestep: f64) -> Vec<f32> {
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
