//! Resizing as Pillow's `Image.resize` does it, to the bit: published evaluations resize with it.
//!
//! Rows are resized first, then columns, as in all versions until 12; version 13 has the other order for some sizes, such as 33 x 71 to 32 x 68.
//!
//! A filter with a support that grows with the reduction, in two passes (columns of a row, then rows), each in fixed-point arithmetic and rounded to 8
//! bits.

use std::ops::Range;

use rayon::prelude::*;

use crate::geometry::Size;

/// Bits behind the point of a coefficient.
const BITS: u32 = 32 - 8 - 2;

/// The filters, by Pillow's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// A triangle.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
}

impl Filter {
    /// Returns half the width of the filter.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bicubic => 0.0,
        }
    }
}

/// The source pixels of a pixel, and their fixed-point coefficients.
struct Taps {
    first: usize,
    coefficients: Vec<i32>,
}

/// Returns the taps of every pixel of a side that is resized.
fn taps(filter: Filter, from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let taps = |index: usize| {
        let centre = (index as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weight = |at: usize| filter.at((at as f64 - centre + 0.5) / stretch);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| {
            let scaled = weight / sum * f64::from(1 << BITS);
            // Rounds half away from zero.
            (if scaled < 0.0 {
                scaled - 0.5
            } else {
                scaled + 0.5
            }) as i32
        };
        Taps {
            first,
            coefficients: weights.iter().map(fixed).collect(),
        }
    };
    (0..to).map(taps).collect()
}

/// Returns the weighted sum of samples, rounded and clipped to 8 bits.
fn sum(samples: impl Iterator<Item = u8>, coefficients: &[i32]) -> u8 {
    let half = 1 << (BITS - 1);
    let products = samples.zip(coefficients);
    let sum = products.fold(half, |sum: i32, (sample, coefficient)| {
        sum + i32::from(sample) * coefficient
    });
    (sum >> BITS).clamp(0, 255) as u8
}

/// Resizes 8-bit RGB pixels (height, width, 3).
///
/// # Panics
/// When the number of pixels is not that of `from`.
pub(crate) fn resize(pixels: &[u8], from: Size, to: Size, filter: Filter) -> Vec<u8> {
    assert_eq!(pixels.len(), 3 * from.area(), "pixels of this size");
    let narrow = if from.width == to.width {
        pixels.to_vec()
    } else {
        columns(pixels, from, to.width, &taps(filter, from.width, to.width))
    };
    if from.height == to.height {
        return narrow;
    }
    let stride = 3 * to.width;
    let mut out = vec![0; 3 * to.area()];
    let taps = taps(filter, from.height, to.height);
    out.par_chunks_exact_mut(stride)
        .zip(&taps)
        .for_each(|(row, taps)| {
            let rows: Range<usize> = taps.first..taps.first + taps.coefficients.len();
            for (at, out) in row.iter_mut().enumerate() {
                let samples = rows.clone().map(|y| narrow[y * stride + at]);
                *out = sum(samples, &taps.coefficients);
            }
        });
    out
}

/// Resizes every row to `width` pixels.
fn columns(pixels: &[u8], from: Size, width: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = vec![0; 3 * width * from.height];
    out.par_chunks_exact_mut(3 * width)
        .zip(pixels.par_chunks_exact(3 * from.width))
        .for_each(|(out, row)| {
            for (out, taps) in out.chunks_exact_mut(3).zip(taps) {
                for (channel, out) in out.iter_mut().enumerate() {
                    let samples = row[3 * taps.first + channel..].iter().step_by(3);
                    *out = sum(samples.copied(), &taps.coefficients);
                }
            }
        });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    /// Digests of Pillow's results for the same pixels:
    /// `Image.fromarray(p).resize(size, filter)` with `p[y, x, c] = (37 y + 11 x + 5 (x y % 7) + 83 c) % 256` of 29 x 23.
    #[test]
    fn results_are_those_of_pillow() {
        let from = Size::new(29, 23);
        let value = |at: usize| {
            let (c, x, y) = (at % 3, at / 3 % 29, at / 3 / 29);
            ((37 * y + 11 * x + 5 * (x * y % 7) + 83 * c) % 256) as u8
        };
        let pixels: Vec<u8> = (0..3 * from.area()).map(value).collect();
        for (size, filter, expected) in PILLOW {
            let found = resize(&pixels, from, Size::new(size[0], size[1]), filter);
            assert_eq!(sha256(&found)[..16], *expected, "{size:?} {filter:?}");
        }
    }

    #[test]
    fn a_picture_of_its_size_and_one_of_one_colour_stay() {
        let pixels: Vec<u8> = (0..3 * 12).collect();
        let size = Size::new(4, 3);
        assert_eq!(resize(&pixels, size, size, Filter::Bicubic), pixels);
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let plain = [9, 200, 255].repeat(4 * 3);
            assert_eq!(
                resize(&plain, size, Size::new(7, 2), filter),
                [9, 200, 255].repeat(14)
            );
        }
    }

    const PILLOW: [([usize; 2], Filter, &str); 12] = [
        ([58, 46], Filter::Bilinear, "22bbf34f9c31540b"),
        ([58, 46], Filter::Bicubic, "32b6f196bce9ef11"),
        ([13, 9], Filter::Bilinear, "68010519764ef37d"),
        ([13, 9], Filter::Bicubic, "a517bd7e3829465e"),
        ([29, 40], Filter::Bilinear, "4aceb54b645d5668"),
        ([29, 40], Filter::Bicubic, "84ca69a2a7fb32cf"),
        ([10, 23], Filter::Bilinear, "3c644b1c73d672fe"),
        ([10, 23], Filter::Bicubic, "f8fdda5ba1759791"),
        ([224, 224], Filter::Bilinear, "4ce0a26e8cc7ba0b"),
        ([224, 224], Filter::Bicubic, "b660dbd329e4e10c"),
        ([1, 1], Filter::Bilinear, "841e627ac8c95049"),
        ([1, 1], Filter::Bicubic, "5331b209e9645044"),
    ];
}
