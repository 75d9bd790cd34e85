//! A decoded picture as CLIP sees it: in 0..1, clamped, and pooled to CLIP's size.
//!
//! The pool is an average over cells, which are of unequal size where CLIP's side does not divide the picture's: cell i of n covers the pixels
//! from floor(i s / n) to ceil((i + 1) s / n) of a side s, as in PyTorch's `adaptive_avg_pool2d`. A picture smaller than CLIP's size is enlarged
//! by the same rule.

use std::ops::Range;

/// The way from a decoded picture to CLIP's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipView {
    /// Height and width of the decoded picture, with its padding.
    pub padded: [usize; 2],
    /// Height and width of its content, at the top left. CLIP does not see the padding.
    pub content: [usize; 2],
    /// Width and height of CLIP's pictures.
    pub side: usize,
}

/// Returns the pixels of cell `index` of `cells` on a side of `size` pixels.
fn cell(index: usize, size: usize, cells: usize) -> Range<usize> {
    index * size / cells..((index + 1) * size).div_ceil(cells)
}

/// Returns `range` as a half open range of values of three channels.
fn channels(range: Range<usize>) -> Range<usize> {
    3 * range.start..3 * range.end
}

impl ClipView {
    /// Decoded values (padded height, padded width, 3), about -1..1, to pixels (side, side, 3) in 0..1.
    ///
    /// # Panics
    /// When the picture does not have the view's size.
    pub fn pixels(&self, decoded: &[f32]) -> Vec<f32> {
        let [_, stride] = self.padded;
        let [height, width] = self.content;
        assert_eq!(
            decoded.len(),
            3 * self.padded.iter().product::<usize>(),
            "the picture has the view's size"
        );
        let mut pixels = Vec::with_capacity(3 * self.side * self.side);
        let mut sums = vec![0.0; 3 * width];
        for row in 0..self.side {
            let rows = cell(row, height, self.side);
            sums.fill(0.0);
            for y in rows.clone() {
                let line = &decoded[channels(y * stride..y * stride + width)];
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum += (0.5 * value + 0.5).clamp(0.0, 1.0);
                }
            }
            for column in 0..self.side {
                let columns = cell(column, width, self.side);
                let share = 1.0 / (rows.len() * columns.len()) as f32;
                let mut total = [0.0; 3];
                for values in sums[channels(columns)].chunks_exact(3) {
                    for (total, value) in total.iter_mut().zip(values) {
                        *total += value;
                    }
                }
                pixels.extend(total.map(|total: f32| share * total));
            }
        }
        pixels
    }

    /// Returns the gradient with respect to the decoded values, from that with respect to the pixels. It is 0 where a value is clamped, and in
    /// the padding.
    ///
    /// # Panics
    /// As [`ClipView::pixels`].
    pub fn backward(&self, decoded: &[f32], d_pixels: &[f32]) -> Vec<f32> {
        let [_, stride] = self.padded;
        let [height, width] = self.content;
        assert_eq!(
            decoded.len(),
            3 * self.padded.iter().product::<usize>(),
            "the picture has the view's size"
        );
        let mut gradient = vec![0.0; decoded.len()];
        let mut spread = vec![0.0; 3 * width];
        for (row, d_row) in d_pixels.chunks_exact(3 * self.side).enumerate() {
            let rows = cell(row, height, self.side);
            spread.fill(0.0);
            for (column, d) in d_row.chunks_exact(3).enumerate() {
                let columns = cell(column, width, self.side);
                // The derivative of value / 2 + 1 / 2 is 1 / 2.
                let share = 0.5 / (rows.len() * columns.len()) as f32;
                for values in spread[channels(columns)].chunks_exact_mut(3) {
                    for (value, d) in values.iter_mut().zip(d) {
                        *value += share * d;
                    }
                }
            }
            for y in rows {
                let line = channels(y * stride..y * stride + width);
                for (gradient, d) in gradient[line].iter_mut().zip(&spread) {
                    *gradient += d;
                }
            }
        }
        for (gradient, value) in gradient.iter_mut().zip(decoded) {
            if value.abs() > 1.0 {
                *gradient = 0.0;
            }
        }
        gradient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize) -> Vec<f32> {
        (0..len).map(|at| 0.9 * (1.7 * at as f32).sin()).collect()
    }

    #[test]
    fn cells_cover_a_side_and_may_share_pixels() {
        let cells = |size, count| -> Vec<Range<usize>> {
            (0..count).map(|index| cell(index, size, count)).collect()
        };
        assert_eq!(cells(6, 3), [0..2, 2..4, 4..6]);
        assert_eq!(cells(5, 3), [0..2, 1..4, 3..5]);
        assert_eq!(cells(2, 4), [0..1, 0..1, 1..2, 1..2], "an enlargement");
    }

    #[test]
    fn a_picture_of_one_colour_keeps_it_and_padding_is_not_seen() {
        let view = ClipView {
            padded: [16, 24],
            content: [13, 19],
            side: 7,
        };
        let inside = |at: usize| at / 3 / 24 < 13 && at / 3 % 24 < 19;
        let decoded: Vec<f32> = (0..16 * 24 * 3)
            .map(|at| {
                if inside(at) {
                    [0.5, -0.5, 1.5][at % 3]
                } else {
                    -1.0
                }
            })
            .collect();
        for pixel in view.pixels(&decoded).chunks_exact(3) {
            for (value, expected) in pixel.iter().zip([0.75, 0.25, 1.0]) {
                assert!((value - expected).abs() < 1e-6, "{value}, not {expected}");
            }
        }
        let gradient = view.backward(&decoded, &[1.0; 7 * 7 * 3]);
        for (at, gradient) in gradient.iter().enumerate() {
            let is_seen = inside(at) && at % 3 != 2;
            assert_eq!(*gradient > 0.0, is_seen, "at {at}: {gradient}");
        }
    }

    /// The pool is linear where nothing is clamped: <w, pool(x + v) - pool(x)> = <gradient, v>.
    #[test]
    fn the_gradient_is_the_adjoint_of_the_pool() {
        for (content, side) in [([13, 19], 7), ([8, 16], 4), ([5, 6], 8)] {
            let view = ClipView {
                padded: [16, 24],
                content,
                side,
            };
            let decoded = wave(16 * 24 * 3);
            let w: Vec<f32> = wave(side * side * 3).iter().map(|x| x + 0.3).collect();
            let moved: Vec<f32> = decoded.iter().map(|x| 0.8 * x).collect();
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
            };
            let change: Vec<f32> = decoded.iter().map(|x| -0.2 * x).collect();
            let expected = dot(&view.backward(&decoded, &w), &change);
            let found = dot(&view.pixels(&moved), &w) - dot(&view.pixels(&decoded), &w);
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs().max(0.1),
                "{content:?} to {side}: {found}, not {expected}"
            );
        }
    }
}
