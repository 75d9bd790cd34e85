//! Detail that the VAE loses, carried along at the picture's own resolution.
//!
//! With s what the VAE keeps of the warped picture w, an edit e becomes e + a (w - s). The weight a is the agreement of e and s: 1 where the
//! network left the warped picture as it was, 0 where it painted something else. An edit that is s itself becomes w.

use super::Warped;
use crate::geometry::{Frame, Point, Size};
use crate::picture::Raster;

/// Difference of a colour, on a scale of 0 to 1, at which the agreement has fallen to 1/e.
const TOLERANCE: f32 = 0.15;
/// Radius in working pixels of the square over which the largest difference is taken.
const LARGEST: usize = 1;
/// Radius in working pixels of the square over which these are averaged.
const MEAN: usize = 2;

/// Returns `edit` with the detail of the warped picture, at the size of the frame's window. `edit` and `seen`, what the VAE keeps of the warped
/// working picture, are (padded height, padded width, 3), 0 to 1. `share` scales the detail.
///
/// # Panics
/// If the number of elements does not fit the frame.
pub fn carry(edit: &[f32], seen: &[f32], warped: &Warped, frame: &Frame, share: f64) -> Raster {
    let agreement = agreement(edit, seen, frame.padded);
    let seen = Raster::of_working(seen, frame);
    let warped = warped.picture.raster(frame.window);
    let mut result = Raster::of_working(edit, frame);
    let corner = frame.window.corner();
    let pixels = result
        .pixels_mut()
        .iter_mut()
        .zip(seen.pixels().iter().zip(warped.pixels()));
    for ((pixel, (seen, warped)), centre) in pixels.zip(frame.window.size.centres()) {
        let point = frame.to_working(Point::new(centre.x + corner.x, centre.y + corner.y));
        let weight = share as f32 * agreement.bilinear(point)[0];
        for channel in 0..3 {
            pixel[channel] += weight * (warped[channel] - seen[channel]);
        }
    }
    result
}

/// Returns the agreement of two working pictures at each pixel, 0 to 1, in all three channels.
pub(crate) fn agreement(edit: &[f32], seen: &[f32], size: Size) -> Raster {
    let differences = edit
        .chunks_exact(3)
        .zip(seen.chunks_exact(3))
        .map(|(edit, seen)| {
            edit.iter()
                .zip(seen)
                .map(|(edit, seen)| (edit - seen).abs())
                .fold(0.0, f32::max)
        });
    let differences: Vec<f32> = differences.collect();
    let largest = over_squares(&differences, size, LARGEST, |values| {
        values.iter().copied().fold(0.0, f32::max)
    });
    let mean = over_squares(&largest, size, MEAN, |values| {
        values.iter().sum::<f32>() / values.len() as f32
    });
    let agreement = mean
        .iter()
        .map(|mean| [(-(mean / TOLERANCE).powi(2)).exp(); 3]);
    Raster::new(size, agreement.collect())
}

/// Reduces the values in a square around each pixel, cut off at the picture's border: first along rows, then along columns.
fn over_squares(
    values: &[f32],
    size: Size,
    radius: usize,
    reduce: impl Fn(&[f32]) -> f32,
) -> Vec<f32> {
    let Size { width, height } = size;
    let along = |lines: &[f32], length: usize| -> Vec<f32> {
        let reduced = |line: &[f32], at: usize| {
            reduce(&line[at.saturating_sub(radius)..(at + radius + 1).min(length)])
        };
        lines
            .chunks_exact(length)
            .flat_map(|line| (0..length).map(move |at| (line, at)))
            .map(|(line, at)| reduced(line, at))
            .collect()
    };
    let rows = along(values, width);
    let columns = along(&transposed(&rows, width), height);
    transposed(&columns, height)
}

/// Returns rows of this width as columns.
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width;
    (0..values.len())
        .map(|index| values[index % height * width + index / height])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(16, 8);

    fn working(value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..SIZE.area())
            .flat_map(|index| [value(index % 16, index / 16); 3])
            .collect()
    }

    #[test]
    fn equal_pictures_agree_everywhere() {
        let picture = working(|x, y| (x * y) as f32 / 128.0);
        let agreement = agreement(&picture, &picture, SIZE);
        assert!(agreement.pixels().iter().all(|pixel| pixel[0] == 1.0));
    }

    #[test]
    fn agreement_is_lost_around_a_difference_and_nowhere_else() {
        let picture = working(|_, _| 0.5);
        let other = working(|x, y| if (x, y) == (3, 2) { 1.0 } else { 0.5 });
        let agreement = agreement(&other, &picture, SIZE);
        for (index, pixel) in agreement.pixels().iter().enumerate() {
            let (x, y) = (index % 16, index / 16);
            let is_near = x.abs_diff(3) <= LARGEST + MEAN && y.abs_diff(2) <= LARGEST + MEAN;
            assert_eq!(pixel[0] < 1.0, is_near, "({x}, {y})");
        }
        // Nine of the twenty-five differences around it are 0.5.
        let expected = (-(0.5_f32 * 9.0 / 25.0 / TOLERANCE).powi(2)).exp();
        assert!((agreement.pixels()[2 * 16 + 3][0] - expected).abs() < 1e-5);
    }

    #[test]
    fn squares_are_cut_off_at_the_border() {
        let sums = over_squares(&[1.0; 12], Size::new(4, 3), 1, |values| values.iter().sum());
        assert_eq!(
            sums,
            [4.0, 6.0, 6.0, 4.0, 6.0, 9.0, 9.0, 6.0, 4.0, 6.0, 6.0, 4.0]
        );
    }
}
