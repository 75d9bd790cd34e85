//! The motion of a region: a map of the plane for every progress, invertible at each, that begins with the identity.

use std::f64::consts::TAU;

use super::pose::Pose;
use crate::geometry::{Linear, Point, PointPair};

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
    /// Every point moves away from a centre, or towards it, by a power of the factor: `factor^eta` at progress `eta`.
    Scale {
        /// The point that stays in place.
        center: Point,
        /// Factor of all lengths; above 0.
        factor: f64,
    },
    /// A pivot moves on a straight line. About it, the region turns and stretches: at progress `eta` by `eta * angle` and by
    /// `1 + eta * (stretch - 1)`.
    Affine {
        /// Where the pivot begins and ends.
        pivot: PointPair,
        /// Radians, counter-clockwise on the screen; may be more than a full turn.
        angle: f64,
        /// What the region stretches by before it turns; symmetric and positive definite.
        stretch: Linear,
    },
    /// What lies at the handle and beyond it moves to the target, what lies at the anchor and behind it stays, and the displacement grows
    /// linearly in between: the region stretches.
    Anchored {
        /// A point that stays.
        anchor: Point,
        /// Handle and target. The target lies before the anchor, as seen from the handle, so that nothing is folded.
        points: PointPair,
    },
}

impl Motion {
    /// Returns the shift that moves the handle to the target.
    pub fn shift(points: PointPair) -> Self {
        Self::Shift {
            dx: points.target.x - points.handle.x,
            dy: points.target.y - points.handle.y,
        }
    }

    /// Returns the motion that moves the handle to the target and turns the region about it by `angle` radians, counter-clockwise on the
    /// screen.
    pub const fn turning_shift(points: PointPair, angle: f64) -> Self {
        Self::Affine {
            pivot: points,
            angle,
            stretch: Linear::IDENTITY,
        }
    }

    /// Returns the motion whose end is the affine map that takes the handles to the targets. The pivot is the handles' centroid, and the
    /// region turns the short way round.
    ///
    /// The map must not mirror. With handles on one line it is not finite, and the region covers nothing.
    pub fn affine(handles: [Point; 3], targets: [Point; 3]) -> Self {
        let (angle, stretch) = Linear::between(handles, targets).polar();
        Self::Affine {
            pivot: PointPair {
                handle: centroid(handles),
                target: centroid(targets),
            },
            angle,
            stretch,
        }
    }

    /// Returns the motion whose progress 1 is this one's progress `amount`, which may lie beyond 1.
    ///
    /// A stretch by less than 1 folds or collapses the region at some amount above 1 ([`Motion::factors`]).
    #[must_use]
    pub fn carried_out(self, amount: f64) -> Self {
        if amount == 1.0 {
            return self;
        }
        let moved = |PointPair { handle, target }: PointPair| PointPair {
            handle,
            target: Point::new(
                handle.x + amount * (target.x - handle.x),
                handle.y + amount * (target.y - handle.y),
            ),
        };
        match self {
            Self::Shift { dx, dy } => Self::Shift {
                dx: amount * dx,
                dy: amount * dy,
            },
            Self::Turn { center, angle } => Self::Turn {
                center,
                angle: amount * angle,
            },
            Self::Scale { center, factor } => Self::Scale {
                center,
                factor: factor.powf(amount),
            },
            Self::Affine {
                pivot,
                angle,
                stretch,
            } => Self::Affine {
                pivot: moved(pivot),
                angle: amount * angle,
                stretch: stretch.share(amount),
            },
            Self::Anchored { anchor, points } => Self::Anchored {
                anchor,
                points: moved(points),
            },
        }
    }

    /// Returns the smallest and the largest factor by which the whole motion stretches a vector; 0 or less when it collapses or folds the region.
    pub fn factors(self) -> (f64, f64) {
        match self {
            Self::Shift { .. } | Self::Turn { .. } => (1.0, 1.0),
            Self::Scale { factor, .. } => (factor, factor),
            Self::Affine { stretch, .. } => stretch.eigenvalues(),
            Self::Anchored {
                anchor,
                points: PointPair { handle, target },
            } => {
                let (x, y) = (handle.x - anchor.x, handle.y - anchor.y);
                let along = x * (target.x - anchor.x) + y * (target.y - anchor.y);
                let growth = along / (x * x + y * y);
                (growth.min(1.0), growth.max(1.0))
            }
        }
    }

    /// Returns the handle with the point to which the whole motion moves it.
    pub fn pair(self, handle: Point) -> PointPair {
        PointPair {
            handle,
            target: self.at(1.0).forward(handle),
        }
    }

    /// Returns where the content of `point` lies at progress `eta`.
    pub fn forward(self, eta: f64, point: Point) -> Point {
        self.at(eta).forward(point)
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
            Self::Scale { center, factor } => {
                let pivot = PointPair {
                    handle: center,
                    target: center,
                };
                Pose::affine(pivot, Linear::scale(factor.powf(eta)))
            }
            Self::Affine {
                pivot: PointPair { handle, target },
                angle,
                stretch,
            } => {
                let target = Point::new(
                    handle.x + eta * (target.x - handle.x),
                    handle.y + eta * (target.y - handle.y),
                );
                let map = Linear::turn(eta * angle).after(stretch.share(eta));
                Pose::affine(PointPair { handle, target }, map)
            }
            Self::Anchored {
                anchor,
                points: PointPair { handle, target },
            } => {
                let (x, y) = (handle.x - anchor.x, handle.y - anchor.y);
                let squared = x * x + y * y;
                let axis = (x / squared, y / squared);
                let offset = (eta * (target.x - handle.x), eta * (target.y - handle.y));
                Pose::Anchored {
                    anchor,
                    axis,
                    offset,
                    growth: 1.0 + axis.0 * offset.0 + axis.1 * offset.1,
                }
            }
        }
    }

    /// Returns an upper bound of how fast the points of a rectangle move while they are in the image, in working pixels per unit of
    /// progress. It takes the corners of both.
    pub(super) fn speed(self, corners: [Point; 4], image: [Point; 4]) -> f64 {
        let radius = |corners: [Point; 4], center: Point| {
            corners
                .iter()
                .map(|corner| corner.distance(center))
                .fold(0.0, f64::max)
        };
        match self {
            Self::Shift { dx, dy } => dx.hypot(dy),
            Self::Turn { center, angle } => radius(corners, center) * angle.abs(),
            Self::Scale { center, factor } => {
                let grown = factor.max(1.0) * radius(corners, center);
                factor.ln().abs() * grown.min(radius(image, center))
            }
            Self::Affine {
                pivot,
                angle,
                stretch,
            } => {
                let (least, most) = stretch.factors();
                let change = (1.0 - least).abs().max((most - 1.0).abs());
                let own = radius(corners, pivot.handle);
                // The pivot moves on a straight line, so it is furthest from a corner at one of its ends.
                let far = radius(image, pivot.handle).max(radius(image, pivot.target));
                pivot.handle.distance(pivot.target)
                    + angle.abs() * (most.max(1.0) * own).min(far)
                    + change * own
            }
            Self::Anchored { points, .. } => points.handle.distance(points.target),
        }
    }

    /// Returns the progress at which the region has been everywhere that it will be: less than 1 for more than a full turn in place.
    pub(super) fn covering(self) -> f64 {
        match self {
            Self::Turn { angle, .. } => (TAU / angle.abs()).min(1.0),
            Self::Affine {
                pivot,
                angle,
                stretch,
            } if pivot.handle == pivot.target && stretch == Linear::IDENTITY => {
                (TAU / angle.abs()).min(1.0)
            }
            Self::Shift { .. }
            | Self::Scale { .. }
            | Self::Affine { .. }
            | Self::Anchored { .. } => 1.0,
        }
    }

    /// Returns into how many chords the paths of points have to be divided, so that none turns by more than `step` radians; at least 16 on
    /// curved paths.
    pub(crate) fn chords(self, step: f64) -> usize {
        match self {
            Self::Shift { .. } | Self::Scale { .. } | Self::Anchored { .. } => 1,
            Self::Turn { angle, .. } | Self::Affine { angle, .. } => {
                16 + (angle.abs() / step).ceil() as usize
            }
        }
    }
}

fn centroid([a, b, c]: [Point; 3]) -> Point {
    Point::new((a.x + b.x + c.x) / 3.0, (a.y + b.y + c.y) / 3.0)
}
