//! The drag's points as squares of cells: on the feature grid, where the energies compare them, and in the latent, where their content is pasted.

use crate::diffusion::kept::CellContent;
use crate::geometry::{Frame, Grid, Point};
use crate::kernels::Backend;
use crate::method::parts::Cell;
use crate::nn::Tensor;
use crate::region::Region;

/// Cells of the feature grid for each cell of the latent, along a side.
const CELLS_PER_LATENT_CELL: usize = 2;

/// Returns the feature grid: twice as many cells along a side as the latent has.
pub(in crate::method) fn feature_grid(frame: &Frame) -> Grid {
    let latent = frame.latent_grid();
    Grid {
        columns: latent.columns * CELLS_PER_LATENT_CELL,
        rows: latent.rows * CELLS_PER_LATENT_CELL,
        cell: latent.cell / CELLS_PER_LATENT_CELL as f64,
    }
}

/// 3 x 3 cells of a grid, row by row.
pub(in crate::method) type Square = [usize; 9];

/// Returns the square around the cell whose centre is nearest to a working point, moved by one cell where it would cross the border. On a grid of
/// fewer than three cells along a side, cells repeat.
fn square(point: Point, grid: &Grid) -> Square {
    let center = Cell::nearest(point, grid);
    let along = |center: usize, cells: usize, offset: usize| {
        let center = center.min(cells.saturating_sub(2)).max(1);
        (center + offset - 1).min(cells - 1)
    };
    std::array::from_fn(|index| {
        let row = along(center.row, grid.rows, index / 3);
        row * grid.columns + along(center.column, grid.columns, index % 3)
    })
}

/// The squares of a point that should move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::method) struct MovedSquare {
    /// Around the handle.
    pub(in crate::method) handle: Square,
    /// Around the target.
    pub(in crate::method) target: Square,
}

impl MovedSquare {
    /// Returns the squares of a region's points on a grid.
    pub(in crate::method) fn new(region: &Region, grid: &Grid) -> Self {
        Self {
            handle: square(region.points.handle, grid),
            target: square(region.points.target, grid),
        }
    }

    /// Returns whether the square stays where it is.
    pub(in crate::method) fn is_still(&self) -> bool {
        self.handle == self.target
    }

    /// Returns the cells around the handle that the target's square does not cover.
    pub(in crate::method) fn vacated(&self) -> Vec<usize> {
        let is_vacated = |cell: &usize| !self.target.contains(cell);
        self.handle.into_iter().filter(is_vacated).collect()
    }
}

/// Returns the latent with the cells around every handle copied to its target, and what each cell then has. All cells come from the given
/// latent; where squares overlap at their targets, the last one counts.
pub(in crate::method) fn pasted<B: Backend>(
    latent: &Tensor<B>,
    regions: &[Region],
    frame: &Frame,
) -> (Tensor<B>, Vec<CellContent>) {
    let (grid, channels) = (frame.latent_grid(), latent.shape().channels);
    let mut sources: Vec<usize> = (0..grid.len()).collect();
    for region in regions {
        let MovedSquare { handle, target } = MovedSquare::new(region, &grid);
        for (source, cell) in handle.into_iter().zip(target) {
            sources[cell] = source;
        }
    }
    let original = latent.to_host();
    let moved = sources.iter().flat_map(|source| {
        let cell = source * channels..(source + 1) * channels;
        original[cell].iter().copied()
    });
    let moved = Tensor::from_host(latent.backend(), latent.shape(), moved.collect());
    (moved, sources.into_iter().map(CellContent::Of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    const GRID: Grid = Grid {
        columns: 6,
        rows: 4,
        cell: 4.0,
    };

    #[test]
    fn a_square_lies_around_its_point_and_inside_the_grid() {
        let at = |x, y| square(Point::new(x, y), &GRID);
        assert_eq!(at(10.0, 6.0), [1, 2, 3, 7, 8, 9, 13, 14, 15]);
        assert_eq!(at(0.0, 0.0), [0, 1, 2, 6, 7, 8, 12, 13, 14]);
        assert_eq!(at(24.0, 16.0), [9, 10, 11, 15, 16, 17, 21, 22, 23]);
        let low = Grid {
            rows: 1,
            columns: 2,
            ..GRID
        };
        assert_eq!(
            square(Point::new(5.0, 2.0), &low),
            [0, 1, 1, 0, 1, 1, 0, 1, 1]
        );
    }

    #[test]
    fn cells_that_the_target_covers_are_not_vacated() {
        let moved = MovedSquare {
            handle: square(Point::new(6.0, 6.0), &GRID),
            target: square(Point::new(10.0, 6.0), &GRID),
        };
        assert_eq!(moved.vacated(), [0, 6, 12]);
        assert!(!moved.is_still());
    }

    #[test]
    fn the_feature_grid_has_twice_the_latents_cells() {
        let frame = Frame::new(Size::new(24, 16), 16);
        let grid = feature_grid(&frame);
        assert_eq!((grid.columns, grid.rows, grid.cell), (6, 4, 4.0));
    }
}
