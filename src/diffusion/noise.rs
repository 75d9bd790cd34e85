//! All randomness of an edit, drawn on the host from a seed: the same numbers on every machine and device.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::model::unet::AdapterPlace;
use crate::settings::{DiffusionSettings, LoraSettings};

/// What one step of the fine-tuning draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// A timestep for each noisy copy.
    pub timesteps: Vec<usize>,
    /// Normal noise (copies, height, width, 4).
    pub noise: Vec<f32>,
}

/// Where an edit takes its random numbers from.
pub trait NoiseSource: Send {
    /// The start of a LoRA: all adapters' parameters in the order of their places.
    fn adapters(&mut self, places: &[AdapterPlace]) -> Vec<f32>;
    /// Timesteps below `timesteps` and noise for `batch` copies of a latent of `len` numbers.
    fn fine_tuning(&mut self, batch: usize, len: usize, timesteps: usize) -> Draw;
    /// Noise (height, width, 4) for the cells that an object leaves.
    fn vacated(&mut self, len: usize) -> Vec<f32>;
    /// The seed from which everything comes that the fine-tuning of a LoRA draws; `None` where no seed, or more than a seed, decides it.
    fn seed(&self) -> Option<u64> {
        None
    }
}

/// Numbers from a seed, through the ChaCha20 stream cipher and the Box-Muller transform in portable arithmetic.
#[derive(Debug)]
pub struct Seeded {
    /// Seed of a LoRA's training.
    training: u64,
    adapters: ChaCha20Rng,
    fine_tuning: ChaCha20Rng,
    vacated: ChaCha20Rng,
}

impl Seeded {
    /// Every purpose has a stream of its own, so that one does not shift the others.
    pub fn new(seed: u64) -> Self {
        Self::with_training(seed, seed)
    }

    /// The noise of an edit with these settings.
    pub fn of(diffusion: &DiffusionSettings, lora: &LoraSettings) -> Self {
        Self::with_training(diffusion.seed, lora.training_seed(diffusion.seed))
    }

    fn with_training(seed: u64, training: u64) -> Self {
        let stream = |seed, number| {
            let mut generator = ChaCha20Rng::seed_from_u64(seed);
            generator.set_stream(number);
            generator
        };
        Self {
            training,
            adapters: stream(training, 1),
            fine_tuning: stream(training, 2),
            vacated: stream(seed, 3),
        }
    }
}

/// A number above 0 and at most 1.
fn uniform(generator: &mut ChaCha20Rng) -> f64 {
    ((generator.next_u64() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
}

/// Normal numbers (Box and Muller, 1958).
fn normal(generator: &mut ChaCha20Rng, len: usize) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(len + 1);
    while numbers.len() < len {
        let radius = libm::sqrt(-2.0 * libm::log(uniform(generator)));
        let angle = 2.0 * std::f64::consts::PI * uniform(generator);
        numbers.push((radius * libm::cos(angle)) as f32);
        numbers.push((radius * libm::sin(angle)) as f32);
    }
    numbers.truncate(len);
    numbers
}

impl NoiseSource for Seeded {
    /// down: normal with deviation 1 / rank; up: 0 (peft's `gaussian` start).
    fn adapters(&mut self, places: &[AdapterPlace]) -> Vec<f32> {
        let mut parameters = Vec::new();
        for place in places {
            let deviation = 1.0 / place.adapter.rank as f32;
            parameters.extend(
                normal(&mut self.adapters, place.down_len())
                    .iter()
                    .map(|number| number * deviation),
            );
            parameters.resize(place.adapter.offset + place.len(), 0.0);
        }
        parameters
    }

    fn fine_tuning(&mut self, batch: usize, len: usize, timesteps: usize) -> Draw {
        let generator = &mut self.fine_tuning;
        let timesteps = (0..batch)
            .map(|_| (uniform(generator) * timesteps as f64).ceil() as usize - 1)
            .collect();
        Draw {
            timesteps,
            noise: normal(generator, batch * len),
        }
    }

    fn vacated(&mut self, len: usize) -> Vec<f32> {
        normal(&mut self.vacated, len)
    }

    /// None once the fine-tuning has drawn: what comes then depends on what came before.
    fn seed(&self) -> Option<u64> {
        (self.adapters.get_word_pos() == 0 && self.fine_tuning.get_word_pos() == 0)
            .then_some(self.training)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::LoraSeed;

    #[test]
    fn noise_is_normal_and_follows_the_seed() {
        let draw = Seeded::new(7).fine_tuning(4, 25_000, 1000);
        assert_eq!(draw, Seeded::new(7).fine_tuning(4, 25_000, 1000));
        assert_ne!(
            draw.noise,
            Seeded::new(8).fine_tuning(4, 25_000, 1000).noise
        );
        let mean: f64 = draw.noise.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e5;
        let variance: f64 = draw.noise.iter().map(|x| f64::from(x * x)).sum::<f64>() / 1e5;
        assert!(
            mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02,
            "mean {mean}, variance {variance}"
        );
        assert!(draw.timesteps.iter().all(|t| *t < 1000));
    }

    #[test]
    fn a_training_may_have_a_seed_of_its_own() {
        let diffusion = DiffusionSettings {
            seed: 7,
            ..DiffusionSettings::default()
        };
        let lora = LoraSettings {
            seed: LoraSeed::Of(8),
            ..LoraSettings::default()
        };
        let mut noise = Seeded::of(&diffusion, &lora);
        assert_eq!(noise.seed(), Some(8));
        assert_eq!(
            noise.fine_tuning(2, 33, 1000),
            Seeded::new(8).fine_tuning(2, 33, 1000)
        );
        assert_eq!(noise.vacated(5), Seeded::new(7).vacated(5));
        let usual = Seeded::of(&diffusion, &LoraSettings::default());
        assert_eq!(usual.seed(), Some(7));
    }

    /// What is taken from the cache draws nothing: the numbers after it must be those that would have come anyway.
    #[test]
    fn streams_do_not_shift_each_other_and_tell_when_they_have_begun() {
        let (mut drawn, mut fresh) = (Seeded::new(7), Seeded::new(7));
        assert_eq!(drawn.seed(), Some(7));
        drawn.fine_tuning(2, 33, 1000);
        assert_eq!(drawn.seed(), None);
        assert_eq!(drawn.vacated(5), fresh.vacated(5));
        assert_eq!(
            fresh.seed(),
            Some(7),
            "noise for vacated cells has nothing to do with a LoRA"
        );
    }

    /// The first numbers of seed 0, computed by another implementation of ChaCha20 (RFC 8439, nonce and counter of 64 bits each),
    /// so that a change of generator, seeding or arithmetic does not pass unseen.
    #[test]
    fn noise_is_the_same_everywhere() {
        let expected = [-0.257_798_37_f32, -0.074_062_77, -0.620_321_4, 1.606_869_7];
        assert_eq!(Seeded::new(0).vacated(4), expected);
        assert_eq!(
            Seeded::new(0).vacated(7)[..4],
            expected,
            "a longer draw begins with a shorter one"
        );
    }
}
