//! What is dragged, and how: the content of a region, without its `id`.

use serde::Serialize;

use super::Shape;
use crate::geometry::{Point, PointPair, turn_angle};
use crate::region::RegionKind;

/// What is dragged, and how: a variant for each `type`. All points are in pixels of the image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Drag {
    /// A whole object moves by the vector from handle to target.
    Translation {
        /// The object.
        #[serde(rename = "region")]
        shape: Shape,
        /// Handle, inside the shape, and target.
        #[serde(flatten)]
        points: PointPair,
        /// Degrees by which the object turns about the moving handle, counter-clockwise on the screen positive.
        #[serde(skip_serializing_if = "Option::is_none")]
        angle: Option<f64>,
    },
    /// A part of an object moves by the vector from handle to target.
    Deformation {
        /// The part.
        #[serde(rename = "region")]
        shape: Shape,
        /// Handle, inside the shape, and target.
        #[serde(flatten)]
        points: PointPair,
        /// A point that stays; the part stretches between it and the handle.
        #[serde(skip_serializing_if = "Option::is_none")]
        anchor: Option<Point>,
    },
    /// An object turns about a centre.
    Rotation {
        /// The object.
        #[serde(rename = "region")]
        shape: Shape,
        /// The point that stays in place.
        center: Point,
        /// How far it turns.
        #[serde(flatten)]
        turn: Turn,
    },
    /// An object grows or shrinks about a centre.
    Scale {
        /// The object.
        #[serde(rename = "region")]
        shape: Shape,
        /// The point that stays in place.
        center: Point,
        /// How much it grows.
        #[serde(flatten)]
        growth: Growth,
    },
    /// An object is mapped so that three handles move to three targets.
    Affine {
        /// The object.
        #[serde(rename = "region")]
        shape: Shape,
        /// Three points that do not lie on one line.
        handles: [Point; 3],
        /// Where they move.
        targets: [Point; 3],
    },
    /// A single point moves.
    Point {
        /// Handle and target.
        #[serde(flatten)]
        points: PointPair,
    },
}

/// How far a rotation turns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Turn {
    /// From the handle's direction to the target's as seen from the centre, the short way round.
    Points(PointPair),
    /// By an angle.
    Angle {
        /// Degrees, counter-clockwise on the screen positive; more than a full turn is allowed.
        angle: f64,
    },
}

/// How much a scale grows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Growth {
    /// From the handle's distance to the target's, as seen from the centre.
    Points(PointPair),
    /// By a factor.
    Factor {
        /// Factor of all lengths.
        factor: f64,
    },
}

impl Drag {
    /// Returns the `type`.
    pub const fn kind(&self) -> RegionKind {
        match self {
            Self::Translation { .. } => RegionKind::Translation,
            Self::Deformation { .. } => RegionKind::Deformation,
            Self::Rotation { .. } => RegionKind::Rotation,
            Self::Scale { .. } => RegionKind::Scale,
            Self::Affine { .. } => RegionKind::Affine,
            Self::Point { .. } => RegionKind::Point,
        }
    }

    /// Returns the area that is dragged; `None` for a point.
    pub const fn shape(&self) -> Option<&Shape> {
        match self {
            Self::Translation { shape, .. }
            | Self::Deformation { shape, .. }
            | Self::Rotation { shape, .. }
            | Self::Scale { shape, .. }
            | Self::Affine { shape, .. } => Some(shape),
            Self::Point { .. } => None,
        }
    }

    /// Returns handle and target; `None` for a rotation that is given by its angle, a scale that is given by its factor, and an affine
    /// region, which has three of each.
    pub const fn points(&self) -> Option<PointPair> {
        match self {
            Self::Translation { points, .. }
            | Self::Deformation { points, .. }
            | Self::Point { points }
            | Self::Rotation {
                turn: Turn::Points(points),
                ..
            }
            | Self::Scale {
                growth: Growth::Points(points),
                ..
            } => Some(*points),
            Self::Rotation {
                turn: Turn::Angle { .. },
                ..
            }
            | Self::Scale {
                growth: Growth::Factor { .. },
                ..
            }
            | Self::Affine { .. } => None,
        }
    }

    /// Returns all handles with their targets: one, three or none.
    pub fn pairs(&self) -> Vec<PointPair> {
        match self {
            Self::Affine {
                handles, targets, ..
            } => handles
                .iter()
                .zip(targets)
                .map(|(handle, target)| PointPair {
                    handle: *handle,
                    target: *target,
                })
                .collect(),
            Self::Translation { .. }
            | Self::Deformation { .. }
            | Self::Rotation { .. }
            | Self::Scale { .. }
            | Self::Point { .. } => self.points().into_iter().collect(),
        }
    }

    /// Returns the centre of a rotation or a scale; `None` for other types.
    pub const fn center(&self) -> Option<Point> {
        match self {
            Self::Rotation { center, .. } | Self::Scale { center, .. } => Some(*center),
            Self::Translation { .. }
            | Self::Deformation { .. }
            | Self::Affine { .. }
            | Self::Point { .. } => None,
        }
    }

    /// Returns the anchor of a deformation; `None` without one.
    pub const fn anchor(&self) -> Option<Point> {
        match self {
            Self::Deformation { anchor, .. } => *anchor,
            Self::Translation { .. }
            | Self::Rotation { .. }
            | Self::Scale { .. }
            | Self::Affine { .. }
            | Self::Point { .. } => None,
        }
    }
}

impl Turn {
    /// Returns the angle about `center` in radians, counter-clockwise on the screen positive.
    pub fn radians(self, center: Point) -> f64 {
        match self {
            Self::Points(PointPair { handle, target }) => turn_angle(handle, target, center),
            Self::Angle { angle } => angle.to_radians(),
        }
    }
}

impl Growth {
    /// Returns the factor of all lengths about `center`.
    pub fn factor(self, center: Point) -> f64 {
        match self {
            Self::Points(PointPair { handle, target }) => {
                target.distance(center) / handle.distance(center)
            }
            Self::Factor { factor } => factor,
        }
    }
}
