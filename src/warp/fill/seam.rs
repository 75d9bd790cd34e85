//! Small steps between patches, and between patches and known pixels, are evened out in the gradient domain.

use rayon::prelude::*;

use super::field::Field;
use super::level::Level;
use super::membrane::poisson;
use super::vote::Votes;

/// Size of the steps that are evened out, as a share of the range. Much larger ones are taken for edges.
const STEP: f32 = 10.0 / 255.0;

/// Returns what has to be added to the unknown pixels so that their differences from each other, and from the known pixels beside them,
/// come close to those within the matching patches.
pub(super) fn seams(level: &Level, field: &Field, certainty: &[f32]) -> Vec<[f32; 3]> {
    let votes = Votes {
        level,
        field,
        certainty,
        sharpness: 0.0,
    };
    let width = level.size.width;
    let is_pair = |index: usize, other: usize| level.unknown[index] || level.unknown[other];
    // What each pair's difference lacks, for the pixel to the right and the one below.
    let lacking = |index: usize| {
        let lacking = |other: usize, wanted: [f32; 4]| -> [f32; 3] {
            std::array::from_fn(|channel| {
                let step = level.pixels[other][channel] - level.pixels[index][channel];
                let lacking = wanted[channel] - step;
                lacking / (1.0 + (lacking / STEP).powi(2)).powi(2)
            })
        };
        let has_right = index % width + 1 < width && is_pair(index, index + 1);
        let has_below = index + width < level.pixels.len() && is_pair(index, index + width);
        [
            has_right.then(|| lacking(index + 1, votes.step_right(index))),
            has_below.then(|| lacking(index + width, votes.step_down(index))),
        ]
    };
    let pairs: Vec<_> = (0..level.pixels.len())
        .into_par_iter()
        .map(lacking)
        .collect();
    let mut differences = vec![[0.0; 3]; level.pixels.len()];
    for (index, [right, below]) in pairs.into_iter().enumerate() {
        for (lacking, other) in [(right, index + 1), (below, index + width)] {
            if let Some(lacking) = lacking {
                for channel in 0..3 {
                    differences[index][channel] -= lacking[channel];
                    differences[other][channel] += lacking[channel];
                }
            }
        }
    }
    for (difference, unknown) in differences.iter_mut().zip(&level.unknown) {
        if !unknown {
            *difference = [0.0; 3];
        }
    }
    poisson(level.size, &level.unknown, &differences)
}
