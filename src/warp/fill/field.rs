//! For every patch with unknown pixels, the most similar patch without any (`PatchMatch`, Barnes et al. 2009).
//!
//! A search step tries the neighbours' matches, moved along, a few whole-picture shifts, and random places that get closer. All pixels
//! are updated from the previous step's field, so that the result does not depend on the number of threads.

use rayon::prelude::*;

use super::level::{Level, Wide};
use crate::geometry::Size;

/// The match of every target of a level, and its distance.
#[derive(Clone)]
pub(super) struct Field {
    /// Index of the matching patch's centre, per pixel; meaningless for pixels that are no targets.
    pub matches: Vec<u32>,
    /// Sum of squared differences per compared pixel.
    pub distances: Vec<f32>,
}

/// A translation in pixels, from a target to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    pub x: isize,
    pub y: isize,
}

impl Shift {
    /// Returns the pixel at this shift from another; `None` beyond the picture.
    pub(super) fn from(self, size: Size, index: usize) -> Option<usize> {
        let column = (index % size.width) as isize + self.x;
        let row = (index / size.width) as isize + self.y;
        let is_inside =
            (0..size.width as isize).contains(&column) && (0..size.height as isize).contains(&row);
        is_inside.then(|| row as usize * size.width + column as usize)
    }
}

impl Field {
    /// Returns a field of pseudo-random matches.
    pub(super) fn random(level: &Level, seed: u64) -> Self {
        let sources: Vec<u32> = (0..level.is_source.len())
            .filter(|index| level.is_source[*index])
            .map(|index| index as u32)
            .collect();
        let mut matches = vec![0; level.pixels.len()];
        for target in &level.targets {
            let random = hash(seed ^ ((*target as u64) << 8));
            matches[*target] = sources[(random % sources.len() as u64) as usize];
        }
        Self {
            distances: vec![f32::INFINITY; matches.len()],
            matches,
        }
    }

    /// Returns the field for the level of twice the size, with distances still to be measured.
    pub(super) fn doubled(&self, from: &Level, to: &Level) -> Self {
        let mut matches = vec![0; to.pixels.len()];
        for target in &to.targets {
            let (row, column) = (target / to.size.width, target % to.size.width);
            let matched = self.matches[row / 2 * from.size.width + column / 2] as usize;
            let (match_row, match_column) = (matched / from.size.width, matched % from.size.width);
            matches[*target] =
                ((2 * match_row + row % 2) * to.size.width + 2 * match_column + column % 2) as u32;
        }
        Self {
            distances: vec![f32::INFINITY; matches.len()],
            matches,
        }
    }

    /// Measures the distances again, after the level's pixels have changed.
    pub(super) fn measure(&mut self, level: &Level) {
        let measured: Vec<f32> = (level.targets.par_iter())
            .map(|target| {
                distance(
                    level,
                    *target,
                    self.matches[*target] as usize,
                    f32::INFINITY,
                )
            })
            .collect();
        for (target, distance) in level.targets.iter().zip(measured) {
            self.distances[*target] = distance;
        }
    }

    /// Improves every match once.
    pub(super) fn improve(&mut self, level: &Level, shifts: &[Shift], step: usize, seed: u64) {
        let improved: Vec<(u32, f32)> = (level.targets.par_iter())
            .map(|target| self.improved(level, *target, shifts, step, seed))
            .collect();
        for (target, (matched, distance)) in level.targets.iter().zip(improved) {
            self.matches[*target] = matched;
            self.distances[*target] = distance;
        }
    }

    fn improved(
        &self,
        level: &Level,
        target: usize,
        shifts: &[Shift],
        step: usize,
        seed: u64,
    ) -> (u32, f32) {
        let size = level.size;
        let mut best = (self.matches[target], self.distances[target]);
        let mut consider = |candidate: Option<usize>| {
            let Some(candidate) = candidate.filter(|candidate| level.is_source[*candidate]) else {
                return best.0;
            };
            if candidate as u32 != best.0 {
                let distance = distance(level, target, candidate, best.1);
                if distance < best.1 {
                    best = (candidate as u32, distance);
                }
            }
            best.0
        };
        let step = step as isize;
        for (x, y) in [(-step, 0), (step, 0), (0, -step), (0, step)] {
            let neighbour = Shift { x, y }.from(size, target);
            // Only targets have matches.
            let neighbour = neighbour.filter(|index| self.distances[*index].is_finite());
            consider(
                neighbour.and_then(|index| {
                    Shift { x: -x, y: -y }.from(size, self.matches[index] as usize)
                }),
            );
        }
        for shift in shifts {
            consider(shift.from(size, target));
        }
        let mut radius = size.width.max(size.height) as u64;
        let mut random = hash(seed ^ ((target as u64) << 8));
        while radius >= 1 {
            random = hash(random);
            let offset = |bits: u64| (bits % (2 * radius + 1)) as isize - radius as isize;
            let around = consider(None) as usize;
            let shift = Shift {
                x: offset(random & 0xffff_ffff),
                y: offset(random >> 32),
            };
            consider(shift.from(size, around));
            radius /= 2;
        }
        best
    }

    /// Returns the mean distance of all matches.
    pub(super) fn energy(&self, level: &Level) -> f32 {
        let sum: f64 = level
            .targets
            .iter()
            .map(|target| f64::from(self.distances[*target]))
            .sum();
        (sum / level.targets.len().max(1) as f64) as f32
    }

    /// Returns the distance below which a share of the matches lies.
    pub(super) fn quantile(&self, level: &Level, share: f64) -> f32 {
        let mut sorted: Vec<f32> = level
            .targets
            .iter()
            .map(|target| self.distances[*target])
            .collect();
        if sorted.is_empty() {
            return 0.0;
        }
        let at = ((sorted.len() - 1) as f64 * share) as usize;
        *sorted.select_nth_unstable_by(at, f32::total_cmp).1
    }
}

/// Returns the mean of the squared differences between two patches, as far as the target's lies in the picture; anything from `limit` on
/// when it is not below.
fn distance(level: &Level, target: usize, source: usize, limit: f32) -> f32 {
    let (columns, rows) = level.patch(target);
    let width = level.size.width as isize;
    let count = (columns.len() * rows.len()) as f32;
    let limit = limit * count;
    let mut sums: [Wide; 2] = [[0.0; 4]; 2];
    let mut total = 0.0;
    for row in rows {
        let from = |index: usize| {
            let start = index as isize + row * width + columns.start;
            &level.pixels[start as usize..start as usize + columns.len()]
        };
        for (index, (a, b)) in from(target).iter().zip(from(source)).enumerate() {
            let sum = &mut sums[index % 2];
            for channel in 0..4 {
                let difference = a[channel] - b[channel];
                sum[channel] += difference * difference;
            }
        }
        total = (0..4)
            .map(|channel| sums[0][channel] + sums[1][channel])
            .sum();
        if total >= limit {
            break;
        }
    }
    total / count
}

/// Mixes the bits of a number (`SplitMix64`, Steele et al. 2014).
fn hash(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
