//! The part of a picture that a warp works on.

use crate::geometry::{Frame, Point, Size, Window};
use crate::region::Region;

/// Pixels around everything that a drag reaches which the fill may look at, as a share of the reached area's longer side.
const SURROUNDINGS: f64 = 0.5;
/// The least of them.
const MIN_SURROUNDINGS: usize = 48;

/// Returns the part of the picture that the regions reach, with its surroundings.
pub(super) fn area(regions: &[Region], frame: &Frame) -> Window {
    let Window { left, top, size } = frame.window;
    let reached = regions.iter().filter_map(Region::reach);
    let nowhere = (
        Point::new(f64::INFINITY, f64::INFINITY),
        Point::new(f64::NEG_INFINITY, f64::NEG_INFINITY),
    );
    let (low, high) = reached.fold(nowhere, |(low, high), (from, to)| {
        (
            Point::new(low.x.min(from.x), low.y.min(from.y)),
            Point::new(high.x.max(to.x), high.y.max(to.y)),
        )
    });
    let longer = (high.x - low.x).max(high.y - low.y).max(0.0);
    let around = ((SURROUNDINGS * longer) as usize).max(MIN_SURROUNDINGS) as f64;
    let span = |low: f64, high: f64, length: usize| {
        let from = (low - around).floor().clamp(0.0, (length - 1) as f64) as usize;
        let to = (high + around)
            .ceil()
            .clamp(from as f64 + 1.0, length as f64) as usize;
        (from, to - from)
    };
    let (columns, rows) = (
        span(low.x, high.x, size.width),
        span(low.y, high.y, size.height),
    );
    Window {
        left: left + columns.0,
        top: top + rows.0,
        size: Size::new(columns.1, rows.1),
    }
}
