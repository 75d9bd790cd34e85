//! Latent cells under points and regions.

use crate::geometry::{Frame, Grid, Point};
use crate::mask::Mask;
use crate::region::Region;

/// Returns the cell that holds a point; points beyond the border belong to the nearest cell.
pub(in crate::method) fn cell_at(grid: &Grid, point: Point) -> usize {
    let along =
        |position: f64, cells: usize| ((position / grid.cell).max(0.0) as usize).min(cells - 1);
    along(point.y, grid.rows) * grid.columns + along(point.x, grid.columns)
}

/// Marks the latent cells of which a region covers any pixel at progress `eta`.
pub(super) fn touched(regions: &[&Region], eta: f64, frame: &Frame) -> Vec<bool> {
    let (cells, pixels) = (
        frame.latent_grid(),
        Grid {
            columns: frame.padded.width,
            rows: frame.padded.height,
            cell: 1.0,
        },
    );
    let mut touched = vec![false; cells.len()];
    for region in regions {
        for pixel in region.covered_cells(eta, &pixels) {
            touched[cell_at(&cells, pixels.centre(pixel))] = true;
        }
    }
    touched
}

/// Marks the latent cells that a region covers before or after the drag, and those within `ring` cells of them.
pub(super) fn around(regions: &[Region], ring: usize, frame: &Frame) -> Mask {
    let all: Vec<&Region> = regions.iter().collect();
    let (before, after) = (touched(&all, 0.0, frame), touched(&all, 1.0, frame));
    let grid = frame.latent_grid();
    let reached = Mask {
        width: grid.columns,
        height: grid.rows,
        data: before
            .iter()
            .zip(&after)
            .map(|(before, after)| *before || *after)
            .collect(),
    };
    reached.dilated(ring)
}
