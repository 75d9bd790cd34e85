//! Pairs of points at a progress of the drag: where a region then is, and where its content comes from.

use crate::geometry::{Frame, Point, Size};
use crate::kernels::BilinearPoint;
use crate::region::Region;

/// The pairs of one region: grid cells that it covers at progress eta, and the exact points that they come from
/// (Pi of DragNeXt, with sources between cells instead of rounded to cells).
#[derive(Debug, Clone, PartialEq)]
pub struct Correspondence {
    /// Centres of the covered cells of the supervision grid, in working pixels.
    pub edited: Vec<Point>,
    /// Where the content of each cell comes from, in working pixels of the original.
    pub original: Vec<Point>,
}

impl Correspondence {
    /// Returns the pairs of `region` at progress `eta`. Cells whose source lies outside the picture are left out.
    pub fn new(region: &Region, eta: f64, frame: &Frame) -> Self {
        let grid = frame.supervision_grid();
        let edited: Vec<Point> = region
            .covered_cells(eta, &grid)
            .into_iter()
            .map(|cell| grid.centre(cell))
            .collect();
        let original = edited
            .iter()
            .map(|point| region.source_of(eta, *point))
            .collect();
        Self { edited, original }
    }

    /// Returns the pairs of a picture in which `region` has been moved already: each cell that it covers at progress `eta` comes from itself.
    pub fn in_place(region: &Region, eta: f64, frame: &Frame) -> Self {
        let Self { edited, .. } = Self::new(region, eta, frame);
        Self {
            original: edited.clone(),
            edited,
        }
    }

    /// Returns whether the region covers no cell.
    pub fn is_empty(&self) -> bool {
        self.edited.is_empty()
    }
}

/// Returns bilinear points of a feature map of size `map` that covers the working picture (half-pixel centres, clamped at the border).
pub fn on_map(points: &[Point], picture: Size, map: Size) -> Vec<BilinearPoint> {
    let axis = |position: f64, length: usize, cells: usize| {
        let at = (position * cells as f64 / length as f64 - 0.5).clamp(0.0, (cells - 1) as f64);
        let low = (at as usize).min(cells.saturating_sub(2));
        (low, (low + 1).min(cells - 1), (at - low as f64) as f32)
    };
    let point = |point: &Point| {
        let (left, right, x) = axis(point.x, picture.width, map.width);
        let (top, bottom, y) = axis(point.y, picture.height, map.height);
        let pixel = |row: usize, column: usize| (row * map.width + column) as u32;
        BilinearPoint {
            pixels: [
                pixel(top, left),
                pixel(top, right),
                pixel(bottom, left),
                pixel(bottom, right),
            ],
            weights: [(1.0 - y) * (1.0 - x), (1.0 - y) * x, y * (1.0 - x), y * x],
        }
    };
    points.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cells_centre_reads_that_cell_alone() {
        let points = on_map(
            &[Point::new(20.0, 12.0), Point::new(64.0, 0.0)],
            Size::new(64, 32),
            Size::new(8, 4),
        );
        let strongest = |point: &BilinearPoint| {
            (0..4)
                .filter(|i| point.weights[*i] > 0.999)
                .map(|i| point.pixels[i])
                .collect::<Vec<_>>()
        };
        assert_eq!(strongest(&points[0]), [8 + 2], "row 1, column 2");
        assert_eq!(
            strongest(&points[1]),
            [7],
            "the corner is clamped to the last cell of the first row"
        );
    }
}
