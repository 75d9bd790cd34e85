//! What a drag of points went through.

use super::point_pairs::{Cell, PointDrag};
use crate::geometry::Grid;
use crate::method::PointTrack;

/// Losses and tracked points of a drag.
#[derive(Debug, Default)]
pub struct PointLog {
    /// The loss of every iteration.
    pub losses: Vec<f64>,
    /// Where the points were, before the drag and after each tracking.
    places: Vec<Vec<Cell>>,
}

impl PointLog {
    /// Adds where the points are.
    pub fn moved(&mut self, points: &[Cell]) {
        self.places.push(points.to_vec());
    }

    /// Returns the path of each point.
    pub fn tracks(&self, drags: &[PointDrag], grid: &Grid) -> Vec<PointTrack> {
        let track = |(index, drag): (usize, &PointDrag)| PointTrack {
            region: drag.id.clone(),
            points: self
                .places
                .iter()
                .map(|points| points[index].centre(grid))
                .collect(),
            target: drag.target.centre(grid),
        };
        drags.iter().enumerate().map(track).collect()
    }
}
