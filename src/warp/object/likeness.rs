//! How much the pixels of a region look like its surroundings.

use rayon::prelude::*;

use super::super::fill::{Fill, fill};
use super::{Pixel, mask};
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::Raster;

/// Limit of sampled surrounding pixels.
const SAMPLES: usize = 800;
/// A colour belongs to the surroundings when this many samples have it.
const SUPPORT: usize = 3;
/// Added difference for a sample that is as far away as the picture is wide, as a share of the range.
const DISTANCE: f32 = 10.0 / 255.0;
/// Smallest tolerance, as a share of the range: rounding, and compression that is not seen.
const LEAST_TOLERANCE: f32 = 5.0 / 255.0;
/// Share of the surrounding pixels that their own tolerance covers.
const COVERED: f64 = 0.95;

/// What the pixels of a region look like.
pub(super) struct Likeness {
    /// Pixels whose colour is found in the surroundings close by, or is what the surroundings continue to here.
    pub like: Mask,
    /// Pixels whose colour is what the surroundings continue to here.
    pub continued: Mask,
    /// Difference up to which pixels are alike, as a share of the range.
    pub tolerance: f32,
}

/// Compares the pixels inside `limit` with those outside it.
pub(super) fn likeness(picture: &Raster, limit: &Mask, foreign: &Mask) -> Likeness {
    let size = picture.size();
    let smooth = fill(picture, limit, foreign, Fill::Smooth);
    let patches = fill(picture, limit, foreign, Fill::Patches);
    let noise = 3.0 * noise(picture, limit);
    let close = LEAST_TOLERANCE.max(noise);
    let continued = (0..size.area()).map(|index| {
        let pixel = picture.pixels()[index];
        !limit.data[index]
            || difference(pixel, smooth.pixels()[index]) < close
            || around(size, index, 1)
                .any(|other| difference(pixel, patches.pixels()[other]) < close)
    });
    let continued = mask(size, continued.collect());
    let samples = Samples::new(picture, limit, foreign);
    let tolerance = LEAST_TOLERANCE.max(noise).max(samples.spread(picture));
    let like = (0..size.area()).into_par_iter().map(|index| {
        !limit.data[index]
            || continued.data[index]
            || samples.difference(picture, index, 0.0) < tolerance
    });
    Likeness {
        like: mask(size, like.collect()),
        continued,
        tolerance,
    }
}

/// Pixels of the surroundings.
struct Samples {
    size: Size,
    indices: Vec<usize>,
}

impl Samples {
    fn new(picture: &Raster, limit: &Mask, foreign: &Mask) -> Self {
        let all: Vec<usize> = (0..limit.data.len())
            .filter(|index| !limit.data[*index] && !foreign.data[*index])
            .collect();
        let stride = all.len().div_ceil(SAMPLES).max(1);
        // A stride that shares a factor with the width would sample single columns.
        let offset = |number: usize| (number * stride + number * 7919 % stride).min(all.len() - 1);
        let count = all.len().div_ceil(stride);
        Self {
            size: picture.size(),
            indices: (0..count).map(|number| all[offset(number)]).collect(),
        }
    }

    /// Returns the difference between a pixel and the colours of the samples at least `apart` pixels away from it; close ones count more.
    fn difference(&self, picture: &Raster, index: usize, apart: f32) -> f32 {
        let side = self.size.width.max(self.size.height) as f32;
        let position = |index: usize| {
            (
                (index % self.size.width) as f32,
                (index / self.size.width) as f32,
            )
        };
        let (x, y) = position(index);
        let mut nearest = [f32::INFINITY; SUPPORT];
        for sample in &self.indices {
            let (sample_x, sample_y) = position(*sample);
            let distance = (x - sample_x).hypot(y - sample_y);
            if distance < apart {
                continue;
            }
            let colour = difference(picture.pixels()[index], picture.pixels()[*sample]);
            let mut value = colour + DISTANCE * distance / side;
            for kept in &mut nearest {
                if value < *kept {
                    std::mem::swap(kept, &mut value);
                }
            }
        }
        nearest[SUPPORT - 1]
    }

    /// Returns the difference that most samples have to the others.
    fn spread(&self, picture: &Raster) -> f32 {
        let mut differences: Vec<f32> = (self.indices.iter())
            .map(|index| self.difference(picture, *index, 4.0))
            .collect();
        if differences.is_empty() {
            return 0.0;
        }
        let at = ((differences.len() - 1) as f64 * COVERED) as usize;
        let value = *differences.select_nth_unstable_by(at, f32::total_cmp).1;
        if value.is_finite() { value } else { 0.0 }
    }
}

/// Returns the median difference of pixels outside the limit to the mean of their neighbours along both diagonals.
fn noise(picture: &Raster, limit: &Mask) -> f32 {
    let size = picture.size();
    let inner = |index: &usize| {
        let (row, column) = (index / size.width, index % size.width);
        !limit.data[*index]
            && row > 0
            && column > 0
            && row + 1 < size.height
            && column + 1 < size.width
    };
    let pixels = picture.pixels();
    let mut values: Vec<f32> = (0..size.area())
        .filter(inner)
        .map(|index| {
            let corners = [
                index - size.width - 1,
                index - size.width + 1,
                index + size.width - 1,
                index + size.width + 1,
            ];
            let mean = std::array::from_fn(|channel| {
                corners
                    .iter()
                    .map(|corner| pixels[*corner][channel])
                    .sum::<f32>()
                    / 4.0
            });
            difference(pixels[index], mean)
        })
        .collect();
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Returns the largest difference of a channel.
pub(super) fn difference(a: Pixel, b: Pixel) -> f32 {
    (0..3).fold(0.0, |largest, channel| {
        (a[channel] - b[channel]).abs().max(largest)
    })
}

/// Returns the pixels within a square of `2 * reach + 1`.
pub(super) fn around(size: Size, index: usize, reach: usize) -> impl Iterator<Item = usize> {
    let range = |at: usize, length: usize| at.saturating_sub(reach)..(at + reach + 1).min(length);
    let columns = range(index % size.width, size.width);
    range(index / size.width, size.height)
        .flat_map(move |row| columns.clone().map(move |column| row * size.width + column))
}
