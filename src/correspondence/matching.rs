//! The most similar pixel between two feature maps that are enlarged to the size of their pictures.
//!
//! A similarity is the cosine between two features after the enlargement, as in the published scripts, which store 1280 channels for every pixel:
//! 1.3 GB for a picture of 512 x 512. Here no enlarged map is stored. An enlarged feature is a weighted sum of at most four cells, so that its products
//! with another feature and with itself are sums of products of cells:
//! `<s, sum w_i f_i> = sum w_i <s, f_i>`, and `|sum w_i f_i|^2 = sum w_i w_j <f_i, f_j>`.
//! Both are exact. Beside the two maps, memory is that of [`Matcher::bytes`]: a few numbers for each cell.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::geometry::Size;

/// The smallest length of a feature in a cosine, as PyTorch's `CosineSimilarity`.
const SHORTEST: f64 = 1e-8;

/// Features of a picture on a coarse grid, row by row: (height, width, channels).
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMap {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<f32>,
}

impl FeatureMap {
    /// Creates a map from its values (height, width, channels).
    ///
    /// # Panics
    /// When their number is not that of the sizes, or there is none.
    pub fn new([height, width, channels]: [usize; 3], values: Vec<f32>) -> Self {
        assert_eq!(values.len(), height * width * channels, "a value for each");
        assert!(!values.is_empty(), "a map has cells");
        Self {
            height,
            width,
            channels,
            values,
        }
    }

    /// Returns the values (height, width, channels).
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns height, width and channels.
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    fn cells(&self) -> usize {
        self.height * self.width
    }

    /// Returns the feature of a cell.
    fn cell(&self, index: usize) -> &[f32] {
        &self.values[index * self.channels..][..self.channels]
    }
}

/// How a feature map is enlarged to the size of its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enlargement {
    /// Between cells, with the outermost ones repeated (half-pixel centres, PyTorch's `align_corners=False`).
    Bilinear,
    /// The cell at floor(index * cells / pixels), computed in f32: PyTorch's `nearest`.
    Nearest,
}

/// The cells of one direction that a pixel lies between, and the weight of the second.
#[derive(Debug, Clone, Copy)]
struct Between {
    cells: [usize; 2],
    weight: f64,
}

impl Enlargement {
    /// Returns the cells of pixel `index` of `pixels`.
    fn between(self, index: usize, pixels: usize, cells: usize) -> Between {
        if self == Self::Nearest {
            let cell = nearest(index, pixels, cells);
            return Between {
                cells: [cell; 2],
                weight: 0.0,
            };
        }
        let centre = (index as f64 + 0.5) * (cells as f64 / pixels as f64) - 0.5;
        let place = centre.max(0.0);
        let first = (place as usize).min(cells - 1);
        let second = (first + 1).min(cells - 1);
        Between {
            cells: [first, second],
            // The same cell twice is that cell, without rounding.
            weight: if first == second {
                0.0
            } else {
                place - first as f64
            },
        }
    }
}

/// Returns the index among `from` that is read for `index` among `to`, as PyTorch's `nearest` chooses it.
pub(super) fn nearest(index: usize, to: usize, from: usize) -> usize {
    let place = index as f32 * (from as f32 / to as f32);
    (place as usize).min(from - 1)
}

/// Products of the features of a cell with itself and with its neighbours.
#[derive(Debug, Clone, Copy, Default)]
struct Products {
    own: f64,
    right: f64,
    below: f64,
    below_right: f64,
    /// Of the right neighbour with the one below.
    across: f64,
}

/// The feature map of an edited picture, ready to be searched.
#[derive(Debug)]
pub struct Matcher<'a> {
    map: &'a FeatureMap,
    size: Size,
    enlargement: Enlargement,
    products: Vec<Products>,
    columns: Vec<Between>,
}

/// The best pixel of a row so far.
type Best = Option<(f64, [usize; 2])>;

impl<'a> Matcher<'a> {
    /// Prepares a map that is enlarged to `size`.
    pub fn new(map: &'a FeatureMap, size: Size, enlargement: Enlargement) -> Self {
        let (height, width) = (map.height, map.width);
        let products = |index: usize| {
            let (row, column) = (index / width, index % width);
            let right = row * width + (column + 1).min(width - 1);
            let below = (row + 1).min(height - 1) * width + column;
            let below_right = (row + 1).min(height - 1) * width + (column + 1).min(width - 1);
            let own = map.cell(index);
            Products {
                own: dot(own, own),
                right: dot(own, map.cell(right)),
                below: dot(own, map.cell(below)),
                below_right: dot(own, map.cell(below_right)),
                across: dot(map.cell(right), map.cell(below)),
            }
        };
        Self {
            map,
            size,
            enlargement,
            products: (0..map.cells()).into_par_iter().map(products).collect(),
            columns: (0..size.width)
                .map(|x| enlargement.between(x, size.width, width))
                .collect(),
        }
    }

    /// Returns the bytes that a search allocates beside the maps, at most: for a map of these cells with these channels and a picture of this width.
    pub fn bytes([height, width, channels]: [usize; 3], picture_width: usize) -> usize {
        let cell = size_of::<Products>() + size_of::<f64>();
        height * width * cell + channels * size_of::<f32>() + picture_width * size_of::<Between>()
    }

    /// Returns the pixel [row, column] whose feature is most similar to that of the pixel `of` of another picture of the same size, among those
    /// that `is_candidate` accepts; the first in reading order where several are. `None` when there is no candidate, or no similarity is a number.
    ///
    /// # Panics
    /// When the maps have different sizes, or `of` lies outside the picture.
    pub fn best(
        &self,
        source: &FeatureMap,
        of: [usize; 2],
        is_candidate: impl Fn([usize; 2]) -> bool + Sync,
    ) -> Option<[usize; 2]> {
        assert_eq!(source.shape(), self.map.shape(), "maps of the same size");
        let feature = self.feature(source, of);
        let similar: Vec<f64> = (0..self.map.cells())
            .into_par_iter()
            .map(|cell| dot(&feature, self.map.cell(cell)))
            .collect();
        let row = |y: usize| -> Best {
            let rows = self.row(y);
            let of_row = |best: Best, x: usize| {
                if !is_candidate([y, x]) {
                    return best;
                }
                let cosine = self.cosine(&similar, rows, self.columns[x]);
                better(best, Some((cosine, [y, x])))
            };
            (0..self.size.width).fold(None, of_row)
        };
        let rows = (0..self.size.height).into_par_iter().map(row);
        let best = rows.reduce(|| None, better);
        best.map(|(_, pixel)| pixel)
    }

    fn row(&self, y: usize) -> Between {
        self.enlargement
            .between(y, self.size.height, self.map.height)
    }

    /// Returns the enlarged feature of a pixel.
    fn feature(&self, map: &FeatureMap, [y, x]: [usize; 2]) -> Vec<f32> {
        assert!(
            y < self.size.height && x < self.size.width,
            "a pixel of the picture"
        );
        let (rows, columns) = (self.row(y), self.columns[x]);
        let corner = |row: usize, column: usize| {
            map.cell(rows.cells[row] * map.width + columns.cells[column])
        };
        let corners = [corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1)];
        let weights = weights(rows, columns);
        let value = |channel: usize| {
            let parts = corners.iter().zip(weights);
            let sum: f64 = parts.map(|(c, w)| w * f64::from(c[channel])).sum();
            sum as f32
        };
        (0..map.channels).map(value).collect()
    }

    /// Returns the cosine up to the length of the other feature, given the products of that feature with every cell.
    fn cosine(&self, similar: &[f64], rows: Between, columns: Between) -> f64 {
        let at =
            |row: usize, column: usize| rows.cells[row] * self.map.width + columns.cells[column];
        let cells = [at(0, 0), at(0, 1), at(1, 0), at(1, 1)];
        let w = weights(rows, columns);
        let product: f64 = cells
            .iter()
            .zip(w)
            .map(|(cell, w)| w * similar[*cell])
            .sum();
        let of = |cell: usize| &self.products[cell];
        let [a, b, c, _] = cells;
        // Where a cell is its own neighbour, its products with the neighbour are those with itself.
        let own: f64 = cells
            .iter()
            .zip(w)
            .map(|(cell, w)| w * w * of(*cell).own)
            .sum();
        let others = w[0] * w[1] * of(a).right
            + w[2] * w[3] * of(c).right
            + w[0] * w[2] * of(a).below
            + w[1] * w[3] * of(b).below
            + w[0] * w[3] * of(a).below_right
            + w[1] * w[2] * of(a).across;
        product / (own + 2.0 * others).max(0.0).sqrt().max(SHORTEST)
    }
}

/// Returns the better of two pixels: the more similar one, else the first. A similarity that is no number is none.
fn better(first: Best, second: Best) -> Best {
    let valid = |best: Best| best.filter(|(cosine, _)| !cosine.is_nan());
    match (valid(first), valid(second)) {
        (Some(a), Some(b)) if b.0.total_cmp(&a.0) == Ordering::Greater => Some(b),
        (a, b) => a.or(b),
    }
}

/// Returns the weights of the four cells: first row, then second row.
fn weights(rows: Between, columns: Between) -> [f64; 4] {
    let (y, x) = (rows.weight, columns.weight);
    [(1.0 - y) * (1.0 - x), (1.0 - y) * x, y * (1.0 - x), y * x]
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // Eight sums, which the compiler keeps in one register.
    let mut sums = [0.0_f64; 8];
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = left
        .remainder()
        .iter()
        .zip(right.remainder())
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum();
    for (a, b) in left.zip(right) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(height: usize, width: usize, seed: f64) -> FeatureMap {
        let value = |at: usize| ((at as f64 * 1.7 + seed).sin() * 43.7).sin() as f32;
        let values = (0..height * width * 11).map(value).collect();
        FeatureMap::new([height, width, 11], values)
    }

    /// The enlarged feature, one channel after the other.
    fn enlarged(map: &FeatureMap, size: Size, how: Enlargement, [y, x]: [usize; 2]) -> Vec<f64> {
        let rows = how.between(y, size.height, map.height);
        let columns = how.between(x, size.width, map.width);
        let value = |row: usize, column: usize, channel: usize| {
            f64::from(map.cell(rows.cells[row] * map.width + columns.cells[column])[channel])
        };
        (0..map.channels)
            .map(|c| {
                let row = |row| {
                    value(row, 0, c) * (1.0 - columns.weight) + value(row, 1, c) * columns.weight
                };
                row(0) * (1.0 - rows.weight) + row(1) * rows.weight
            })
            .collect()
    }

    /// Against the definition: every pixel enlarged, and its cosine computed.
    #[test]
    fn similarities_are_those_after_the_enlargement() {
        let size = Size::new(23, 17);
        for (how, cells) in [
            (Enlargement::Bilinear, [5, 6]),
            (Enlargement::Nearest, [5, 6]),
            (Enlargement::Bilinear, [1, 4]),
            (Enlargement::Bilinear, [17, 30]),
        ] {
            let (source, edited) = (map(cells[0], cells[1], 0.3), map(cells[0], cells[1], 2.1));
            let matcher = Matcher::new(&edited, size, how);
            for of in [[0, 0], [16, 22], [9, 4]] {
                let feature = enlarged(&source, size, how, of);
                let cosine = |pixel| {
                    let other = enlarged(&edited, size, how, pixel);
                    let product: f64 = feature.iter().zip(&other).map(|(a, b)| a * b).sum();
                    product / other.iter().map(|x| x * x).sum::<f64>().sqrt()
                };
                for is_candidate in [|_: [usize; 2]| true, |[y, x]: [usize; 2]| x > 11 && y < 9] {
                    let pixels = (0..size.area()).map(|at| [at / 23, at % 23]);
                    let all = pixels.filter(|pixel| is_candidate(*pixel));
                    let largest = all.map(cosine).fold(f64::MIN, f64::max);
                    let found = matcher.best(&source, of, is_candidate).expect("candidates");
                    assert!(is_candidate(found));
                    assert!(
                        (cosine(found) - largest).abs() < 1e-7,
                        "{how:?} {of:?}: {found:?} has {}, the best {largest}",
                        cosine(found)
                    );
                }
            }
        }
    }

    #[test]
    fn a_pixel_of_the_same_picture_is_its_own_match() {
        let (size, map) = (Size::new(37, 29), map(6, 7, 0.9));
        let matcher = Matcher::new(&map, size, Enlargement::Bilinear);
        for of in [[14, 18], [10, 10], [22, 27]] {
            assert_eq!(matcher.best(&map, of, |_| true), Some(of));
        }
    }

    #[test]
    fn the_first_of_equal_pixels_counts_and_no_candidate_is_no_match() {
        let (size, map) = (Size::new(12, 12), map(3, 3, 0.9));
        let matcher = Matcher::new(&map, size, Enlargement::Nearest);
        assert_eq!(matcher.best(&map, [7, 6], |_| true), Some([4, 4]));
        assert_eq!(matcher.best(&map, [7, 6], |_| false), None);
        let broken = FeatureMap::new([3, 3, 11], vec![f32::NAN; 99]);
        assert_eq!(matcher.best(&broken, [7, 6], |_| true), None);
    }
}
