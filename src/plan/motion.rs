//! The motion of a drag, in the image's coordinates or the working picture's.

use crate::drag_file::Drag;
use crate::geometry::Point;
use crate::region::Motion;

/// Returns the motion of a drag in other coordinates than the image's; `place` maps points to them. The scales of the mapping along x
/// and y may differ by rounding, so angles and factors are measured on the image.
pub(super) fn motion(drag: &Drag, place: impl Fn(Point) -> Point) -> Motion {
    match drag {
        Drag::Translation {
            points,
            angle: Some(angle),
            ..
        } => Motion::turning_shift(points.map(place), angle.to_radians()),
        Drag::Deformation {
            points,
            anchor: Some(anchor),
            ..
        } => Motion::Anchored {
            anchor: place(*anchor),
            points: points.map(place),
        },
        Drag::Translation {
            points,
            angle: None,
            ..
        }
        | Drag::Deformation {
            points,
            anchor: None,
            ..
        }
        | Drag::Point { points } => Motion::shift(points.map(place)),
        Drag::Rotation { center, turn, .. } => Motion::Turn {
            center: place(*center),
            angle: turn.radians(*center),
        },
        Drag::Scale { center, growth, .. } => Motion::Scale {
            center: place(*center),
            factor: growth.factor(*center),
        },
        Drag::Affine {
            handles, targets, ..
        } => Motion::affine(handles.map(&place), targets.map(&place)),
    }
}
