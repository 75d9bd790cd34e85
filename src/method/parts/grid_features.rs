//! Decoder features seen from the supervision grid: every stage resized to it bilinearly, and read only at the cells that a loss needs.

use super::correspondence::on_map;
use super::point_pairs::Cell;
use crate::geometry::{Frame, Grid, Point, Size};
use crate::kernels::{Backend, BilinearPoint, Sum};
use crate::nn::{Shape, Tensor};

/// Feature maps of one latent, one for each compared decoder stage. Their channels count as one vector.
#[derive(Debug)]
pub struct GridFeatures<'a, B: Backend> {
    maps: &'a [Tensor<B>],
    picture: Size,
    grid: Grid,
}

#[expect(
    clippy::expl_impl_clone_on_copy,
    reason = "a derived Copy needs a backend that is Copy"
)]
impl<B: Backend> Clone for GridFeatures<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for GridFeatures<'_, B> {}

impl<'a, B: Backend> GridFeatures<'a, B> {
    /// Features (1, height, width, channels) of a picture that lies in the frame.
    pub fn new(maps: &'a [Tensor<B>], frame: &Frame) -> Self {
        Self {
            maps,
            picture: frame.padded,
            grid: frame.supervision_grid(),
        }
    }

    /// Returns the maps.
    pub fn maps(&self) -> &'a [Tensor<B>] {
        self.maps
    }

    /// Returns the number of channels of all stages.
    pub fn channels(&self) -> usize {
        self.maps.iter().map(|map| map.shape().channels).sum()
    }

    /// Returns the grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Returns where cells lie on a stage's map.
    pub fn points(&self, map: &Tensor<B>, cells: &[Cell]) -> B::Points {
        let centres: Vec<Point> = cells.iter().map(|cell| cell.centre(&self.grid)).collect();
        let size = Size::new(map.shape().width, map.shape().height);
        map.backend().points(on_map(&centres, self.picture, size))
    }

    /// Returns the features of cells on the host: for each stage, (cells, channels).
    pub fn to_host(&self, cells: &[Cell]) -> Vec<Vec<f32>> {
        let stage = |map: &Tensor<B>| {
            let points = self.points(map, cells);
            let backend = map.backend();
            backend.download(&backend.sample(map.shape().channels, map.buffer(), &points))
        };
        self.maps.iter().map(stage).collect()
    }

    /// Returns the features of a patch: for each stage, f32 (1, 1, values, channels).
    pub fn patch(&self, patch: &Patch) -> Vec<Tensor<B>> {
        let stage = |map: &Tensor<B>| {
            let (backend, channels) = (map.backend(), map.shape().channels);
            let cells = backend.sample(channels, map.buffer(), &self.points(map, &patch.cells));
            let values = backend.points(patch.values.clone());
            let read = backend.sample(channels, &cells, &values);
            let shape = Shape::new(1, 1, patch.values.len(), channels);
            Tensor::from_buffer(backend, shape, read)
        };
        self.maps.iter().map(stage).collect()
    }

    /// Returns scale * sum |patch - target| over values and channels for each stage, and adds its gradient to that of each stage's map.
    pub fn patch_l1(
        &self,
        patch: &Patch,
        target: &[Tensor<B>],
        scale: f32,
        gradients: &mut [Tensor<B>],
    ) -> Vec<Sum<B::Buffer>> {
        let mut sums = Vec::new();
        for ((map, target), gradient) in self.maps.iter().zip(target).zip(gradients) {
            let (backend, channels) = (map.backend(), map.shape().channels);
            let points = self.points(map, &patch.cells);
            let cells = backend.sample(channels, map.buffer(), &points);
            let values = backend.points(patch.values.clone());
            let mut d_cells = backend.zeros(patch.cells.len() * channels);
            let target = target.buffer();
            sums.push(backend.sampled_l1_sum(
                channels,
                &cells,
                &values,
                target,
                scale,
                &mut d_cells,
            ));
            backend.scatter(channels, &d_cells, &points, gradient.buffer_mut());
        }
        sums
    }
}

/// A square of features around a real point: the cells that it reads, and how each of its values is blended from four of them.
///
/// The fraction of the point is that of all values. Coordinates beyond the grid are clamped.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// A square of cells, row by row.
    pub cells: Vec<Cell>,
    /// Values, row by row, as points on a map whose pixels are `cells`.
    pub values: Vec<BilinearPoint>,
}

impl Patch {
    /// Returns the patch of (2 radius + 1) x (2 radius + 1) values around `center` shifted by rows and columns.
    pub fn new(center: Cell, radius: usize, [rows, columns]: [f64; 2], grid: &Grid) -> Self {
        let side = 2 * radius + 1;
        let along = |middle: usize, shift: f64, cells: usize| {
            let first = middle as f64 - radius as f64 + shift;
            let low = first.floor();
            let cell = |at: usize| (low + at as f64).clamp(0.0, (cells - 1) as f64) as usize;
            let cells: Vec<usize> = (0..=side).map(cell).collect();
            (cells, (first - low) as f32)
        };
        let (rows, down) = along(center.row, rows, grid.rows);
        let (columns, right) = along(center.column, columns, grid.columns);
        let cells = rows.iter().flat_map(|row| {
            let row = *row;
            columns.iter().map(move |column| Cell {
                row,
                column: *column,
            })
        });
        let value = |at: usize| {
            let first = (at / side * (side + 1) + at % side) as u32;
            let below = first + side as u32 + 1;
            BilinearPoint {
                pixels: [first, first + 1, below, below + 1],
                weights: [
                    (1.0 - down) * (1.0 - right),
                    (1.0 - down) * right,
                    down * (1.0 - right),
                    down * right,
                ],
            }
        };
        Self {
            cells: cells.collect(),
            values: (0..side * side).map(value).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Cpu;

    /// A picture of 24 x 16 pixels: a grid of 12 x 8 cells.
    fn frame() -> Frame {
        Frame::new(Size::new(24, 16), 16)
    }

    /// Returns the values of a patch of a map with one number per cell of the grid.
    fn values(patch: &Patch, grid: &Grid, at: impl Fn(Cell) -> f32) -> Vec<f32> {
        assert!(
            patch
                .cells
                .iter()
                .all(|cell| cell.row < grid.rows && cell.column < grid.columns)
        );
        let value = |point: &BilinearPoint| {
            (0..4)
                .map(|corner| {
                    point.weights[corner] * at(patch.cells[point.pixels[corner] as usize])
                })
                .sum()
        };
        patch.values.iter().map(value).collect()
    }

    #[test]
    fn a_patch_of_a_plane_is_the_plane_at_its_real_places() {
        let grid = frame().supervision_grid();
        let plane = |row: f64, column: f64| (3.0 * row - 2.0 * column) as f32;
        let patch = Patch::new(Cell { row: 3, column: 6 }, 2, [0.25, -0.75], &grid);
        let found = values(&patch, &grid, |cell| {
            plane(cell.row as f64, cell.column as f64)
        });
        assert_eq!(found.len(), 25);
        for (at, value) in found.iter().enumerate() {
            let (row, column) = ((at / 5) as f64 + 1.25, (at % 5) as f64 + 3.25);
            assert!((value - plane(row, column)).abs() < 1e-5, "value {at}");
        }
    }

    #[test]
    fn beyond_the_border_a_patch_repeats_the_last_cells() {
        let grid = frame().supervision_grid();
        let column = |cell: Cell| cell.column as f32;
        let patch = Patch::new(Cell { row: 0, column: 0 }, 1, [0.0, -0.5], &grid);
        let found = values(&patch, &grid, column);
        assert_eq!(found[..3], [0.0, 0.0, 0.5]);
        let patch = Patch::new(Cell { row: 7, column: 11 }, 1, [0.5, 3.0], &grid);
        assert_eq!(values(&patch, &grid, column), [11.0; 9]);
    }

    #[test]
    fn cells_read_every_stage_between_its_pixels() {
        let frame = frame();
        let map = |height, width| {
            let numbers = (0..height * width).map(|at| (at % width) as f32);
            Tensor::from_host(&Cpu, Shape::new(1, height, width, 1), numbers.collect())
        };
        let maps = [map(2, 3), map(8, 12)];
        let features = GridFeatures::new(&maps, &frame);
        let cells = [Cell { row: 1, column: 5 }, Cell { row: 0, column: 0 }];
        let found = features.to_host(&cells);
        // The centre of column 5 lies at 5.5 / 12 of the width: at 1.375 - 0.5 on three pixels.
        assert_eq!(found, [[0.875, 0.0], [5.0, 0.0]]);
        assert_eq!(features.channels(), 2);
    }
}
