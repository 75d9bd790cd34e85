//! The lines that a drag follows on the sheet: straight from handle to target, an arc about the centre, or the paths of three handles.

use std::f64::consts::TAU;

use super::super::arrow::Arc;
use super::super::bounds::Bounds;
use super::super::sheet::Sheet;
use super::HEAD;
use crate::drag_file::{Drag, Growth, Turn};
use crate::geometry::{Point, PointPair};

/// Minimum radius of an arc, in units.
const LEAST_ARC: f64 = 16.0;
/// Growth of an arc's radius with each full turn, in units.
const PITCH: f64 = 9.0;
/// More turns than this are drawn as this many; the label tells how many there are.
const MAX_TURNS: f64 = 2.0;
/// Number of chords of a curved path.
const CURVE: u32 = 48;
/// A handle that moves by less than this many pixels of the image turns in place.
pub(super) const IN_PLACE: f64 = 1.0;
/// Without a handle, an arc starts at the region's middle, unless that is closer to the centre than this share of the region's
/// furthest point.
const NEAR: f64 = 0.35;
/// In that case, the arc's radius is this share of the distance of the furthest point.
const MIDWAY: f64 = 0.62;

/// The lines of a drag on the sheet.
pub(super) struct Paths {
    /// From the start of the drag to its end: three for an affine region, one for all others.
    pub(super) lines: Vec<Vec<Point>>,
    /// For a turn in place, a point a little outside the middle of its arc, and the whole angle in radians.
    pub(super) turn: Option<(Point, f64)>,
}

/// Returns the lines of a drag on the sheet. `before` holds the region's outlines on the sheet; `moved` maps a progress and
/// a point of the image to where its content then lies on the sheet; `None` for a region that was not planned.
pub(super) fn paths(
    drag: &Drag,
    before: &[Vec<Point>],
    moved: Option<&impl Fn(f64, Point) -> Point>,
    sheet: &Sheet,
) -> Paths {
    let straight = |points: PointPair| {
        let PointPair { handle, target } = points.map(|point| sheet.place(point));
        Paths {
            lines: vec![vec![handle, target]],
            turn: None,
        }
    };
    let arc = |center: Point, start: Point, angle: f64| {
        let (least, pitch) = (LEAST_ARC * sheet.unit, PITCH * sheet.unit);
        let arc = Arc::new(center, start, drawn_angle(angle), least, pitch);
        Paths {
            lines: vec![arc.line()],
            turn: Some((arc.at(0.5, HEAD * sheet.unit), angle)),
        }
    };
    match drag {
        Drag::Translation {
            points,
            angle: Some(angle),
            ..
        } if points.handle.distance(points.target) < IN_PLACE => {
            let center = sheet.place(points.handle);
            let start = start_without_handle(center, before);
            arc(center, start, angle.to_radians())
        }
        Drag::Translation { points, .. }
        | Drag::Deformation { points, .. }
        | Drag::Point { points } => straight(*points),
        Drag::Rotation { center, turn, .. } => {
            let place = sheet.place(*center);
            let start = match turn {
                Turn::Points(PointPair { handle, .. }) => sheet.place(*handle),
                Turn::Angle { .. } => start_without_handle(place, before),
            };
            arc(place, start, turn.radians(*center))
        }
        Drag::Scale { center, growth, .. } => {
            let (place, factor) = (sheet.place(*center), growth.factor(*center));
            let start = match growth {
                Growth::Points(PointPair { handle, .. }) => sheet.place(*handle),
                Growth::Factor { .. } => furthest(place, before),
            };
            let end = Point::new(
                place.x + factor * (start.x - place.x),
                place.y + factor * (start.y - place.y),
            );
            Paths {
                lines: vec![vec![start, end]],
                turn: None,
            }
        }
        Drag::Affine { .. } => {
            let line = |PointPair { handle, target }: PointPair| match moved {
                Some(moved) => (0..=CURVE)
                    .map(|step| moved(f64::from(step) / f64::from(CURVE), handle))
                    .collect(),
                None => vec![sheet.place(handle), sheet.place(target)],
            };
            Paths {
                lines: drag.pairs().into_iter().map(line).collect(),
                turn: None,
            }
        }
    }
}

/// Returns the point of an outline that is furthest from a centre; the centre itself without an outline.
fn furthest(center: Point, before: &[Vec<Point>]) -> Point {
    before
        .iter()
        .flatten()
        .copied()
        .max_by(|a, b| a.distance(center).total_cmp(&b.distance(center)))
        .unwrap_or(center)
}

/// Returns where the arc of a rotation without a handle starts.
fn start_without_handle(center: Point, before: &[Vec<Point>]) -> Point {
    let points = || before.iter().flatten();
    let middle = Bounds::of_all(points().copied()).map_or(center, |bounds| bounds.middle());
    let furthest = points()
        .map(|point| point.distance(center))
        .fold(0.0, f64::max);
    if middle.distance(center) > NEAR * furthest {
        middle
    } else {
        Point::new(center.x + MIDWAY * furthest, center.y)
    }
}

/// Removes the full turns that would be drawn on top of each other.
fn drawn_angle(angle: f64) -> f64 {
    let extra = ((angle.abs() - MAX_TURNS * TAU) / TAU).ceil().max(0.0);
    angle - angle.signum() * extra * TAU
}

#[cfg(test)]
mod tests {
    use super::super::closed;
    use super::*;

    #[test]
    fn more_than_two_turns_are_drawn_as_two_and_end_at_the_same_angle() {
        for (given, expected) in [
            (-35.0, -35.0),
            (400.0, 400.0),
            (720.0, 720.0),
            (730.0, 370.0),
            (-3600.0, -720.0),
            (0.0, 0.0),
        ] {
            assert!(
                (drawn_angle(f64::to_radians(given)).to_degrees() - expected).abs() < 1e-9,
                "{given}"
            );
        }
    }

    #[test]
    fn an_arc_without_a_handle_starts_at_the_regions_middle_or_beside_its_centre() {
        let square = |x: f64, y: f64| {
            closed(
                [
                    (x - 10.0, y - 10.0),
                    (x + 10.0, y - 10.0),
                    (x + 10.0, y + 10.0),
                    (x - 10.0, y + 10.0),
                ]
                .into_iter()
                .map(|(x, y)| Point::new(x, y)),
            )
        };
        let hinge = start_without_handle(Point::new(0.0, 0.0), &[square(100.0, 50.0)]);
        assert_eq!(hinge, Point::new(100.0, 50.0));
        let spin = start_without_handle(Point::new(100.0, 50.0), &[square(100.0, 50.0)]);
        assert_eq!(
            (spin.y, spin.x > 105.0 && spin.x < 114.0),
            (50.0, true),
            "{spin}"
        );
        assert_eq!(
            start_without_handle(Point::new(3.0, 4.0), &[]),
            Point::new(3.0, 4.0)
        );
    }
}
