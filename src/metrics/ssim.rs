//! Structural similarity (Wang, Bovik, Sheikh and Simoncelli, 2004), equation 13, with the weights and constants of the paper's section
//! III.C: a Gaussian window of 11 x 11 with a standard deviation of 1.5, K1 = 0.01 and K2 = 0.03, variances without Bessel's correction.
//!
//! The similarity of colour pictures is the mean over the channels. Only pixels whose whole window lies in the picture are averaged, so that
//! no padding is needed. `structural_similarity` of scikit-image computes the same with `gaussian_weights=True, sigma=1.5,
//! use_sample_covariance=False`.

use rayon::prelude::*;

use crate::geometry::Size;

/// Side of the window.
const WINDOW: usize = 11;
/// Pixels of the window to each side of its centre.
pub(crate) const RADIUS: usize = WINDOW / 2;
/// Standard deviation of the window's weights.
const SIGMA: f64 = 1.5;
/// (K1 L)², for samples of 0 to L = 1.
const C1: f64 = 0.01 * 0.01;
/// (K2 L)².
const C2: f64 = 0.03 * 0.03;

/// A sum of similarities, and its number of pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct SimilaritySum {
    sum: f64,
    pixels: usize,
}

impl SimilaritySum {
    /// Returns the mean; `None` without pixels.
    pub(crate) fn mean(self) -> Option<f64> {
        (self.pixels > 0).then(|| self.sum / self.pixels as f64)
    }

    /// Returns the sum of both.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            pixels: self.pixels + other.pixels,
        }
    }
}

/// Returns the sums of the similarity of two channels of 16-bit levels (height, width) over the N parts of a picture; `part` says which part a
/// pixel belongs to. The result does not depend on the number of threads.
///
/// # Panics
/// When a channel does not have `size`, or a part is not below N.
pub(crate) fn sums<const N: usize>(
    size: Size,
    x: &[u16],
    y: &[u16],
    part: impl Fn(usize) -> usize + Sync,
) -> [SimilaritySum; N] {
    assert!(
        x.len() == size.area() && y.len() == size.area(),
        "one sample for each pixel"
    );
    if size.width < WINDOW || size.height < WINDOW {
        return [SimilaritySum::default(); N];
    }
    let weights = weights();
    let rows = (RADIUS..size.height - RADIUS).into_par_iter().map(|row| {
        let mut sums = [SimilaritySum::default(); N];
        for (column, similarity) in similarities(size.width, row, x, y, &weights)
            .into_iter()
            .enumerate()
        {
            let part = part(row * size.width + RADIUS + column);
            sums[part] = sums[part].plus(SimilaritySum {
                sum: similarity,
                pixels: 1,
            });
        }
        sums
    });
    // Rows are added in order, for reproducible rounding.
    let rows: Vec<[SimilaritySum; N]> = rows.collect();
    rows.into_iter()
        .fold([SimilaritySum::default(); N], |all, row| {
            std::array::from_fn(|part| all[part].plus(row[part]))
        })
}

/// Returns the weights of the window along one axis; the window is their outer product.
fn weights() -> [f64; WINDOW] {
    let weight = |place: usize| (-0.5 * ((place as f64 - RADIUS as f64) / SIGMA).powi(2)).exp();
    let weights: [f64; WINDOW] = std::array::from_fn(weight);
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

/// Returns the similarity around each pixel of a row that has a whole window.
fn similarities(
    width: usize,
    row: usize,
    x: &[u16],
    y: &[u16],
    weights: &[f64; WINDOW],
) -> Vec<f64> {
    // (width, 5): the weighted means of x, y, x², y² and xy over the window's height.
    let mut columns = vec![[0.0; 5]; width];
    for (line, weight) in (row - RADIUS..).zip(weights) {
        let place = line * width..(line + 1) * width;
        for (column, (x, y)) in columns
            .iter_mut()
            .zip(x[place.clone()].iter().zip(&y[place]))
        {
            let [x, y] = [x, y].map(|level| f64::from(*level) / f64::from(u16::MAX));
            for (mean, value) in column.iter_mut().zip([x, y, x * x, y * y, x * y]) {
                *mean += weight * value;
            }
        }
    }
    let around = |window: &[[f64; 5]]| {
        let mut means = [0.0; 5];
        for (column, weight) in window.iter().zip(weights) {
            for (mean, value) in means.iter_mut().zip(column) {
                *mean += weight * value;
            }
        }
        similarity(means)
    };
    columns.windows(WINDOW).map(around).collect()
}

/// Computes equation 13 of the paper from the weighted means of x, y, x², y² and xy.
fn similarity([x, y, xx, yy, xy]: [f64; 5]) -> f64 {
    let (variance_x, variance_y, covariance) = (xx - x * x, yy - y * y, xy - x * y);
    (2.0 * x * y + C1) * (2.0 * covariance + C2)
        / ((x * x + y * y + C1) * (variance_x + variance_y + C2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(17, 14);

    /// Returns two synthetic 8-bit channels, as tests/peer/similarity.py makes them.
    fn channels() -> [Vec<u16>; 2] {
        let x = |place: usize| (place * place * 7 + place * 31) % 256;
        let y = |place: usize| (x(place) * 3 + place * 5) / 4 % 256;
        [
            (0..SIZE.area())
                .map(|place| x(place) as u16 * 257)
                .collect(),
            (0..SIZE.area())
                .map(|place| y(place) as u16 * 257)
                .collect(),
        ]
    }

    /// tests/peer/similarity.py prints these numbers.
    #[test]
    fn similarity_equals_that_of_scikit_image() {
        let [x, y] = channels();
        let [left, right] = sums(SIZE, &x, &y, |pixel| usize::from(pixel % SIZE.width > 8));
        let close = |sum: SimilaritySum, expected: f64| {
            assert!(
                (sum.mean().expect("pixels") - expected).abs() < 1e-9,
                "{sum:?} {expected}"
            );
        };
        close(left.plus(right), ALL);
        close(left, LEFT);
        close(right, RIGHT);
    }
    const ALL: f64 = -0.258_431_036_102_686_8;
    const LEFT: f64 = -0.245_953_462_764_220_48;
    const RIGHT: f64 = -0.275_067_800_554_768_5;

    #[test]
    fn equal_channels_have_a_similarity_of_one() {
        let [x, _] = channels();
        let [all, none] = sums(SIZE, &x, &x, |_| 0);
        assert!((all.mean().expect("pixels") - 1.0).abs() < 1e-12);
        assert_eq!((all.pixels, none.mean()), (7 * 4, None));
    }

    #[test]
    fn a_picture_smaller_than_the_window_has_no_similarity() {
        assert_eq!(
            sums(Size::new(10, 20), &[0; 200], &[0; 200], |_| 1),
            [SimilaritySum::default(); 2]
        );
    }
}
