//! The motion of a region: a shift, or a turn about a centre.

use crate::geometry::{Point, PointPair};

/// The whole motion of a region, from progress 0 to 1, in working coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Motion {
    /// Every point moves by the same offset.
    Shift {
        /// Offset to the right.
        dx: f64,
        /// Offset down.
        dy: f64,
    },
    /// Every point turns about a centre.
    Turn {
        /// The point that stays in place.
        center: Point,
        /// Radians, counter-clockwise on the screen; may be more than a full turn.
        angle: f64,
    },
}

/// A motion at some progress: a map and its inverse.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pose {
    Shift { dx: f64, dy: f64 },
    Turn { center: Point, cos: f64, sin: f64 },
}

impl Motion {
    /// Returns the shift that moves the handle to the target.
    pub fn shift(points: PointPair) -> Self {
        Self::Shift {
            dx: points.target.x - points.handle.x,
            dy: points.target.y - points.handle.y,
        }
    }

    /// Returns the handle with the point to which the whole motion moves it.
    pub fn pair(self, handle: Point) -> PointPair {
        PointPair {
            handle,
            target: self.at(1.0).forward(handle),
        }
    }

    /// Returns the motion at progress `eta`.
    pub(super) fn at(self, eta: f64) -> Pose {
        match self {
            Self::Shift { dx, dy } => Pose::Shift {
                dx: eta * dx,
                dy: eta * dy,
            },
            Self::Turn { center, angle } => {
                let (sin, cos) = (eta * angle).sin_cos();
                Pose::Turn { center, cos, sin }
            }
        }
    }
}

impl Pose {
    /// Returns where the content of `point` moves.
    pub(super) fn forward(self, point: Point) -> Point {
        match self {
            Self::Shift { dx, dy } => Point::new(point.x + dx, point.y + dy),
            Self::Turn { center, cos, sin } => turned(point, center, cos, sin),
        }
    }

    /// Returns where the content at `point` came from.
    pub(super) fn back(self, point: Point) -> Point {
        match self {
            Self::Shift { dx, dy } => Point::new(point.x - dx, point.y - dy),
            Self::Turn { center, cos, sin } => turned(point, center, cos, -sin),
        }
    }
}

/// Turns a point counter-clockwise on a screen whose y points down.
fn turned(point: Point, center: Point, cos: f64, sin: f64) -> Point {
    let (dx, dy) = (point.x - center.x, point.y - center.y);
    Point::new(
        center.x + cos * dx + sin * dy,
        center.y - sin * dx + cos * dy,
    )
}
