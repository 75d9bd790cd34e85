//! What a record says about the drag: how far regions moved, where points were tracked, and the loss.

use serde::Serialize;

use crate::geometry::Point;
use crate::method::PointTrack;
use crate::region::Region;

/// How far a region moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionMotion {
    /// The region's id in the drag file.
    pub id: String,
    /// Distance from handle to target, in pixels of the picture.
    pub moved_px: f64,
}

impl From<&Region> for RegionMotion {
    fn from(region: &Region) -> Self {
        Self {
            id: region.id.clone(),
            moved_px: region.moved_px(),
        }
    }
}

/// Where a tracked point was, in pixels of the picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackRecord {
    /// The region's id in the drag file.
    pub id: String,
    /// Where it should go.
    pub target: [f64; 2],
    /// Where it was before the drag, and after each tracking.
    pub points: Vec<[f64; 2]>,
}

impl From<&PointTrack> for TrackRecord {
    fn from(track: &PointTrack) -> Self {
        let rounded = |point: Point| <[f64; 2]>::from(point).map(|at| (at * 100.0).round() / 100.0);
        Self {
            id: track.region.clone(),
            target: rounded(track.target),
            points: track.points.iter().copied().map(rounded).collect(),
        }
    }
}

/// The drag's loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Loss {
    /// At the first iteration.
    pub first: f64,
    /// At the last iteration.
    pub last: f64,
}

/// Rounds to six significant digits.
pub(super) fn six_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}
