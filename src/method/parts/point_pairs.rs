//! Handles and targets on the supervision grid, for methods that drag points.

use super::Taps;
use super::cells::cell_at;
use crate::geometry::{Frame, Grid, Point};
use crate::method::{Misfit, Subject};
use crate::region::Region;

/// Distance in cells from its target at which a point has arrived (DragDiffusion, `GoodDrag` and `CLIPDrag`, released code).
const ARRIVED: f64 = 2.0;

/// A cell of the supervision grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// From the top, 0 the first.
    pub row: usize,
    /// From the left, 0 the first.
    pub column: usize,
}

impl Cell {
    /// Returns the cell whose centre is nearest to a working point. Half-way between two it is the even one; beyond the grid, the last one.
    pub fn nearest(point: Point, grid: &Grid) -> Self {
        let along = |position: f64, cells: usize| {
            let cell = (position / grid.cell - 0.5).round_ties_even().max(0.0);
            (cell as usize).min(cells.saturating_sub(1))
        };
        Self {
            row: along(point.y, grid.rows),
            column: along(point.x, grid.columns),
        }
    }

    /// Returns its centre in working pixels.
    pub fn centre(self, grid: &Grid) -> Point {
        grid.centre(self.row * grid.columns + self.column)
    }

    /// Returns rows and columns from here to another cell.
    pub fn to(self, other: Self) -> [f64; 2] {
        [
            other.row as f64 - self.row as f64,
            other.column as f64 - self.column as f64,
        ]
    }

    /// Returns the square of the distance to another cell, in cells.
    pub fn squared_distance(self, other: Self) -> f64 {
        self.to(other).iter().map(|side| side * side).sum()
    }
}

/// A point that should move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointDrag {
    /// The region's `id`.
    pub id: String,
    /// Where it is.
    pub handle: Cell,
    /// Where it should go.
    pub target: Cell,
}

impl PointDrag {
    /// Returns the points of regions: handle and target of each.
    pub fn of_regions(regions: &[Region], frame: &Frame) -> Vec<Self> {
        let grid = frame.supervision_grid();
        let drag = |region: &Region| Self {
            id: region.id.clone(),
            handle: Cell::nearest(region.points.handle, &grid),
            target: Cell::nearest(region.points.target, &grid),
        };
        regions.iter().map(drag).collect()
    }

    /// Returns the taps that the model lacks, and the regions whose point lies in a latent cell that is held, so that nothing could
    /// move there.
    pub fn misfits(taps: &Taps, subject: &Subject) -> Vec<Misfit> {
        let mut misfits = taps.misfits(subject);
        let grid = subject.frame.latent_grid();
        let is_held = |region: &&Region| {
            let cell = cell_at(&grid, region.points.handle);
            subject
                .editable
                .is_some_and(|editable| !editable.at(grid.first_pixel(cell)))
        };
        let misfit = |region: &Region| Misfit::Region {
            id: region.id.clone(),
            key: "/handle",
            message: "the handle lies where the picture may not change, so it cannot be dragged"
                .into(),
            hint: "enlarge `editable` until it contains the handle and its way to the target"
                .into(),
        };
        misfits.extend(subject.regions.iter().filter(is_held).map(misfit));
        misfits
    }

    /// Returns whether a region does not move, or its point has arrived before it is dragged.
    pub fn is_still(region: &Region, frame: &Frame) -> bool {
        let grid = frame.supervision_grid();
        let cell = |point| Cell::nearest(point, &grid);
        let (handle, target) = (cell(region.points.handle), cell(region.points.target));
        region.is_still() || handle.squared_distance(target) < ARRIVED * ARRIVED
    }

    /// Returns whether the point, now at `cell`, has arrived: it is nearer than two cells to its target.
    pub fn has_arrived(&self, cell: Cell) -> bool {
        cell.squared_distance(self.target) < ARRIVED * ARRIVED
    }

    /// Returns whether all points have arrived.
    pub fn have_arrived(drags: &[Self], points: &[Cell]) -> bool {
        let mut pairs = drags.iter().zip(points);
        pairs.all(|(drag, point)| drag.has_arrived(*point))
    }

    /// Returns the handles.
    pub fn handles(drags: &[Self]) -> Vec<Cell> {
        drags.iter().map(|drag| drag.handle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        columns: 10,
        rows: 6,
        cell: 2.0,
    };

    #[test]
    fn a_point_belongs_to_the_nearest_centre() {
        for ((x, y), (column, row)) in [
            ((5.0, 3.0), (2, 1)),
            ((5.9, 2.1), (2, 1)),
            ((4.0, 6.0), (2, 2)),
            ((0.0, 0.0), (0, 0)),
            ((20.0, 12.0), (9, 5)),
        ] {
            let cell = Cell::nearest(Point::new(x, y), &GRID);
            assert_eq!((cell.column, cell.row), (column, row), "({x}, {y})");
        }
        let cell = Cell { row: 3, column: 7 };
        assert_eq!(Cell::nearest(cell.centre(&GRID), &GRID), cell);
    }

    #[test]
    fn a_point_arrives_within_two_cells() {
        let drag = PointDrag {
            id: String::new(),
            handle: Cell { row: 0, column: 0 },
            target: Cell { row: 4, column: 4 },
        };
        let at = |row, column| drag.has_arrived(Cell { row, column });
        assert!(at(4, 4) && at(3, 3) && at(5, 5));
        assert!(!at(4, 2) && !at(0, 0));
    }
}
