//! DAI of GoodDrag (arXiv 2404.07206, section 5): how much the patch around each target resembles the original's patch around its handle.

use crate::error::Result;
use crate::geometry::{Point, PointPair, Size};
use crate::interrupt::Interrupt;
use crate::picture::{Channel, Picture};

use super::case::Case;
use super::metric::{Better, Figure, MeanOver, Metric, Reading};

/// Radii of the patches, in pixels.
const RADII: [usize; 4] = [1, 5, 10, 20];

/// DAI with radii of 1, 5, 10 and 20 pixels, each with the division of the paper and with that of the released script.
///
/// For handles p and targets q, DAI(r) = 1/n sum |patch(original, p) - patch(edit, q)|² / (2 r + 1)², where RGB is 0 to 1 and the squares are
/// summed over pixels and channels. Patches are clipped to the picture, the same for both, and divided by the clipped area; neither the paper
/// nor the script says what happens at borders. The released script divides by n twice (`DAI(r)/n`).
#[derive(Debug)]
pub(crate) struct Dai {
    figures: Vec<Figure>,
}

impl Dai {
    /// Creates the metric.
    pub(crate) fn new() -> Self {
        let figure = |name: String, meaning| Figure {
            name,
            meaning,
            better: Better::Lower,
            mean_over: MeanOver::Edits,
            weights: None,
            digits: 4,
        };
        let figures = RADII.iter().flat_map(|radius| {
            [
                figure(
                    format!("DAI({radius})"),
                    "squared difference between the patch around each target in the edit and the one around its handle in the original, 0 for content that arrived unchanged to 3 (GoodDrag's paper)",
                ),
                figure(
                    format!("DAI({radius})/n"),
                    "DAI divided by the number of points once more, as GoodDrag's script does",
                ),
            ]
        });
        Self {
            figures: figures.collect(),
        }
    }
}

impl Metric for Dai {
    fn figures(&self) -> &[Figure] {
        &self.figures
    }

    fn measure(&mut self, case: &Case, _: &Interrupt) -> Result<Vec<Reading>> {
        let size = case.original.size();
        let pairs = &case.areas.pairs;
        if pairs.is_empty() {
            let reading = Reading::Undefined("the drag has no points".into());
            return Ok(vec![reading; self.figures.len()]);
        }
        let pictures = [planes(case.original), planes(case.edited)];
        let readings = RADII.iter().flat_map(|radius| {
            let samples: Vec<f64> = pairs
                .iter()
                .map(|pair| patch_difference(&pictures, size, *pair, *radius))
                .collect();
            let divided = samples
                .iter()
                .map(|sample| sample / samples.len() as f64)
                .collect();
            [Reading::Samples(samples), Reading::Samples(divided)]
        });
        Ok(readings.collect())
    }
}

type Planes = [Vec<u16>; 3];

fn planes(picture: &Picture) -> Planes {
    [Channel::Red, Channel::Green, Channel::Blue].map(|channel| picture.plane(channel))
}

/// Returns |patch(original, handle) - patch(edit, target)|² divided by the patch's area.
fn patch_difference(
    [original, edited]: &[Planes; 2],
    size: Size,
    PointPair { handle, target }: PointPair,
    radius: usize,
) -> f64 {
    let (from, to) = (pixel(handle, size), pixel(target, size));
    // Offsets at which both patches lie in the picture.
    let offsets = |axis: usize, length: usize| {
        let least = from[axis].min(to[axis]).min(radius) as isize;
        let most = (length - 1 - from[axis].max(to[axis])).min(radius) as isize;
        -least..=most
    };
    let (mut sum, mut count) = (0.0, 0_usize);
    for dy in offsets(1, size.height) {
        for dx in offsets(0, size.width) {
            let place = |[x, y]: [usize; 2]| {
                y.saturating_add_signed(dy) * size.width + x.saturating_add_signed(dx)
            };
            for (original, edited) in original.iter().zip(edited) {
                let difference =
                    (f64::from(original[place(from)]) - f64::from(edited[place(to)])) / 65_535.0;
                sum += difference * difference;
            }
            count += 1;
        }
    }
    sum / count as f64
}

/// Returns column and row of the pixel under a point; the nearest one for a point outside the picture.
fn pixel(point: Point, size: Size) -> [usize; 2] {
    [
        (point.x.max(0.0) as usize).min(size.width - 1),
        (point.y.max(0.0) as usize).min(size.height - 1),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SIZE: Size = Size::new(97, 80);

    /// Returns the pictures of `tests/peer/eval_fixtures.py`.
    fn picture(edit: bool) -> Picture {
        let values = (0..SIZE.area() * 3).map(|place| {
            let (x, y, c) = (place / 3 % SIZE.width, place / 3 / SIZE.width, place % 3);
            let change = if edit { (x * y / 7 + c * 11) % 36 } else { 0 };
            ((x * 5 + y * 3 + c * 60) % 200 + 20 + change) as u8
        });
        Picture::from_rgb(SIZE, values.collect())
    }

    /// `tests/peer/eval_fixtures.py` computes these numbers with numpy; two of the pairs are at the border.
    #[test]
    fn patches_are_compared_as_numpy_does() {
        let text = include_bytes!("../../tests/fixtures/eval/expected.json");
        let expected: Value = serde_json::from_slice(text).expect("numbers");
        let pictures = [planes(&picture(false)), planes(&picture(true))];
        let centre = |[x, y]: [usize; 2]| Point::new(x as f64 + 0.5, y as f64 + 0.5);
        let pairs = [[[20, 30], [50, 41]], [[3, 2], [90, 75]], [[96, 0], [96, 0]]];
        for radius in RADII {
            for (index, [handle, target]) in pairs.into_iter().enumerate() {
                let pair = PointPair {
                    handle: centre(handle),
                    target: centre(target),
                };
                let found = patch_difference(&pictures, SIZE, pair, radius);
                let expected = expected["dai"][radius.to_string()][index]
                    .as_f64()
                    .expect("a number");
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{radius} {index}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn points_on_the_far_edge_belong_to_the_last_pixel() {
        assert_eq!(pixel(Point::new(97.0, 80.0), SIZE), [96, 79]);
        assert_eq!(pixel(Point::new(0.0, 79.99), SIZE), [0, 79]);
    }
}
