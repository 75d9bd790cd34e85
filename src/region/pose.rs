//! A motion at one progress: a map of the plane and its inverse.

use crate::geometry::{Linear, Point, PointPair};

/// A motion at some progress: a map and its inverse.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pose {
    Shift {
        dx: f64,
        dy: f64,
    },
    Turn {
        center: Point,
        cos: f64,
        sin: f64,
    },
    /// The pivot moves, and the vector from it to a point changes. Both are kept as displacements, so that progress 0 is exact.
    Affine {
        pivot: PointPair,
        change: Linear,
        back: Linear,
    },
    Anchored {
        anchor: Point,
        /// Its scalar product with the vector from the anchor to a point is the point's share of the displacement, before it is limited
        /// to 0..1.
        axis: (f64, f64),
        /// The displacement of the handle.
        offset: (f64, f64),
        /// Factor of lengths along the axis between anchor and handle.
        growth: f64,
    },
}

impl Pose {
    pub(super) fn affine(pivot: PointPair, map: Linear) -> Self {
        Self::Affine {
            pivot,
            change: map.change(),
            back: map.inverse().change(),
        }
    }

    /// Returns where the content of `point` moves.
    pub(super) fn forward(self, point: Point) -> Point {
        match self {
            Self::Shift { dx, dy } => Point::new(point.x + dx, point.y + dy),
            Self::Turn { center, cos, sin } => turned(point, center, cos, sin),
            Self::Affine {
                pivot: PointPair { handle, target },
                change,
                ..
            } => {
                let (dx, dy) = change.of(point.x - handle.x, point.y - handle.y);
                Point::new(
                    point.x + (target.x - handle.x) + dx,
                    point.y + (target.y - handle.y) + dy,
                )
            }
            Self::Anchored {
                anchor,
                axis,
                offset,
                ..
            } => {
                let share = along(point, anchor, axis).clamp(0.0, 1.0);
                Point::new(point.x + share * offset.0, point.y + share * offset.1)
            }
        }
    }

    /// Returns where the content at `point` came from.
    pub(super) fn back(self, point: Point) -> Point {
        match self {
            Self::Shift { dx, dy } => Point::new(point.x - dx, point.y - dy),
            Self::Turn { center, cos, sin } => turned(point, center, cos, -sin),
            Self::Affine {
                pivot: PointPair { handle, target },
                back,
                ..
            } => {
                let (dx, dy) = back.of(point.x - target.x, point.y - target.y);
                Point::new(
                    point.x - (target.x - handle.x) + dx,
                    point.y - (target.y - handle.y) + dy,
                )
            }
            Self::Anchored {
                anchor,
                axis,
                offset,
                growth,
            } => {
                // Between anchor and handle, a point's share grew by this factor; beyond the handle it exceeds the factor.
                let share = (along(point, anchor, axis) / growth).clamp(0.0, 1.0);
                Point::new(point.x - share * offset.0, point.y - share * offset.1)
            }
        }
    }

    /// Returns points whose bounding box contains every point to which a rectangle with these corners moves.
    pub(super) fn hull(self, corners: [Point; 4]) -> impl Iterator<Item = Point> {
        let (moved, stays) = match self {
            Self::Shift { .. } | Self::Turn { .. } | Self::Affine { .. } => {
                (corners.map(|corner| self.forward(corner)), None)
            }
            // A point moves by a share of the offset.
            Self::Anchored {
                offset: (dx, dy), ..
            } => {
                let moved = corners.map(|corner| Point::new(corner.x + dx, corner.y + dy));
                (moved, Some(corners))
            }
        };
        moved.into_iter().chain(stays.into_iter().flatten())
    }
}

fn along(point: Point, anchor: Point, axis: (f64, f64)) -> f64 {
    (point.x - anchor.x) * axis.0 + (point.y - anchor.y) * axis.1
}

/// Turns a point counter-clockwise on a screen whose y points down.
fn turned(point: Point, center: Point, cos: f64, sin: f64) -> Point {
    let (dx, dy) = (point.x - center.x, point.y - center.y);
    Point::new(
        center.x + cos * dx + sin * dy,
        center.y - sin * dx + cos * dy,
    )
}
