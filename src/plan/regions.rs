//! Regions of the drag file in working coordinates, and whether they make sense on this image.

use std::collections::BTreeSet;

use super::findings::Findings;
use super::shapes::SourceShape;
use crate::drag_file::{DragRegion, Movement, Shape};
use crate::error::ErrorKind;
use crate::geometry::{Frame, LATENT_CELL, Point, PointPair, turn_angle};
use crate::mask::Mask;
use crate::outline::Outline;
use crate::region::{Motion, Region};
use crate::warning::WarningKind;

/// A handle may stand this many pixels beside its region.
const HANDLE_TOLERANCE: f64 = 1.0;
/// A handle or target this close to the centre has no direction.
const MIN_RADIUS: f64 = 0.5;
/// A centre further outside than so many diagonals of the image turns nothing that a shift would not, and its arcs take long to follow.
const MAX_CENTRE_DIAGONALS: f64 = 8.0;
/// Radii of handle and target that differ by more than this share, and by two pixels, are worth a note.
const RADIUS_TOLERANCE: f64 = 0.1;

const UPRIGHT: &str = "coordinates are pixels of the upright image, from its top left corner; `dragnext preview` draws where they lie";

/// Region `index` of the drag file, whose shape was read as `shape`; `None` when its area or its motion is not known. The findings say what is wrong with it.
pub(super) fn region(
    findings: &mut Findings,
    index: usize,
    shape: Option<&SourceShape>,
    frame: &Frame,
) -> Option<Region> {
    let entry = &findings.drag.regions[index];
    let before = findings.faults.len();
    let place = |key: &str| format!("/regions/{index}{key}");
    let has_motion = check_centre(findings, entry, &place("/center"), frame);
    if has_motion {
        check_points(findings, entry, &place, frame);
    }
    let mask = shape?.on_working(frame);
    check_area(findings, entry, &mask, &place("/region"), frame);
    if !has_motion {
        return None;
    }
    let (motion, points) = motion(&entry.movement, &mask, frame);
    let region = Region::new(entry.id.clone(), entry.kind, mask, motion, points, frame);
    if findings.faults.len() > before {
        return Some(region);
    }

    check_handle(findings, entry, &region, &place("/handle"), frame);
    if region
        .covered_cells(0.0, &frame.supervision_grid())
        .is_empty()
    {
        let message =
            "the region covers no cell of the grid on which regions are compared".to_owned();
        findings.fault(
            ErrorKind::RegionVanishes,
            &place("/region"),
            message,
            size_needed(frame),
        );
    } else if region
        .covered_cells(1.0, &frame.supervision_grid())
        .is_empty()
    {
        let message = format!(
            "the drag carries the region out of the image ({})",
            frame.source
        );
        let key = if matches!(entry.movement, Movement::TurnBy { .. }) {
            "/angle"
        } else {
            "/target"
        };
        findings.fault(
            ErrorKind::RegionLeaves,
            &place(key),
            message,
            "what leaves the image cannot be drawn; choose a nearer target",
        );
    }
    Some(region)
}

/// Warns of what is doubtful about the regions together, and of those that stay where they are.
pub(super) fn compare(findings: &mut Findings, moving: &[Region], still: &[Region], frame: &Frame) {
    for region in still {
        let what = match region.motion {
            Motion::Shift { .. } => "moves by less than a pixel",
            Motion::Turn { .. } => "turns by less than 0.06 degrees",
        };
        findings.warn(
            WarningKind::RegionNoMotion,
            format!("region `{}` {what} and is left out", region.id),
        );
    }
    for region in moving {
        let lost = region.share_lost();
        if lost > 0.0 {
            let share = if lost < 0.01 {
                "less than 1".into()
            } else {
                format!("{:.0}", lost * 100.0)
            };
            findings.warn(
                WarningKind::RegionPartlyLeaves,
                format!("{share} % of region `{}` leave the image", region.id),
            );
        }
    }
    let grid = frame.supervision_grid();
    let mut owner: Vec<Option<usize>> = vec![None; grid.len()];
    let mut pairs = BTreeSet::new();
    for (index, region) in moving.iter().enumerate() {
        for cell in region.covered_cells(1.0, &grid) {
            if let Some(other) = owner[cell].replace(index) {
                pairs.insert((other, index));
            }
        }
    }
    for (a, b) in pairs {
        let message = format!(
            "regions `{}` and `{}` are dragged onto each other; both pull where they overlap",
            moving[a].id, moving[b].id
        );
        findings.warn(WarningKind::RegionOverlap, message);
    }
}

/// Returns the motion of a region and its handle and target, in working coordinates.
fn motion(movement: &Movement, mask: &Mask, frame: &Frame) -> (Motion, PointPair) {
    let turn = |center, angle, handle: Option<Point>| {
        let center = frame.to_working(center);
        let motion = Motion::Turn { center, angle };
        // Only a draft with faults has an empty mask.
        let handle = handle.or_else(|| mask.centroid()).unwrap_or(center);
        (motion, motion.pair(handle))
    };
    match *movement {
        Movement::Pull { handle, target } => {
            let points = PointPair { handle, target }.map(|point| frame.to_working(point));
            (Motion::shift(points), points)
        }
        // The angle is the one between the points on the image, whose two scales may differ from the working picture's.
        Movement::Turn {
            center,
            handle,
            target,
        } => turn(
            center,
            turn_angle(handle, target, center),
            Some(frame.to_working(handle)),
        ),
        Movement::TurnBy { center, angle } => turn(center, angle.to_radians(), None),
    }
}

/// Whether a rotation's centre is close enough to turn anything. It may lie outside: a door's hinge can be beside the picture.
fn check_centre(findings: &mut Findings, entry: &DragRegion, pointer: &str, frame: &Frame) -> bool {
    let (Movement::Turn { center, .. } | Movement::TurnBy { center, .. }) = entry.movement else {
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
        findings.fault(
            ErrorKind::RegionRotationCentre,
            pointer,
            message,
            "a turn about so far a point is a `translation`",
        );
    }
    is_near
}

/// Handle and target lie in the image, and a rotation's have a direction from its centre.
fn check_points(
    findings: &mut Findings,
    entry: &DragRegion,
    place: &impl Fn(&str) -> String,
    frame: &Frame,
) {
    let Some((handle, target)) = entry.movement.handle_and_target() else {
        return;
    };
    for (key, point) in [("/handle", handle), ("/target", target)] {
        if !frame.source.contains(point) {
            let message = format!("point {point} lies outside the image ({})", frame.source);
            findings.fault(
                ErrorKind::InstructionPointOutside,
                &place(key),
                message,
                UPRIGHT,
            );
        }
    }
    let Movement::Turn { center, .. } = entry.movement else {
        return;
    };
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
            "region `{}`: handle and target are {from:.0} and {to:.0} px from the centre; only the angle between them counts",
            entry.id
        );
        findings.warn(WarningKind::RegionRotationRadius, message);
    }
}

/// The region lies in the image and is as large as what a model can move.
fn check_area(
    findings: &mut Findings,
    entry: &DragRegion,
    mask: &Mask,
    pointer: &str,
    frame: &Frame,
) {
    let source = frame.source;
    let beyond = match &entry.shape {
        Shape::Outline(outline) => beyond(outline, frame),
        Shape::Mask { .. } => Beyond::Nothing,
    };
    let count = mask.count();
    if let (Shape::Mask { .. }, 0) = (&entry.shape, count) {
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
                "region `{}` lies partly outside the image ({source}); what is inside counts",
                entry.id
            ),
        );
    }
}

fn check_handle(
    findings: &mut Findings,
    entry: &DragRegion,
    region: &Region,
    pointer: &str,
    frame: &Frame,
) {
    let Some((handle, _)) = entry.movement.handle_and_target() else {
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
        let message = format!("the handle {handle} lies outside its region");
        findings.fault(
            ErrorKind::RegionHandleOutside,
            pointer,
            message,
            "the handle is the point of the region that is pulled to the target",
        );
    }
}

/// How much of a shape lies beyond the image.
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

fn size_needed(frame: &Frame) -> String {
    let side = (LATENT_CELL as f64 / frame.scale().mean()).ceil();
    format!(
        "at working size a region needs at least {LATENT_CELL} x {LATENT_CELL} pixels, which is {side} x {side} pixels of this image"
    )
}
