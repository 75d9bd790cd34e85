//! A point on the line from its handle to its target.

use crate::geometry::{Grid, Point};
use crate::method::parts::{Cell, Patch, PointDrag};

/// Places that a search compares.
const CANDIDATES: usize = 10;

/// A line on the supervision grid, and how far along it a point is, in cells. The point never leaves the line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    handle: Cell,
    /// Rows and columns of a step of one cell towards the target.
    towards: [f64; 2],
    length: f64,
    /// Cells from the handle, 0 to `length`.
    pub(super) at: f64,
}

impl Line {
    /// Starts at the handle.
    pub(super) fn new(drag: &PointDrag) -> Self {
        let [rows, columns] = drag.handle.to(drag.target);
        let length = rows.hypot(columns);
        let towards = if length > 0.0 {
            [rows / length, columns / length]
        } else {
            [0.0; 2]
        };
        Self {
            handle: drag.handle,
            towards,
            length,
            at: 0.0,
        }
    }

    /// Returns the cells to the target.
    pub(super) fn left(&self) -> f64 {
        self.length - self.at
    }

    /// Returns the places to search, at most `reach` cells ahead and not beyond the target, the nearest first.
    pub(super) fn ahead(&self, reach: f64) -> Vec<f64> {
        let range = reach.min(self.left());
        (1..=CANDIDATES)
            .map(|step| self.at + range * step as f64 / CANDIDATES as f64)
            .collect()
    }

    /// Returns the place a move of `reach` cells before, not before the handle. At the target a point has no move behind it.
    pub(super) fn back(&self, reach: f64) -> f64 {
        (self.at - reach.min(self.left())).max(0.0)
    }

    /// Returns the patch around a place.
    pub(super) fn patch(&self, at: f64, radius: usize, grid: &Grid) -> Patch {
        let shift = self.towards.map(|side| side * at);
        Patch::new(self.handle, radius, shift, grid)
    }

    /// Returns where the point is, in working pixels.
    pub(super) fn point(&self, grid: &Grid) -> Point {
        let Point { x, y } = self.handle.centre(grid);
        let [rows, columns] = self.towards.map(|side| side * self.at * grid.cell);
        Point::new(x + columns, y + rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line::new(&PointDrag {
            id: String::new(),
            handle: Cell { row: 4, column: 3 },
            target: Cell {
                row: 10,
                column: 11,
            },
        })
    }

    #[test]
    fn a_point_searches_ahead_and_not_beyond_its_target() {
        let mut line = line();
        assert_eq!(line.left(), 10.0);
        let ahead = line.ahead(5.0);
        assert_eq!((ahead.len(), ahead[0], ahead[9]), (10, 0.5, 5.0));
        line.at = 8.0;
        assert_eq!(line.ahead(5.0)[9], 10.0);
        line.at = 10.0;
        assert!(line.ahead(5.0).iter().all(|at| *at == 10.0));
    }

    #[test]
    fn a_point_goes_back_by_a_move_and_not_before_its_handle() {
        let mut line = line();
        line.at = 3.0;
        assert_eq!(line.back(5.0), 0.0);
        line.at = 5.0;
        assert_eq!(line.back(4.0), 1.0);
        line.at = 8.0;
        assert_eq!(line.back(5.0), 6.0, "as far as the target is ahead");
        line.at = 10.0;
        assert_eq!(line.back(5.0), 10.0);
    }

    #[test]
    fn places_lie_on_the_line() {
        let grid = Grid {
            columns: 20,
            rows: 16,
            cell: 2.0,
        };
        let mut line = line();
        assert_eq!(line.point(&grid), Point::new(7.0, 9.0));
        line.at = 5.0;
        assert_eq!(line.point(&grid), Point::new(15.0, 15.0));
        let patch = line.patch(5.0, 1, &grid);
        assert_eq!(
            patch,
            Patch::new(Cell { row: 7, column: 7 }, 1, [0.0; 2], &grid)
        );
    }
}
