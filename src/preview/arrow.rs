//! Arrows, straight and about a centre.

use std::f64::consts::TAU;

use super::line;
use crate::geometry::Point;

/// Half the width of an arrow's head, by its length.
const SLENDER: f64 = 0.42;
/// The head takes at most this share of an arrow.
const HEAD_SHARE: f64 = 0.65;
/// An arc's chords stay this close to it, in pixels.
const FLATNESS: f64 = 0.1;
/// More chords than the longest turn about the furthest centre needs.
const MAX_CHORDS: f64 = 20_000.0;

/// A line with a head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrow {
    /// Ends inside the head.
    pub(super) shaft: Vec<Point>,
    /// The tip and the two corners at the back.
    pub(super) head: [Point; 3],
}

impl Arrow {
    /// An arrow along a line, which leaves `start` pixels free at its beginning and `end` at its end; its head is `head` pixels long, less
    /// on short ones. `None` when there is no room.
    pub(super) fn along(way: &[Point], start: f64, end: f64, head: f64) -> Option<Self> {
        let tip_at = line::length(way) - end;
        let head = head.min((tip_at - start) * HEAD_SHARE);
        if head < 1.0 {
            return None;
        }
        let (back, tip) = (line::at(way, tip_at - head)?, line::at(way, tip_at)?);
        let size = back.distance(tip);
        if size < 0.5 {
            return None;
        }
        let (dx, dy) = ((tip.x - back.x) / size, (tip.y - back.y) / size);
        let half = SLENDER * head;
        let corner = |side: f64| Point::new(back.x - side * dy * half, back.y + side * dx * half);
        Some(Self {
            shaft: line::part(way, start, tip_at - 0.8 * head),
            head: [tip, corner(1.0), corner(-1.0)],
        })
    }
}

/// Part of a circle, or of a spiral when it turns by more than a full turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Arc {
    center: Point,
    radius: f64,
    from: f64,
    angle: f64,
    pitch: f64,
}

impl Arc {
    /// The arc from `start` about `center` by `angle`, radians counter-clockwise on the screen. Its radius is at least `least`, and from
    /// turn to turn it grows by `pitch`.
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

    /// The point after a share of the whole turn, 0 to 1, moved outwards by `beyond` pixels.
    pub(super) fn at(&self, share: f64, beyond: f64) -> Point {
        let turned = self.angle * share;
        let radius = self.radius + self.pitch * turned.abs() / TAU + beyond;
        let (sin, cos) = (self.from + turned).sin_cos();
        Point::new(self.center.x + radius * cos, self.center.y - radius * sin)
    }

    /// The arc as a line.
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
    fn a_head_points_along_the_end_and_stands_off_the_target() {
        let way = [Point::new(0.0, 0.0), Point::new(0.0, 100.0)];
        let arrow = Arrow::along(&way, 10.0, 5.0, 20.0).expect("there is room");
        assert_eq!(arrow.head[0], Point::new(0.0, 95.0));
        assert!(
            arrow.head[1].distance(Point::new(-8.4, 75.0)) < 1e-9
                && arrow.head[2].distance(Point::new(8.4, 75.0)) < 1e-9,
            "{arrow:?}"
        );
        assert_eq!(arrow.shaft, [Point::new(0.0, 10.0), Point::new(0.0, 79.0)]);
    }

    #[test]
    fn a_short_arrow_has_a_small_head_and_none_has_none() {
        let way = |length: f64| [Point::new(50.0, 50.0), Point::new(50.0 + length, 50.0)];
        let short = Arrow::along(&way(30.0), 10.0, 10.0, 20.0).expect("ten pixels are left");
        assert!((short.head[0].x - short.head[1].x - 6.5).abs() < 1e-9);
        for none in [
            Arrow::along(&way(21.0), 10.0, 10.0, 20.0),
            Arrow::along(&way(0.0), 0.0, 0.0, 20.0),
            Arrow::along(&[], 0.0, 0.0, 9.0),
        ] {
            assert_eq!(none, None);
        }
    }

    #[test]
    fn an_arc_goes_the_way_of_its_sign() {
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
            "to the left goes up"
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
    fn a_tiny_arc_is_drawn_large_enough_in_its_direction() {
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
