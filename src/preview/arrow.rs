//! Arrows along straight lines and arcs.

use std::f64::consts::TAU;

use super::line;
use crate::geometry::Point;

/// Half the width of an arrow's head over its length.
const SLENDER: f64 = 0.42;
/// Maximum share of an arrow's length that its head takes.
const HEAD_SHARE: f64 = 0.65;
/// Maximum distance in pixels between an arc and its chords.
const FLATNESS: f64 = 0.1;
/// Maximum number of chords, above what the longest turn about the furthest centre needs.
const MAX_CHORDS: f64 = 20_000.0;

/// A line with a head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrow {
    /// The line, which ends inside the head.
    pub(super) shaft: Vec<Point>,
    /// The tip and the two corners at the back.
    pub(super) head: [Point; 3],
}

impl Arrow {
    /// Returns an arrow along a line, with `start` pixels free at its beginning and `end` pixels at its end. The head is `head` pixels
    /// long, or less on a short arrow. `None` when the line is too short.
    pub(super) fn along(path: &[Point], start: f64, end: f64, head: f64) -> Option<Self> {
        let tip_at = line::length(path) - end;
        let head = head.min((tip_at - start) * HEAD_SHARE);
        if head < 1.0 {
            return None;
        }
        let (back, tip) = (line::at(path, tip_at - head)?, line::at(path, tip_at)?);
        let size = back.distance(tip);
        if size < 0.5 {
            return None;
        }
        let (dx, dy) = ((tip.x - back.x) / size, (tip.y - back.y) / size);
        let half = SLENDER * head;
        let corner = |side: f64| Point::new(back.x - side * dy * half, back.y + side * dx * half);
        Some(Self {
            shaft: line::part(path, start, tip_at - 0.8 * head),
            head: [tip, corner(1.0), corner(-1.0)],
        })
    }
}

/// An arc of a circle, or a spiral when the angle is more than a full turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Arc {
    center: Point,
    radius: f64,
    from: f64,
    angle: f64,
    pitch: f64,
}

impl Arc {
    /// Returns the arc from `start` about `center` by `angle` radians, counter-clockwise on the screen positive. The radius is at least
    /// `least` pixels and grows by `pitch` with each turn of a spiral.
    pub(super) fn new(center: Point, start: Point, angle: f64, least: f64, pitch: f64) -> Self {
        let pitch = if angle.abs() > TAU { pitch } else { 0.0 };
        Self {
            center,
            radius: start.distance(center).max(least),
            from: (center.y - start.y).atan2(start.x - center.x),
            angle,
            pitch,
        }
    }

    /// Returns the point after a share of the angle, 0 to 1, moved outwards by `beyond` pixels.
    pub(super) fn at(&self, share: f64, beyond: f64) -> Point {
        let turned = self.angle * share;
        let radius = self.radius + self.pitch * turned.abs() / TAU + beyond;
        let (sin, cos) = (self.from + turned).sin_cos();
        Point::new(self.center.x + radius * cos, self.center.y - radius * sin)
    }

    /// Returns the arc as a line of chords.
    pub(super) fn line(&self) -> Vec<Point> {
        // The sagitta of a chord over the angle a is r a^2 / 8.
        let radius = self.radius + self.pitch * self.angle.abs() / TAU;
        let chords = (self.angle.abs() / (8.0 * FLATNESS / radius.max(1.0)).sqrt())
            .ceil()
            .clamp(8.0, MAX_CHORDS);
        (0..=chords as usize)
            .map(|chord| self.at(chord as f64 / chords, 0.0))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_points_along_the_line_and_ends_before_the_target() {
        let path = [Point::new(0.0, 0.0), Point::new(0.0, 100.0)];
        let arrow = Arrow::along(&path, 10.0, 5.0, 20.0).expect("the line is long enough");
        assert_eq!(arrow.head[0], Point::new(0.0, 95.0));
        assert!(
            arrow.head[1].distance(Point::new(-8.4, 75.0)) < 1e-9
                && arrow.head[2].distance(Point::new(8.4, 75.0)) < 1e-9,
            "{arrow:?}"
        );
        assert_eq!(arrow.shaft, [Point::new(0.0, 10.0), Point::new(0.0, 79.0)]);
    }

    #[test]
    fn a_short_arrow_has_a_small_head_and_a_shorter_line_has_no_arrow() {
        let path = |length: f64| [Point::new(50.0, 50.0), Point::new(50.0 + length, 50.0)];
        let short = Arrow::along(&path(30.0), 10.0, 10.0, 20.0).expect("ten pixels are left");
        assert!((short.head[0].x - short.head[1].x - 6.5).abs() < 1e-9);
        for none in [
            Arrow::along(&path(21.0), 10.0, 10.0, 20.0),
            Arrow::along(&path(0.0), 0.0, 0.0, 20.0),
            Arrow::along(&[], 0.0, 0.0, 9.0),
        ] {
            assert_eq!(none, None);
        }
    }

    #[test]
    fn the_sign_of_the_angle_gives_the_direction_of_an_arc() {
        let center = Point::new(100.0, 100.0);
        let arc = |degrees: f64| {
            Arc::new(
                center,
                Point::new(150.0, 100.0),
                degrees.to_radians(),
                10.0,
                8.0,
            )
        };
        assert!(
            arc(90.0).at(1.0, 0.0).distance(Point::new(100.0, 50.0)) < 1e-9,
            "counter-clockwise from the right is up"
        );
        assert!(arc(-90.0).at(1.0, 0.0).distance(Point::new(100.0, 150.0)) < 1e-9);
        assert!(arc(-180.0).at(0.5, 5.0).distance(Point::new(100.0, 155.0)) < 1e-9);
        let line = arc(200.0).line();
        assert!(
            line.iter()
                .all(|point| (point.distance(center) - 50.0).abs() < 1e-9)
        );
        assert!((line::length(&line) - 50.0 * 200.0_f64.to_radians()).abs() < 0.5);
    }

    #[test]
    fn more_than_a_turn_is_a_spiral() {
        let center = Point::new(0.0, 0.0);
        let arc = Arc::new(
            center,
            Point::new(50.0, 0.0),
            400.0_f64.to_radians(),
            10.0,
            9.0,
        );
        assert!(
            (arc.at(0.9, 0.0).distance(center) - 59.0).abs() < 1e-9,
            "a full turn further out by the pitch"
        );
        assert!((arc.at(1.0, 0.0).distance(center) - 60.0).abs() < 1e-9);
    }

    #[test]
    fn a_tiny_arc_has_the_minimum_radius() {
        let arc = Arc::new(Point::new(0.0, 0.0), Point::new(0.0, -1.0), 1.0, 30.0, 9.0);
        assert!(arc.at(0.0, 0.0).distance(Point::new(0.0, -30.0)) < 1e-9);
    }

    #[test]
    fn a_far_centre_has_a_bounded_number_of_chords() {
        let arc = Arc::new(
            Point::new(-40_000.0, 0.0),
            Point::new(0.0, 0.0),
            10.0 * TAU,
            10.0,
            9.0,
        );
        assert!(arc.line().len() <= MAX_CHORDS as usize + 1);
    }
}
