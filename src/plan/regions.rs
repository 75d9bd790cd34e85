//! Regions of the drag file in working coordinates.
//!
//! [`region`] turns one entry of the drag file into a [`Region`] and reports what does not fit the image; [`compare`] warns of
//! doubtful combinations.

use std::collections::BTreeSet;

use super::Amount;
use super::checks;
use super::findings::Findings;
use super::motion::motion;
use super::shapes::{POINT_RADIUS, SourceArea};
use crate::drag_file::{Drag, DragRegion, FACTORS, Growth, Turn};
use crate::error::ErrorKind;
use crate::geometry::{Frame, Point, PointPair};
use crate::mask::Mask;
use crate::region::{Motion, Region, RegionKind};
use crate::warning::WarningKind;

/// Returns region `index` of the drag file, which covers `area`; `None` when its area or its motion is unknown.
///
/// The findings get the faults. With faults, a region may still be returned, for the preview.
pub(super) fn region(
    findings: &mut Findings,
    index: usize,
    area: Option<&SourceArea>,
    frame: &Frame,
) -> Option<Region> {
    let DragRegion { id, drag } = &findings.drag.regions[index];
    let before = findings.faults.len();
    let place = |key: &str| format!("/regions/{index}{key}");
    let has_motion = checks::centre(findings, drag, &place("/center"), frame)
        && checks::points(findings, id, drag, &place, frame);
    let mask = area?.on_working(frame, POINT_RADIUS);
    if let Some(shape) = drag.shape() {
        checks::area(findings, id, shape, &mask, &place("/region"), frame);
    }
    if !has_motion {
        return None;
    }
    let motion = motion(drag, |point| frame.to_working(point));
    let points = points(drag, motion, &mask, frame);
    let region = Region::new(id.clone(), drag.kind(), mask, motion, points, frame);
    if findings.faults.len() == before {
        if drag.shape().is_some() {
            checks::handle(findings, drag, &region, &place("/handle"), frame);
        }
        check_cells(findings, drag, &region, &place, frame);
    }
    Some(region)
}

/// Returns a region of the drag file at the picture's own resolution, in the coordinates of the frame's window.
pub(super) fn native(region: &DragRegion, area: &SourceArea, frame: &Frame) -> Region {
    let DragRegion { id, drag } = region;
    let native = frame.native();
    let mask = area.on_working(&native, POINT_RADIUS / frame.scale().mean());
    let motion = motion(drag, |point| native.to_working(point));
    let points = points(drag, motion, &mask, &native);
    Region::new(id.clone(), drag.kind(), mask, motion, points, &native)
}

/// Returns the handle and the target of a region, in working coordinates.
fn points(drag: &Drag, motion: Motion, mask: &Mask, frame: &Frame) -> PointPair {
    match drag {
        Drag::Translation { points, .. }
        | Drag::Deformation { points, .. }
        | Drag::Point { points } => points.map(|point| frame.to_working(point)),
        Drag::Rotation { center, turn, .. } => motion.pair(match turn {
            Turn::Points(PointPair { handle, .. }) => frame.to_working(*handle),
            Turn::Angle { .. } => furthest(mask, frame.to_working(*center)),
        }),
        Drag::Scale { center, growth, .. } => motion.pair(match growth {
            Growth::Points(PointPair { handle, .. }) => frame.to_working(*handle),
            Growth::Factor { .. } => furthest(mask, frame.to_working(*center)),
        }),
        Drag::Affine {
            handles: [handle, ..],
            targets: [target, ..],
            ..
        } => PointPair {
            handle: frame.to_working(*handle),
            target: frame.to_working(*target),
        },
    }
}

/// Returns the centre of the mask's pixel that is furthest from a point, of several the first, row by row; the point itself when the mask is
/// empty.
fn furthest(mask: &Mask, from: Point) -> Point {
    let inside = mask.size().centres().zip(&mask.data);
    inside
        .filter_map(|(pixel, inside)| inside.then_some(pixel))
        .fold((0.0, from), |furthest, pixel| {
            let distance = pixel.distance(from);
            if distance > furthest.0 {
                (distance, pixel)
            } else {
                furthest
            }
        })
        .1
}

/// Reports a region that covers no cell of the supervision grid before or after the drag.
fn check_cells(
    findings: &mut Findings,
    drag: &Drag,
    region: &Region,
    place: &impl Fn(&str) -> String,
    frame: &Frame,
) {
    let grid = frame.supervision_grid();
    if region.covered_cells(0.0, &grid).is_empty() {
        let (key, hint) = match drag.shape() {
            Some(_) => ("/region", checks::size_needed(frame)),
            None => (
                "/handle",
                "the picture is too narrow at working size".into(),
            ),
        };
        findings.fault(
            ErrorKind::RegionVanishes,
            &place(key),
            "the region covers no cell of the grid on which features are compared".into(),
            hint,
        );
    } else if region.covered_cells(1.0, &grid).is_empty() {
        let key = match drag {
            Drag::Rotation {
                turn: Turn::Angle { .. },
                ..
            } => "/angle",
            Drag::Scale {
                growth: Growth::Factor { .. },
                ..
            } => "/factor",
            Drag::Affine { .. } => "/targets",
            Drag::Translation { .. }
            | Drag::Deformation { .. }
            | Drag::Rotation { .. }
            | Drag::Scale { .. }
            | Drag::Point { .. } => "/target",
        };
        let shrinks = matches!(drag.kind(), RegionKind::Scale | RegionKind::Affine);
        if shrinks && region.share_lost() < 1.0 {
            let message = "after the drag, the region covers no cell of the grid on which features are compared";
            findings.fault(
                ErrorKind::RegionVanishes,
                &place(key),
                message.into(),
                "shrink the region by less",
            );
        } else {
            let message = format!("the region is dragged out of the image ({})", frame.source);
            findings.fault(
                ErrorKind::RegionLeaves,
                &place(key),
                message,
                "choose a target further inside the image",
            );
        }
    }
}

/// Reports regions of the drag file that the amount carries out of the image, or stretches beyond the bounds of drag files, and regions that
/// the largest amount stretches so. `whole` are the regions at the whole drag. Returns the amount, or [`Amount::WHOLE`] for a draft with faults.
pub(super) fn checked(
    findings: &mut Findings,
    whole: &[Region],
    amount: Amount,
    frame: &Frame,
) -> Amount {
    if amount.is_whole() {
        return amount;
    }
    if findings.faults.is_empty() {
        for region in whole {
            check_amount(findings, region, amount, frame);
        }
    }
    if findings.faults.is_empty() {
        amount
    } else {
        Amount::WHOLE
    }
}

fn check_amount(findings: &mut Findings, region: &Region, amount: Amount, frame: &Frame) {
    let entries = &findings.drag.regions;
    let index = entries.iter().position(|entry| entry.id == region.id);
    let place = index.map_or(String::new(), |index| format!("/regions/{index}"));
    let hint = "choose smaller `--amounts`";
    let [least, most] = FACTORS;
    for value in [amount.value(), amount.largest()] {
        let (small, large) = region.motion.carried_out(value).factors();
        if value > 1.0 && (small < least || large > most) {
            let beyond = if small < least { small } else { large };
            let message = format!(
                "at amount {value}, the region would stretch by {beyond:.3}; it must be {least} to {most}"
            );
            findings.fault(ErrorKind::InstructionRange, &place, message, hint);
            return;
        }
    }
    let there = region.clone().carried_out(amount.value());
    if there
        .covered_cells(1.0, &frame.supervision_grid())
        .is_empty()
    {
        let value = amount.value();
        let (kind, message) = if there.share_lost() < 1.0 {
            (
                ErrorKind::RegionVanishes,
                format!(
                    "at amount {value}, the region covers no cell of the grid on which features are compared"
                ),
            )
        } else {
            (
                ErrorKind::RegionLeaves,
                format!(
                    "at amount {value}, the region is dragged out of the image ({})",
                    frame.source
                ),
            )
        };
        findings.fault(kind, &place, message, hint);
    }
}

/// Warns of regions that do not move, that are partly dragged out of the image, and that are dragged onto each other.
pub(super) fn compare(findings: &mut Findings, moving: &[Region], still: &[Region], frame: &Frame) {
    for region in still {
        let moves = match region.motion {
            _ if !region.is_still() => {
                "is within two cells of its target, where a point counts as arrived,"
            }
            Motion::Turn { .. } => "turns by less than 0.06 degrees",
            Motion::Shift { .. }
            | Motion::Scale { .. }
            | Motion::Affine { .. }
            | Motion::Anchored { .. } => "moves by less than a pixel",
        };
        findings.warn(
            WarningKind::RegionNoMotion,
            format!("region `{}` {moves} and is left out", region.id),
        );
    }
    // The size of a point's disc is not the user's choice.
    let shaped = moving
        .iter()
        .filter(|region| region.kind != RegionKind::Point);
    for region in shaped {
        let lost = region.share_lost();
        if lost > 0.0 {
            let share = if lost < 0.01 {
                "less than 1".into()
            } else {
                format!("{:.0}", lost * 100.0)
            };
            findings.warn(
                WarningKind::RegionPartlyLeaves,
                format!(
                    "{share} % of region `{}` is dragged out of the image",
                    region.id
                ),
            );
        }
    }
    for (a, b) in overlaps(moving, frame) {
        let message = format!(
            "regions `{}` and `{}` are dragged onto each other; both pull where they overlap",
            moving[a].id, moving[b].id
        );
        findings.warn(WarningKind::RegionOverlap, message);
    }
}

/// Returns the pairs of regions that cover a cell of the supervision grid in common after the drag.
fn overlaps(moving: &[Region], frame: &Frame) -> BTreeSet<(usize, usize)> {
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
    pairs
}
