//! Point tracking: every point goes to the cell near it whose features are most like those of its handle in the original (DragDiffusion,
//! arXiv 2306.14435, Eq. 6).

use std::ops::Range;

use super::grid_features::GridFeatures;
use super::point_pairs::{Cell, PointDrag};
use crate::kernels::Backend;

/// Squared distance in cells at which a point no longer moves when only nearer cells count (`CLIPDrag`).
const NEXT_TO_TARGET: f64 = 1.0;

/// Which cells a point may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// All cells of the window.
    Window,
    /// Those of the window that are nearer to the target than the point is; a point within one cell of its target stays (fast point tracking
    /// of `CLIPDrag`, arXiv 2410.03097).
    Nearer,
}

/// Tracks points in a window of (2 radius + 1) x (2 radius + 1) cells around each, cut at the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointTracking {
    /// Cells from the middle of the window to its side.
    pub radius: usize,
    /// Which of its cells count.
    pub candidates: Candidates,
}

impl PointTracking {
    /// Returns where the points are now that were at `points`. `original` has the features in which they were at their handles.
    ///
    /// The distance of features is L1 over all channels. Of equally near cells the first counts, row by row.
    pub fn tracked<B: Backend>(
        &self,
        features: GridFeatures<B>,
        points: &[Cell],
        drags: &[PointDrag],
        original: GridFeatures<B>,
    ) -> Vec<Cell> {
        let pairs = points.iter().zip(drags);
        pairs
            .map(|(point, drag)| {
                let cells = self.cells(*point, drag.target, &features);
                let template = original.to_host(&[drag.handle]);
                let stages = features.to_host(&cells);
                let cost = |at: usize| -> f64 {
                    let stages = stages.iter().zip(&template);
                    stages
                        .map(|(cells, template)| {
                            let cell = cells[at * template.len()..].iter().zip(template);
                            cell.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>()
                        })
                        .sum()
                };
                let nearest = (0..cells.len())
                    .map(|at| (cost(at), cells[at]))
                    .reduce(|best, other| if other.0 < best.0 { other } else { best });
                nearest.map_or(*point, |(_, cell)| cell)
            })
            .collect()
    }

    /// Returns the cells that a point may go to, row by row; none for a point that stays.
    fn cells<B: Backend>(
        &self,
        point: Cell,
        target: Cell,
        features: &GridFeatures<B>,
    ) -> Vec<Cell> {
        let window = |middle: usize, cells: usize| -> Range<usize> {
            middle.saturating_sub(self.radius)..(middle + self.radius + 1).min(cells)
        };
        let grid = features.grid();
        let left = point.squared_distance(target);
        let columns = window(point.column, grid.columns);
        let all = window(point.row, grid.rows)
            .flat_map(|row| columns.clone().map(move |column| Cell { row, column }));
        match self.candidates {
            Candidates::Window => all.collect(),
            Candidates::Nearer if left <= NEXT_TO_TARGET => Vec::new(),
            Candidates::Nearer => all
                .filter(|cell| cell.squared_distance(target) < left)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Frame, Size};
    use crate::kernels::cpu::Cpu;
    use crate::nn::{Shape, Tensor};

    const WINDOW: PointTracking = PointTracking {
        radius: 3,
        candidates: Candidates::Window,
    };
    const NEARER: PointTracking = PointTracking {
        radius: 3,
        candidates: Candidates::Nearer,
    };

    /// A picture whose grid has 20 x 16 cells.
    fn frame() -> Frame {
        Frame::new(Size::new(40, 32), 32)
    }

    /// Features at the grid's resolution: two channels that tell every cell apart, shifted by rows and columns.
    fn shifted(rows: f32, columns: f32) -> [Tensor<Cpu>; 1] {
        let numbers = (0..16 * 20).flat_map(|at| {
            let (row, column) = ((at / 20) as f32 - rows, (at % 20) as f32 - columns);
            [row, column]
        });
        [Tensor::from_host(
            &Cpu,
            Shape::new(1, 16, 20, 2),
            numbers.collect(),
        )]
    }

    fn cell(row: usize, column: usize) -> Cell {
        Cell { row, column }
    }

    fn tracked(tracking: PointTracking, moved: [f32; 2], from: Cell, drag: PointDrag) -> Cell {
        let (original, now) = (shifted(0.0, 0.0), shifted(moved[0], moved[1]));
        let frame = frame();
        let features = |maps| GridFeatures::new(maps, &frame);
        tracking.tracked(features(&now), &[from], &[drag], features(&original))[0]
    }

    fn drag(handle: Cell, target: Cell) -> PointDrag {
        PointDrag {
            id: String::new(),
            handle,
            target,
        }
    }

    #[test]
    fn a_point_follows_its_content() {
        let drag = drag(cell(8, 9), cell(8, 19));
        let found = tracked(WINDOW, [2.0, -1.0], cell(8, 9), drag.clone());
        assert_eq!(found, cell(10, 8));
        let found = tracked(WINDOW, [0.0, 5.0], cell(8, 9), drag.clone());
        assert_eq!(found, cell(8, 12), "as far as the window goes");
        let found = tracked(WINDOW, [0.0, 5.0], found, drag);
        assert_eq!(
            found,
            cell(8, 14),
            "content is looked for by the handle's features"
        );
    }

    #[test]
    fn the_window_is_cut_at_the_border() {
        let corner = drag(cell(0, 0), cell(9, 9));
        assert_eq!(tracked(WINDOW, [1.0, 2.0], cell(0, 0), corner), cell(1, 2));
        let corner = drag(cell(15, 19), cell(9, 9));
        let found = tracked(WINDOW, [3.0, 3.0], cell(15, 19), corner);
        assert_eq!(found, cell(15, 19));
    }

    #[test]
    fn the_fast_tracker_only_comes_nearer() {
        let drag = drag(cell(8, 9), cell(8, 14));
        // The content went away from the target; the nearest cell to it that is nearer to the target wins.
        let found = tracked(NEARER, [0.0, -2.0], cell(8, 9), drag.clone());
        let left = |cell: Cell| cell.squared_distance(drag.target);
        assert!(left(found) < left(cell(8, 9)), "{found:?}");
        // At a distance of one cell it stays, whatever the features say.
        assert_eq!(
            tracked(NEARER, [0.0, 5.0], cell(8, 13), drag.clone()),
            cell(8, 13)
        );
        assert_eq!(tracked(NEARER, [0.0, 2.0], cell(8, 9), drag), cell(8, 11));
    }
}
