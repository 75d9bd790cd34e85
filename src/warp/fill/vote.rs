//! What the matches of all patches that cover a pixel show there.

use std::ops::Range;

use super::field::Field;
use super::level::{Level, REACH, Wide};

/// Weight of a vote whatever the match: a pixel without a good match gets the mean.
const LEAST_WEIGHT: f32 = 1e-12;

/// The votes of a level's matches.
pub(super) struct Votes<'a> {
    pub level: &'a Level,
    pub field: &'a Field,
    /// Weight of the patch around every pixel.
    pub certainty: &'a [f32],
    /// The larger, the more the best matches count.
    pub sharpness: f32,
}

impl Votes<'_> {
    /// Returns the colour of an unknown pixel.
    pub(super) fn colour(&self, index: usize) -> Wide {
        let (columns, rows) = self.level.patch(index);
        self.mean(index, columns, rows, |from| self.level.pixels[from])
    }

    /// Returns the difference between the pixel to the right and a pixel. One of both is unknown.
    pub(super) fn step_right(&self, index: usize) -> Wide {
        let (columns, rows) = self.level.patch(index);
        let columns = columns.start.max(1 - REACH as isize)..columns.end;
        self.mean(index, columns, rows, |from| self.step(from, from + 1))
    }

    /// Returns the difference between the pixel below and a pixel. One of both is unknown.
    pub(super) fn step_down(&self, index: usize) -> Wide {
        let (columns, rows) = self.level.patch(index);
        let rows = rows.start.max(1 - REACH as isize)..rows.end;
        self.mean(index, columns, rows, |from| {
            self.step(from, from + self.level.size.width)
        })
    }

    fn step(&self, from: usize, to: usize) -> Wide {
        let (a, b) = (self.level.pixels[from], self.level.pixels[to]);
        std::array::from_fn(|channel| b[channel] - a[channel])
    }

    /// Returns the weighted mean over the patches around the pixels in a rectangle beside `index`.
    fn mean(
        &self,
        index: usize,
        columns: Range<isize>,
        rows: Range<isize>,
        value: impl Fn(usize) -> Wide,
    ) -> Wide {
        let width = self.level.size.width as isize;
        let (mut sum, mut weights) = ([0.0; 4], 0.0);
        for y in rows {
            for x in columns.clone() {
                let centre = (index as isize + y * width + x) as usize;
                let distance = self.field.distances[centre];
                if distance.is_finite() {
                    let from = self.field.matches[centre] as isize - y * width - x;
                    let value = value(from as usize);
                    let similarity = (-self.sharpness * distance).exp();
                    let weight = self.certainty[centre] * similarity + LEAST_WEIGHT;
                    weights += weight;
                    (0..4).for_each(|channel| sum[channel] += weight * value[channel]);
                }
            }
        }
        sum.map(|sum| sum / weights)
    }
}
