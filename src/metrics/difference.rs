//! The differences in one area, computed from exact sums.

use super::ssim;

/// Levels of a 16-bit sample per level of 255, the unit of all differences.
const LEVELS: f64 = 257.0;

/// How much two pictures differ over an area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Pixels of the area.
    pub pixels: usize,
    /// Pixels with any difference.
    pub differing: usize,
    /// Largest difference of two samples, 0 to 255.
    pub max: f64,
    /// Mean difference of all samples, 0 to 255.
    pub mean: f64,
    /// Peak signal-to-noise ratio in decibels; infinite without a difference, `None` in an empty area.
    pub psnr: Option<f64>,
    /// Mean structural similarity, at most 1; `None` if no pixel of the area has its whole window in the picture and, outside a mask, outside it.
    pub ssim: Option<f64>,
}

impl Difference {
    pub(super) fn new(pixels: usize, sums: &Sums, similarity: &[ssim::SimilaritySum]) -> Self {
        let samples = sums.samples.max(1) as f64;
        // Integers are divided once, so the result is rounded once.
        let (mean, square) = (
            sums.absolute as f64 / (samples * LEVELS),
            sums.squares as f64 / (samples * LEVELS * LEVELS),
        );
        let psnr = if square > 0.0 {
            10.0 * (255.0 * 255.0 / square).log10()
        } else {
            f64::INFINITY
        };
        let means: Option<Vec<f64>> = similarity.iter().map(|channel| channel.mean()).collect();
        let ssim = means
            .filter(|means| !means.is_empty())
            .map(|means| means.iter().sum::<f64>() / means.len() as f64);
        let max = f64::from(sums.max) / LEVELS;
        Self {
            pixels,
            differing: sums.differing,
            max,
            mean,
            psnr: (pixels > 0).then_some(psnr),
            ssim,
        }
    }

    /// Returns the share of pixels with any difference, 0 to 1.
    pub fn share(&self) -> f64 {
        self.differing as f64 / self.pixels.max(1) as f64
    }
}

/// Sums over the samples of an area, in 16-bit levels. Integer sums do not depend on the order of summation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    samples: u64,
    absolute: u64,
    squares: u128,
    max: u16,
    pub(super) differing: usize,
}

impl Sums {
    pub(super) fn add(&mut self, difference: u16) {
        self.samples += 1;
        self.absolute += u64::from(difference);
        self.squares += u128::from(difference) * u128::from(difference);
        self.max = self.max.max(difference);
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            absolute: self.absolute + other.absolute,
            squares: self.squares + other.squares,
            max: self.max.max(other.max),
            differing: self.differing + other.differing,
        }
    }
}
