//! The latent warp (LWF of FastDrag, section 3.2): where the cells of the editable area go when points of it are dragged.

use crate::geometry::{Frame, Grid, Point, PointPair};
use crate::mask::Mask;
use crate::method::parts::cell_at;
use crate::region::Region;

/// A distance that keeps weights finite, in cells.
const NEAR: f64 = 1e-4;
/// A cell closer than this to a handle is at the handle, in cells.
const AT_HANDLE: f64 = 1e-6;

/// The drags of the regions' points on a grid of cells: a position is a cell's index along an axis, real between cells.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    grid: Grid,
    /// Cells that may move.
    inside: Vec<bool>,
    pairs: Vec<PointPair>,
    centre: Point,
    /// Radius of the circle around the bounding rectangle of the cells that may move.
    radius: f64,
}

impl Stretch {
    /// Drags the handles of `regions` to their targets. A cell may move when any of its pixels is editable.
    pub(super) fn new(regions: &[Region], editable: Option<&Mask>, frame: &Frame) -> Self {
        let grid = frame.latent_grid();
        let inside = match editable {
            None => vec![true; grid.len()],
            Some(editable) => touched(editable, &grid),
        };
        let position =
            |point: Point| Point::new(point.x / grid.cell - 0.5, point.y / grid.cell - 0.5);
        let pairs = regions.iter().map(|region| region.points.map(position));
        Self::on_grid(grid, inside, pairs.collect())
    }

    fn on_grid(grid: Grid, inside: Vec<bool>, pairs: Vec<PointPair>) -> Self {
        let cells = (0..grid.len()).filter(|cell| inside[*cell]);
        let none = (
            Point::new(f64::INFINITY, f64::INFINITY),
            Point::new(f64::NEG_INFINITY, f64::NEG_INFINITY),
        );
        let (low, high) = cells.fold(none, |(low, high), cell| {
            let at = position_of(cell, &grid);
            (
                Point::new(low.x.min(at.x), low.y.min(at.y)),
                Point::new(high.x.max(at.x), high.y.max(at.y)),
            )
        });
        Self {
            centre: Point::new(low.x.midpoint(high.x), low.y.midpoint(high.y)),
            radius: low.distance(high) / 2.0,
            grid,
            inside,
            pairs,
        }
    }

    /// Returns for each cell the cell whose content it has after the warp; `None` for cells that are left empty.
    ///
    /// Cells that may move go to the nearest cell of their goal, clamped to the grid. Of several that arrive in a cell, the first in
    /// raster order stays.
    pub(super) fn sources(&self) -> Vec<Option<usize>> {
        let (rows, columns) = (self.grid.rows, self.grid.columns);
        let own = |cell: usize| (!self.inside[cell]).then_some(cell);
        let mut sources: Vec<Option<usize>> = (0..self.grid.len()).map(own).collect();
        let mut is_taken = vec![false; self.grid.len()];
        for cell in (0..self.grid.len()).filter(|cell| self.inside[*cell]) {
            let (at, shift) = (position_of(cell, &self.grid), self.shift(cell));
            let nearest = |position: f64, count: usize| {
                (position.round_ties_even().max(0.0) as usize).min(count - 1)
            };
            let (column, row) = (
                nearest(at.x + shift.x, columns),
                nearest(at.y + shift.y, rows),
            );
            let goal = row * columns + column;
            if !is_taken[goal] {
                is_taken[goal] = true;
                sources[goal] = Some(cell);
            }
        }
        sources
    }

    /// Returns how far a cell moves: the mean of the drags, each as strong as the cell is near its handle, weighted by 1 / distance.
    fn shift(&self, cell: usize) -> Point {
        let at = position_of(cell, &self.grid);
        let (mut x, mut y, mut sum) = (0.0, 0.0, 0.0);
        for PointPair { handle, target } in &self.pairs {
            let weight = 1.0 / (at.distance(*handle) + NEAR);
            let strength = weight * self.strength(at, *handle);
            x += strength * (target.x - handle.x);
            y += strength * (target.y - handle.y);
            sum += weight;
        }
        Point::new(x / sum, y / sum)
    }

    /// Returns the share of a handle's drag by which a cell moves: 1 at the handle, falling evenly along the ray from the handle through the
    /// cell to 0 on the circle.
    fn strength(&self, at: Point, handle: Point) -> f64 {
        let distance = at.distance(handle);
        if distance < AT_HANDLE {
            return 1.0;
        }
        let (x, y) = ((at.x - handle.x) / distance, (at.y - handle.y) / distance);
        let from_centre = Point::new(handle.x - self.centre.x, handle.y - self.centre.y);
        let along = x * from_centre.x + y * from_centre.y;
        let chord = self.radius.powi(2) - handle.distance(self.centre).powi(2) + along.powi(2);
        // From the handle to where the ray leaves the circle. A handle outside the circle may have no such point.
        let reach = chord.max(0.0).sqrt() - along;
        (1.0 - distance / reach.max(AT_HANDLE)).clamp(0.0, 1.0)
    }
}

/// Returns whether the cell that holds a point, in working pixels, may move.
pub(super) fn may_move(point: Point, editable: &Mask, frame: &Frame) -> bool {
    let grid = frame.latent_grid();
    touched(editable, &grid)[cell_at(&grid, point)]
}

/// Returns the position of a cell.
fn position_of(cell: usize, grid: &Grid) -> Point {
    Point::new((cell % grid.columns) as f64, (cell / grid.columns) as f64)
}

/// Marks the cells of which the mask, at working size, has any pixel.
fn touched(mask: &Mask, grid: &Grid) -> Vec<bool> {
    let mut touched = vec![false; grid.len()];
    let cell = grid.cell as usize;
    for (pixel, _) in mask.data.iter().enumerate().filter(|(_, inside)| **inside) {
        let (row, column) = (pixel / mask.width / cell, pixel % mask.width / cell);
        touched[row * grid.columns + column] = true;
    }
    touched
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        columns: 16,
        rows: 12,
        cell: 8.0,
    };

    fn at(row: usize, column: usize) -> usize {
        16 * row + column
    }

    /// Drags one handle within rows 2 to 9 and columns 3 to 12, whose centre is (7.5, 5.5).
    fn stretch(handle: (f64, f64), target: (f64, f64)) -> Stretch {
        let inside = |cell: usize| (2..10).contains(&(cell / 16)) && (3..13).contains(&(cell % 16));
        let pair = PointPair {
            handle: Point::new(handle.0, handle.1),
            target: Point::new(target.0, target.1),
        };
        Stretch::on_grid(GRID, (0..GRID.len()).map(inside).collect(), vec![pair])
    }

    #[test]
    fn the_drag_is_whole_at_the_handle_and_fades_to_the_circle() {
        let stretch = stretch((6.0, 5.0), (9.0, 5.0));
        let handle = Point::new(6.0, 5.0);
        assert_eq!(stretch.strength(handle, handle), 1.0);
        let along =
            (0..6).map(|step| stretch.strength(Point::new(6.0 + f64::from(step), 5.0), handle));
        let along: Vec<f64> = along.collect();
        assert!(along.windows(2).all(|pair| pair[0] > pair[1]), "{along:?}");
        // The ray from the centre upwards leaves the circle at the radius.
        let centre = stretch.centre;
        let top = Point::new(centre.x, centre.y - stretch.radius);
        assert!(stretch.strength(top, centre).abs() < 1e-12);
        let middle = Point::new(centre.x, centre.y - stretch.radius / 2.0);
        assert!((stretch.strength(middle, centre) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_handles_cell_arrives_at_the_target_and_leaves_a_gap() {
        let sources = stretch((6.0, 5.0), (9.0, 7.0)).sources();
        assert_eq!(sources[at(7, 9)], Some(at(5, 6)));
        assert!(
            sources.contains(&None),
            "cells are drawn apart behind the handle"
        );
        // Cells that may not move keep their content, unless a cell arrives there.
        assert_eq!(sources[at(0, 0)], Some(at(0, 0)));
        assert_eq!(sources[at(11, 15)], Some(at(11, 15)));
    }

    #[test]
    fn without_a_drag_every_cell_stays() {
        let sources = stretch((6.0, 5.0), (6.0, 5.0)).sources();
        assert!(
            sources
                .iter()
                .enumerate()
                .all(|(cell, source)| *source == Some(cell))
        );
    }

    #[test]
    fn opposite_drags_cancel_halfway_between_their_handles() {
        let mut both = stretch((5.0, 5.5), (5.0, 3.5));
        both.pairs.push(PointPair {
            handle: Point::new(10.0, 5.5),
            target: Point::new(10.0, 7.5),
        });
        let shift = |row: usize, column: usize| both.shift(at(row, column)).y;
        assert!(shift(5, 5) < -1.0 && shift(5, 10) > 1.0);
        assert!(
            (shift(5, 7) + shift(6, 8)).abs() < 1e-9,
            "the drags mirror each other"
        );
    }

    #[test]
    fn a_handle_outside_the_circle_moves_cells_by_finite_amounts() {
        let stretch = stretch((-9.0, 5.0), (-6.0, 5.0));
        for cell in 0..GRID.len() {
            let shift = stretch.shift(cell);
            assert!(
                (0.0..=3.0).contains(&shift.x) && shift.y == 0.0,
                "{shift:?}"
            );
        }
    }

    #[test]
    fn a_cell_may_move_when_any_of_its_pixels_is_editable() {
        let size = crate::geometry::Size::new(128, 96);
        let mask = Mask::from_fn(size, |point| point.distance(Point::new(15.5, 7.5)) < 0.1);
        let touched = touched(&mask, &GRID);
        let cells: Vec<usize> = (0..GRID.len()).filter(|cell| touched[*cell]).collect();
        assert_eq!(cells, [at(0, 1)]);
    }
}
