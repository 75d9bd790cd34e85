//! An inversion through noise that is kept, and the denoising from it (RegionDrag, arXiv 2407.18247, after Huang et al., CycleDiffusion, and
//! Huberman-Spiegelglas et al., arXiv 2304.06140).
//!
//! The latent x at level s gets noise up to level t: `z = sqrt(a_t/a_s) x + sqrt(1 - a_t/a_s) n`. A stochastic step (DDIM, eta = 1) from z to
//! level s has a mean and a deviation; the noise with which it would give x exactly is kept. Without changes, the denoising thus returns
//! every latent, whatever the network predicts.

use crate::diffusion::{Grid, Schedule, Stream, require_finite};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::Scene;
use crate::model::unet::{Input, Network, NoiseAndKeys, SelfAttentions};
use crate::nn::{KeysAndValues, Tensor};
use crate::progress::{Progress, Stage};

/// Normal noise of the inversion, one latent for each level.
pub(super) const INVERSION: Stream = Stream::new("inversion", 4);

/// Two timesteps between which a step leads, the less noisy one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    /// The less noisy timestep.
    pub(super) low: i64,
    /// The noisier timestep.
    pub(super) high: i64,
}

impl Interval {
    /// Returns the intervals above every timestep of the grid, the least noisy first.
    pub(super) fn above(grid: &Grid, schedule: &Schedule) -> Vec<Self> {
        let last = schedule.timesteps() as i64 - 1;
        let interval = |low: &i64| Self {
            low: *low,
            high: (low + grid.stride).min(last),
        };
        grid.timesteps.iter().rev().map(interval).collect()
    }

    /// Returns the factors of a step.
    fn factors(self, schedule: &Schedule) -> Factors {
        let (low, high) = (schedule.alpha(self.low), schedule.alpha(self.high));
        let ratio = high / low;
        let deviation = ((1.0 - low) / (1.0 - high) * (1.0 - ratio)).sqrt();
        let scale = (1.0 / ratio).sqrt();
        let shift =
            (1.0 - low - deviation * deviation).max(0.0).sqrt() - scale * (1.0 - high).sqrt();
        Factors {
            up: ratio.sqrt() as f32,
            noise: (1.0 - ratio).sqrt() as f32,
            scale: scale as f32,
            shift: shift as f32,
            deviation: deviation as f32,
        }
    }
}

/// Factors of a step between two levels.
#[derive(Debug, Clone, Copy)]
struct Factors {
    /// Of the latent on the way up.
    up: f32,
    /// Of the fresh noise on the way up.
    noise: f32,
    /// Of the latent on the way down.
    scale: f32,
    /// Of the noise prediction on the way down.
    shift: f32,
    /// Of the kept noise on the way down.
    deviation: f32,
}

/// A level of the inversion.
#[derive(Debug)]
pub(super) struct Level<B: Backend> {
    /// The timestep of `latent`.
    pub(super) t: i64,
    /// The original's latent there.
    pub(super) latent: Tensor<B>,
    /// The noise with which a step down from there gives the latent one level below.
    pub(super) noise: Tensor<B>,
    /// Keys and values of the original there.
    keys: KeysAndValues<Tensor<B>>,
    factors: Factors,
}

impl<B: Backend> Level<B> {
    /// Takes `z` one level down. The self-attentions read the original's keys and values.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`] with the number of the `step`.
    pub(super) fn down<N: Network<B>>(
        self,
        scene: &Scene<B, N>,
        z: Tensor<B>,
        step: usize,
    ) -> Result<Tensor<B>> {
        let input = Input::at(&z, self.t as f64, scene.prompt).with_keys(self.keys);
        let predicted = scene.network.predict(input);
        require_finite(&predicted, Stage::Drag, step, "the noise prediction")?;
        let Factors {
            scale,
            shift,
            deviation,
            ..
        } = self.factors;
        let mean = z.combined(scale, shift, &predicted);
        Ok(mean.combined(1.0, deviation, &self.noise))
    }
}

/// Inverts the scene's clean latent, which counts as that of the least noisy timestep of the grid. Returns the levels, the noisiest last.
///
/// # Errors
/// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
pub(super) fn invert<B: Backend, N: Network<B>>(
    scene: &mut Scene<B, N>,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Vec<Level<B>>> {
    let intervals = Interval::above(scene.grid, scene.schedule);
    let mut levels: Vec<Level<B>> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        interrupt.check()?;
        let below = match levels.last() {
            Some(level) => level.latent.clone(),
            None => scene.trajectory.clean().clone(),
        };
        let factors = interval.factors(scene.schedule);
        let fresh = scene.noise.normal(INVERSION, below.shape().len());
        let fresh = Tensor::from_host(below.backend(), below.shape(), fresh);
        let latent = below.clone().combined(factors.up, factors.noise, &fresh);
        let input = Input::at(&latent, interval.high as f64, scene.prompt);
        let want = NoiseAndKeys::of(SelfAttentions::All);
        let (predicted, keys) = scene.network.forward(input, want);
        let step = levels.len() + 1;
        require_finite(&predicted, Stage::Drag, step, "the noise prediction")?;
        let mean = latent
            .clone()
            .combined(factors.scale, factors.shift, &predicted);
        let unscale = 1.0 / factors.deviation;
        levels.push(Level {
            t: interval.high,
            noise: below.combined(unscale, -unscale, &mean),
            latent,
            keys,
            factors,
        });
        progress.step(None);
    }
    Ok(levels)
}
