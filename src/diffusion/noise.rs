//! All random numbers of an edit, drawn on the host from a seed: the same on every machine and device.
//!
//! Every purpose has its own stream, so that the numbers of one do not depend on how many another draws. A method that needs
//! normal noise defines its own [`Stream`].

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::model::unet::AdapterPlace;
use crate::settings::{DiffusionSettings, LoraSettings};

/// The random numbers of one step of the fine-tuning.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// A timestep for each noisy copy of the latent.
    pub timesteps: Vec<usize>,
    /// Normal noise (copies, height, width, 4).
    pub noise: Vec<f32>,
}

/// A named stream of standard normal numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    name: &'static str,
    number: u64,
}

impl Stream {
    /// Noise (height, width, 4) for the vacated area.
    pub const VACATED: Self = Self::new("vacated", 3);

    /// Creates a stream; streams of one edit need different numbers.
    ///
    /// # Panics
    /// When the number is 0, 1 or 2: the last two are the streams of the LoRA.
    pub const fn new(name: &'static str, number: u64) -> Self {
        assert!(number > FINE_TUNING);
        Self { name, number }
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        self.name
    }
}

/// The streams of the LoRA's initial values and of its training.
const ADAPTERS: u64 = 1;
const FINE_TUNING: u64 = 2;

/// The source of an edit's random numbers.
pub trait NoiseSource: Send {
    /// Returns the initial parameters of a LoRA, in the order of the places.
    fn adapters(&mut self, places: &[AdapterPlace]) -> Vec<f32>;
    /// Draws timesteps below `timesteps` and noise for `batch` copies of a latent of `len` elements.
    fn fine_tuning(&mut self, batch: usize, len: usize, timesteps: usize) -> Draw;
    /// Draws the next `len` standard normal numbers of a stream.
    fn normal(&mut self, stream: Stream, len: usize) -> Vec<f32>;
    /// Returns the seed that alone determines the LoRA's initial values and its fine-tuning; `None` where there is no such seed.
    fn seed(&self) -> Option<u64> {
        None
    }
}

/// Random numbers from a seed: ChaCha20 and the Box-Muller transform, in portable arithmetic.
#[derive(Debug)]
pub struct Seeded {
    seed: u64,
    /// The seed of the LoRA.
    training: u64,
    adapters: ChaCha20Rng,
    fine_tuning: ChaCha20Rng,
    /// The generators of the streams in use, by number.
    streams: BTreeMap<u64, ChaCha20Rng>,
}

impl Seeded {
    /// Uses one seed for everything.
    pub fn new(seed: u64) -> Self {
        Self::with_training(seed, seed)
    }

    /// Uses the seeds of an edit with these settings.
    pub fn of(diffusion: &DiffusionSettings, lora: &LoraSettings) -> Self {
        Self::with_training(diffusion.seed, lora.training_seed(diffusion.seed))
    }

    fn with_training(seed: u64, training: u64) -> Self {
        Self {
            seed,
            training,
            adapters: generator(training, ADAPTERS),
            fine_tuning: generator(training, FINE_TUNING),
            streams: BTreeMap::new(),
        }
    }
}

fn generator(seed: u64, stream: u64) -> ChaCha20Rng {
    let mut generator = ChaCha20Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    generator
}

/// Draws a uniform number above 0 and at most 1.
fn uniform(generator: &mut ChaCha20Rng) -> f64 {
    ((generator.next_u64() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
}

/// Draws standard normal numbers (Box and Muller, 1958).
fn draw_normal(generator: &mut ChaCha20Rng, len: usize) -> Vec<f32> {
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
    /// down: normal with standard deviation 1 / rank; up: 0 (peft's `gaussian` initialisation).
    fn adapters(&mut self, places: &[AdapterPlace]) -> Vec<f32> {
        let mut parameters = Vec::new();
        for place in places {
            let deviation = 1.0 / place.adapter.rank as f32;
            parameters.extend(
                draw_normal(&mut self.adapters, place.down_len())
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
            noise: draw_normal(generator, batch * len),
        }
    }

    fn normal(&mut self, stream: Stream, len: usize) -> Vec<f32> {
        let number = stream.number;
        let own = self.streams.entry(number);
        draw_normal(own.or_insert_with(|| generator(self.seed, number)), len)
    }

    /// `None` once the LoRA's streams are in use: the next numbers also depend on how many were drawn.
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
    fn lora_may_have_its_own_seed() {
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
        assert_eq!(
            noise.normal(Stream::VACATED, 5),
            Seeded::new(7).normal(Stream::VACATED, 5)
        );
        let usual = Seeded::of(&diffusion, &LoraSettings::default());
        assert_eq!(usual.seed(), Some(7));
    }

    /// After a cache hit the fine-tuning draws nothing, and the other streams must not change.
    #[test]
    fn streams_are_independent() {
        let other = Stream::new("other", 4);
        let (mut drawn, mut fresh) = (Seeded::new(7), Seeded::new(7));
        drawn.fine_tuning(2, 33, 1000);
        drawn.normal(other, 3);
        assert_eq!(drawn.seed(), None);
        let expected = fresh.normal(Stream::VACATED, 5);
        assert_eq!(drawn.normal(Stream::VACATED, 5), expected);
        assert_ne!(fresh.normal(other, 5), expected);
        assert_eq!(fresh.seed(), Some(7), "only the LoRA's streams matter");
    }

    /// The first numbers of seed 0 from another implementation of ChaCha20 (RFC 8439, nonce and counter of 64 bits each): a change
    /// of generator, seeding or arithmetic fails this test.
    #[test]
    fn noise_is_the_same_everywhere() {
        let expected = [-0.257_798_37_f32, -0.074_062_77, -0.620_321_4, 1.606_869_7];
        let noise = |len| Seeded::new(0).normal(Stream::VACATED, len);
        assert_eq!(noise(4), expected);
        assert_eq!(noise(7)[..4], expected);
    }
}
