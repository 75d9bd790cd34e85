//! Checks of one region against the image; each reports faults and warnings with their places in the drag file.

use super::findings::Findings;
use crate::drag_file::{Drag, Growth, Shape, Turn};
use crate::error::ErrorKind;
use crate::geometry::{Frame, LATENT_CELL, Point, PointPair, turn_angle};
use crate::mask::Mask;
use crate::outline::Outline;
use crate::region::Region;
use crate::warning::WarningKind;

/// A handle may lie this many pixels outside its region.
const HANDLE_TOLERANCE: f64 = 1.0;
/// Minimum distance in pixels of handle and target from the centre of rotation; a closer point has no direction.
const MIN_RADIUS: f64 = 0.5;
/// Maximum distance of a centre from the image, in diagonals of the image. About a centre further away, every turn is
/// close to a shift and its arcs take long to follow.
const MAX_CENTRE_DIAGONALS: f64 = 8.0;
/// Handle and target get a warning when their distances from the centre differ by more than this share and two pixels.
const RADIUS_TOLERANCE: f64 = 0.1;
/// Handle and target of a scale get a warning when their directions from the centre differ by more than this many degrees.
const DIRECTION_TOLERANCE: f64 = 20.0;

const UPRIGHT: &str = "coordinates are pixels of the upright image, from its top left corner; `dragnext preview` shows where they lie";

/// Returns whether a drag has no centre, or one close enough to the image. It may lie outside the image: a door's hinge
/// can be beside the picture.
pub(super) fn centre(findings: &mut Findings, drag: &Drag, pointer: &str, frame: &Frame) -> bool {
    let Some(center) = drag.center() else {
        return true;
    };
    let size = frame.source;
    let nearest = Point::new(
        center.x.clamp(0.0, size.width as f64),
        center.y.clamp(0.0, size.height as f64),
    );
    let limit = MAX_CENTRE_DIAGONALS * (size.width as f64).hypot(size.height as f64);
    let is_near = center.distance(nearest) <= limit;
    if !is_near {
        let message =
            format!("the centre {center} lies more than {limit:.0} px outside the image ({size})");
        let (kind, hint) = match drag {
            Drag::Scale { .. } => (
                ErrorKind::InstructionRange,
                "scaling about such a distant centre is a `translation`",
            ),
            Drag::Translation { .. }
            | Drag::Deformation { .. }
            | Drag::Rotation { .. }
            | Drag::Affine { .. }
            | Drag::Point { .. } => (
                ErrorKind::RegionRotationCentre,
                "a rotation about such a distant centre is a `translation`",
            ),
        };
        findings.fault(kind, pointer, message, hint);
    }
    is_near
}

/// Checks that handles and targets lie in the image, and how they lie about a centre. Returns whether the motion can be followed: a
/// region that turns or stretches to a point far outside the image takes long to follow.
pub(super) fn points(
    findings: &mut Findings,
    id: &str,
    drag: &Drag,
    place: &impl Fn(&str) -> String,
    frame: &Frame,
) -> bool {
    let is_one = drag.points().is_some();
    let mut are_inside = true;
    for (index, PointPair { handle, target }) in drag.pairs().into_iter().enumerate() {
        for (key, point) in [("handle", handle), ("target", target)] {
            if !frame.source.contains(point) {
                are_inside = false;
                let message = format!("point {point} lies outside the image ({})", frame.source);
                let pointer = if is_one {
                    format!("/{key}")
                } else {
                    format!("/{key}s/{index}")
                };
                findings.fault(
                    ErrorKind::InstructionPointOutside,
                    &place(&pointer),
                    message,
                    UPRIGHT,
                );
            }
        }
    }
    match drag {
        Drag::Rotation {
            center,
            turn: Turn::Points(points),
            ..
        } => turn(findings, id, *center, *points, place),
        Drag::Scale {
            center,
            growth: Growth::Points(points),
            ..
        } => growth(findings, id, *center, *points),
        Drag::Translation { .. }
        | Drag::Deformation { .. }
        | Drag::Rotation { .. }
        | Drag::Scale { .. }
        | Drag::Affine { .. }
        | Drag::Point { .. } => {}
    }
    are_inside
        || !matches!(
            drag,
            Drag::Translation { angle: Some(_), .. }
                | Drag::Deformation {
                    anchor: Some(_),
                    ..
                }
                | Drag::Affine { .. }
        )
}

/// Checks that handle and target of a scale lie on the same side of its centre.
fn growth(findings: &mut Findings, id: &str, center: Point, points: PointPair) {
    let between = turn_angle(points.handle, points.target, center).to_degrees();
    if between.abs() > DIRECTION_TOLERANCE {
        let message = format!(
            "region `{id}`: handle and target are {:.0} degrees apart as seen from the centre; only their distances count",
            between.abs()
        );
        findings.warn(WarningKind::RegionScaleDirection, message);
    }
}

/// Checks that handle and target of a rotation lie away from its centre, and equally far.
fn turn(
    findings: &mut Findings,
    id: &str,
    center: Point,
    PointPair { handle, target }: PointPair,
    place: &impl Fn(&str) -> String,
) {
    let (from, to) = (handle.distance(center), target.distance(center));
    for (key, radius) in [("handle", from), ("target", to)] {
        if radius < MIN_RADIUS {
            let message = format!(
                "the {key} lies on the centre of the rotation, so the angle is not defined"
            );
            findings.fault(
                ErrorKind::RegionRotationCentre,
                &place(&format!("/{key}")),
                message,
                "move it away from `center`, or give an `angle`",
            );
        }
    }
    if (from - to).abs() > 2.0 && (from - to).abs() > RADIUS_TOLERANCE * from.max(to) {
        let message = format!(
            "region `{id}`: handle and target are {from:.0} and {to:.0} px from the centre; only the angle between them counts"
        );
        findings.warn(WarningKind::RegionRotationRadius, message);
    }
}

/// Checks that a region lies in the image and is at least as large as a cell of the latent. `mask` holds its working pixels.
pub(super) fn area(
    findings: &mut Findings,
    id: &str,
    shape: &Shape,
    mask: &Mask,
    pointer: &str,
    frame: &Frame,
) {
    let source = frame.source;
    let beyond = match shape {
        Shape::Outline(outline) => beyond(outline, frame),
        Shape::Mask { .. } => Beyond::Nothing,
    };
    let count = mask.count();
    if let (Shape::Mask { .. }, 0) = (shape, count) {
        let message = format!(
            "no white pixel of the mask is left at working size ({})",
            frame.content
        );
        findings.fault(
            ErrorKind::MaskEmpty,
            pointer,
            message,
            "white is inside the region",
        );
    } else if beyond == Beyond::All {
        findings.fault(
            ErrorKind::RegionOutside,
            pointer,
            format!("the region lies outside the image ({source})"),
            UPRIGHT,
        );
    } else if count < LATENT_CELL * LATENT_CELL {
        let message = format!(
            "the region covers {count} pixels of the working picture ({}), less than one cell of the latent",
            frame.content
        );
        findings.fault(
            ErrorKind::RegionVanishes,
            pointer,
            message,
            size_needed(frame),
        );
    } else if beyond == Beyond::Part {
        findings.warn(
            WarningKind::RegionPartlyOutside,
            format!(
                "region `{id}` lies partly outside the image ({source}); only the part inside is dragged"
            ),
        );
    }
}

/// Checks that the handle lies in its region, or close to it. The handles of an affine region may lie around it, such as at the corners
/// of its bounding box.
pub(super) fn handle(
    findings: &mut Findings,
    drag: &Drag,
    region: &Region,
    pointer: &str,
    frame: &Frame,
) {
    let Some(PointPair { handle, .. }) = drag.points() else {
        return;
    };
    let center = frame.to_working(handle);
    let reach = HANDLE_TOLERANCE * frame.scale().mean().max(1.0);
    let steps = [-reach, 0.0, reach];
    let inside = steps.iter().any(|dy| {
        steps
            .iter()
            .any(|dx| region.mask.at(Point::new(center.x + dx, center.y + dy)))
    });
    if !inside {
        let hint = match drag.shape() {
            Some(Shape::Mask { reading, .. }) if reading.invert => {
                "black is inside, because of `\"invert\": true`; leave it out if white is inside"
            }
            Some(Shape::Mask { .. }) => {
                "white is inside; if black is, add `\"invert\": true` beside `mask`"
            }
            _ => "the handle is the point of the region that is dragged to the target",
        };
        let message = format!("the handle {handle} lies outside its region");
        findings.fault(ErrorKind::RegionHandleOutside, pointer, message, hint);
    }
}

/// How much of a shape lies outside the image.
#[derive(PartialEq)]
enum Beyond {
    Nothing,
    Part,
    All,
}

fn beyond(outline: &Outline, frame: &Frame) -> Beyond {
    let (low, high) = outline.bounds();
    let (width, height) = (frame.source.width as f64, frame.source.height as f64);
    if high.x <= 0.0 || high.y <= 0.0 || low.x >= width || low.y >= height {
        Beyond::All
    } else if frame.source.contains(low) && frame.source.contains(high) {
        Beyond::Nothing
    } else {
        Beyond::Part
    }
}

/// Returns a hint with the smallest size of a region.
pub(super) fn size_needed(frame: &Frame) -> String {
    let side = (LATENT_CELL as f64 / frame.scale().mean()).ceil();
    format!(
        "at working size a region needs at least {LATENT_CELL} x {LATENT_CELL} pixels, which is {side} x {side} pixels of this image"
    )
}
