//! Where a region goes, and the drag that its type makes of it.

use crate::drag_file::{Drag, Growth, Shape, Turn};
use crate::geometry::{Point, PointPair};
use crate::region::RegionKind;

/// Where a region goes.
pub(super) struct Goal {
    pub(super) points: Option<PointPair>,
    pub(super) center: Point,
    /// The centre or the anchor, if one is drawn.
    pub(super) fixed: Option<Point>,
    pub(super) angle: Option<f64>,
    pub(super) factor: Option<f64>,
}

impl Goal {
    /// Returns the drag of this type; `None` when it lacks points, as an `affine` one without three lines does.
    pub(super) fn drag(&self, kind: RegionKind, shape: Shape) -> Option<Drag> {
        let center = self.center;
        Some(match kind {
            RegionKind::Rotation => Drag::Rotation {
                shape,
                center,
                turn: match self.angle {
                    Some(angle) => Turn::Angle { angle },
                    None => Turn::Points(self.points?),
                },
            },
            RegionKind::Scale => Drag::Scale {
                shape,
                center,
                growth: match self.factor {
                    Some(factor) => Growth::Factor { factor },
                    None => Growth::Points(self.points?),
                },
            },
            RegionKind::Deformation => Drag::Deformation {
                shape,
                points: self.points?,
                anchor: self.fixed,
            },
            RegionKind::Translation => Drag::Translation {
                shape,
                points: self.points?,
                angle: self.angle,
            },
            RegionKind::Affine | RegionKind::Point => return None,
        })
    }
}
