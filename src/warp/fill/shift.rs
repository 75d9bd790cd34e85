//! Translations that carry a picture's known part over its unknown part.
//!
//! Stripes, dots and horizons repeat: one translation continues them exactly, where patches alone find the period only by chance (statistics of
//! patch offsets, He and Sun 2012, in a simpler form). A translation is judged by how well the known pixels around the unknown ones
//! agree with what it puts there.

use rayon::prelude::*;

use super::field::Shift;
use super::level::{Level, Wide, near};

/// Translations that are kept.
const KEPT: usize = 8;
/// Kept translations differ by more than this along x or y, in pixels.
const APART: isize = 2;
/// Width in pixels of the ring that is compared.
const RING: usize = 4;
/// Limit of compared pixels.
const COMPARED: usize = 320;
/// Share of the unknown pixels, and of the ring, that a translation has known sources for.
const COVERAGE: f64 = 0.6;
/// Limit of a pixel's squared difference, so that a few pixels of another object do not decide.
const OUTLIER: f32 = 0.04;

/// Pixels by which translations are judged.
struct Judge<'a> {
    level: &'a Level,
    ring: Vec<usize>,
    holes: Vec<usize>,
}

impl<'a> Judge<'a> {
    fn new(level: &'a Level) -> Self {
        let near = near(level.size, &level.unknown, RING);
        let thinned = |is_in: &dyn Fn(usize) -> bool| {
            let all: Vec<usize> = (0..near.len()).filter(|index| is_in(*index)).collect();
            let stride = all.len().div_ceil(COMPARED).max(1);
            all.into_iter().step_by(stride).collect()
        };
        Self {
            ring: thinned(&|index| near[index] && !level.unknown[index]),
            holes: thinned(&|index| level.unknown[index]),
            level,
        }
    }

    /// Returns the mean squared difference along the ring; `None` when too little is covered.
    fn error(&self, shift: Shift) -> Option<f32> {
        let known = |index: usize| {
            shift
                .from(self.level.size, index)
                .filter(|from| !self.level.unknown[*from])
        };
        let covered = self
            .holes
            .iter()
            .filter(|index| known(**index).is_some())
            .count();
        if (covered as f64) < COVERAGE * self.holes.len() as f64 {
            return None;
        }
        let (mut sum, mut count) = (0.0, 0);
        for index in &self.ring {
            if let Some(from) = known(*index) {
                let (a, b) = (self.level.pixels[*index], self.level.pixels[from]);
                let square: f32 = (0..3).map(|c| (a[c] - b[c]) * (a[c] - b[c])).sum();
                sum += square.min(OUTLIER);
                count += 1;
            }
        }
        (f64::from(count) >= COVERAGE * self.ring.len() as f64 && count > 0)
            .then(|| sum / count as f32)
    }
}

/// Returns the best translations of a small level, the best first.
pub(super) fn best_shifts(level: &Level) -> Vec<Shift> {
    let judge = Judge::new(level);
    let (width, height) = (level.size.width as isize, level.size.height as isize);
    let rows: Vec<isize> = (1 - height..height).collect();
    let mut judged: Vec<(f32, Shift)> = (rows.par_iter())
        .flat_map_iter(|y| (1 - width..width).map(|x| Shift { x, y: *y }))
        .filter_map(|shift| judge.error(shift).map(|error| (error, shift)))
        .collect();
    judged.sort_by(|a, b| {
        a.0.total_cmp(&b.0)
            .then((a.1.y, a.1.x).cmp(&(b.1.y, b.1.x)))
    });
    let mut kept: Vec<Shift> = Vec::new();
    for (_, shift) in judged {
        let is_new =
            |other: &Shift| (other.x - shift.x).abs().max((other.y - shift.y).abs()) > APART;
        if kept.iter().all(is_new) {
            kept.push(shift);
        }
        if kept.len() == KEPT {
            break;
        }
    }
    kept
}

/// Returns the translations for the level of twice the size, each moved to the best of its neighbours.
pub(super) fn doubled_shifts(level: &Level, shifts: &[Shift]) -> Vec<Shift> {
    let judge = Judge::new(level);
    let doubled = |shift: &Shift| {
        let around = (-1..=1).flat_map(|y| (-1..=1).map(move |x| (x, y)));
        let candidates = around.map(|(x, y)| Shift {
            x: 2 * shift.x + x,
            y: 2 * shift.y + y,
        });
        let judged = candidates.filter_map(|shift| Some((judge.error(shift)?, shift)));
        judged
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, shift)| shift)
    };
    shifts.iter().filter_map(doubled).collect()
}

/// Returns the unknown pixels' colours from the first translation that has a known source for each.
pub(super) fn carried(level: &Level, shifts: &[Shift]) -> Vec<(usize, Wide)> {
    let from = |index: usize| {
        let sources = shifts
            .iter()
            .filter_map(|shift| shift.from(level.size, index));
        let mut known = sources.filter(|from| !level.unknown[*from]);
        known.next().map(|from| (index, level.pixels[from]))
    };
    (0..level.unknown.len())
        .filter(|index| level.unknown[*index])
        .filter_map(from)
        .collect()
}
