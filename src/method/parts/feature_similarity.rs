//! How alike the features of two maps are at pairs of pixels: a mean of cosines, and its gradient.

/// The features of one decoder stage on the host (pixels, channels).
#[derive(Debug)]
pub(in crate::method) struct FeatureMap {
    values: Vec<f32>,
    channels: usize,
    /// Lengths of the pixels' vectors.
    lengths: Vec<f64>,
}

/// Lengths below this count as this, so that a vector of zeros has a cosine of 0.
const SHORTEST: f64 = 1e-8;

impl FeatureMap {
    /// Creates a map from the numbers of its pixels.
    pub(in crate::method) fn new(values: Vec<f32>, channels: usize) -> Self {
        let length = |vector: &[f32]| dot(vector, vector).sqrt().max(SHORTEST);
        Self {
            lengths: values.chunks_exact(channels).map(length).collect(),
            values,
            channels,
        }
    }

    fn vector(&self, pixel: usize) -> &[f32] {
        &self.values[pixel * self.channels..(pixel + 1) * self.channels]
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

/// Two pixels whose features are compared, and the share of the pair in the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::method) struct PixelPair {
    /// Of the edited latent's map.
    pub(in crate::method) edited: usize,
    /// Of the original's map.
    pub(in crate::method) original: usize,
    /// The shares of all pairs of a mean sum to 1.
    pub(in crate::method) share: f64,
}

/// Maps of one decoder stage: the edited latent's and the original's.
#[derive(Debug, Clone, Copy)]
pub(in crate::method) struct ComparedMaps<'a> {
    /// Of the edited latent.
    pub(in crate::method) edited: &'a FeatureMap,
    /// Of the original's latent.
    pub(in crate::method) original: &'a FeatureMap,
}

impl ComparedMaps<'_> {
    fn cosine(&self, pair: &PixelPair) -> f64 {
        let lengths = self.edited.lengths[pair.edited] * self.original.lengths[pair.original];
        let edited = self.edited.vector(pair.edited);
        dot(edited, self.original.vector(pair.original)) / lengths
    }

    /// Returns the mean of (cosine + 1) / 2 over pairs, 0 to 1; 0 without pairs.
    pub(in crate::method) fn similarity(&self, pairs: &[PixelPair]) -> f64 {
        let similarity = |pair: &PixelPair| pair.share * f64::midpoint(self.cosine(pair), 1.0);
        pairs.iter().map(similarity).sum()
    }

    /// Adds `factor` times the gradient of the similarity with respect to the edited map to `gradient`, which has its layout.
    pub(in crate::method) fn add_gradient(
        &self,
        pairs: &[PixelPair],
        factor: f64,
        gradient: &mut [f32],
    ) {
        let channels = self.edited.channels;
        for pair in pairs {
            let (edited, original) = (
                self.edited.vector(pair.edited),
                self.original.vector(pair.original),
            );
            let length = self.edited.lengths[pair.edited];
            let scale = 0.5 * factor * pair.share / length;
            let to_original = scale / self.original.lengths[pair.original];
            let to_own = scale * self.cosine(pair) / length;
            let to = &mut gradient[pair.edited * channels..(pair.edited + 1) * channels];
            for ((to, own), other) in to.iter_mut().zip(edited).zip(original) {
                *to += (to_original * f64::from(*other) - to_own * f64::from(*own)) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{NoiseSource, Seeded, Stream};

    fn random(seed: u64) -> Vec<f32> {
        Seeded::new(seed).normal(Stream::VACATED, 15)
    }

    const PAIRS: [PixelPair; 2] = [
        PixelPair {
            edited: 1,
            original: 4,
            share: 0.25,
        },
        PixelPair {
            edited: 1,
            original: 2,
            share: 0.75,
        },
    ];

    #[test]
    fn equal_vectors_are_fully_alike_and_opposite_ones_not_at_all() {
        let map = |values: [f32; 4]| FeatureMap::new(values.to_vec(), 2);
        let (edited, original) = (map([1.0, 2.0, 0.0, 0.0]), map([3.0, 6.0, -1.0, -2.0]));
        let maps = ComparedMaps {
            edited: &edited,
            original: &original,
        };
        let of = |edited, original| {
            maps.similarity(&[PixelPair {
                edited,
                original,
                share: 1.0,
            }])
        };
        assert!((of(0, 0) - 1.0).abs() < 1e-12 && of(0, 1).abs() < 1e-12);
        assert_eq!(of(1, 0), 0.5, "zeros are orthogonal to everything");
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let (values, original) = (random(1), FeatureMap::new(random(2), 3));
        let similarity = |values: &[f32]| {
            let maps = ComparedMaps {
                edited: &FeatureMap::new(values.to_vec(), 3),
                original: &original,
            };
            maps.similarity(&PAIRS)
        };
        let mut gradient = vec![0.0; 15];
        let maps = ComparedMaps {
            edited: &FeatureMap::new(values.clone(), 3),
            original: &original,
        };
        maps.add_gradient(&PAIRS, 2.0, &mut gradient);
        for at in 0..15 {
            let shifted = |by: f32| {
                let mut values = values.clone();
                values[at] += by;
                similarity(&values)
            };
            let slope = (shifted(1e-3) - shifted(-1e-3)) / 2e-3;
            assert!((2.0 * slope - f64::from(gradient[at])).abs() < 1e-4, "{at}");
        }
        assert!(gradient[3..6].iter().all(|x| *x != 0.0));
    }
}
