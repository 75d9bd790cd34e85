//! The parser's affine regions: three handles and three targets that describe a map which neither mirrors nor collapses the region.

use super::super::Drag;
use super::super::reader::{Fields, Node};
use super::Parser;
use super::motion::FACTORS;
use crate::error::ErrorKind;
use crate::geometry::{Linear, Point};

/// Minimum area in pixels of the triangles of handles and targets.
const MIN_AREA: f64 = 1.0;

impl<'a> Parser<'a> {
    pub(super) fn affine(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Drag> {
        let shape = self.required_shape(region, fields);
        let mut triple = |key| {
            let node = self.reader.required(region, fields, key)?;
            let points = self.reader.three_points(node)?;
            Some((node, points))
        };
        let (handles, targets) = (triple("handles"), triple("targets"));
        let ((at_handles, handles), (at_targets, targets)) = (handles?, targets?);
        if let Some((node, message, hint)) = affine_misfit(handles, targets) {
            let node = match node {
                Place::Handles => at_handles,
                Place::Targets => at_targets,
            };
            self.reader.fault_with_hint(
                ErrorKind::InstructionRange,
                node,
                message,
                Some(hint.into()),
            );
            return None;
        }
        Some(Drag::Affine {
            shape: shape?,
            handles,
            targets,
        })
    }
}

/// Where the points of an affine region do not fit.
enum Place {
    Handles,
    Targets,
}

/// Returns where, why and how to mend it when no affine motion takes the handles to the targets.
fn affine_misfit(
    handles: [Point; 3],
    targets: [Point; 3],
) -> Option<(Place, String, &'static str)> {
    let areas = [handles, targets].map(|points| Linear::edges(points).determinant() / 2.0);
    let [least, most] = FACTORS;
    if areas[0].abs() < MIN_AREA {
        let hint = "choose three points around the region, such as three of its corners";
        return Some((Place::Handles, "the handles lie on one line".into(), hint));
    }
    if areas[1].abs() < MIN_AREA {
        let hint = "choose three points that span an area, or the region would collapse";
        return Some((Place::Targets, "the targets lie on one line".into(), hint));
    }
    if areas[0].is_sign_positive() != areas[1].is_sign_positive() {
        let hint = "handles and targets go around in the same direction, and each handle goes to the target at its place";
        let message = "the targets mirror the region".into();
        return Some((Place::Targets, message, hint));
    }
    let (small, large) = Linear::between(handles, targets).factors();
    let beyond = if small < least { small } else { large };
    (small < least || large > most).then(|| {
        let message =
            format!("the region would stretch by {beyond:.3}; it must be {least} to {most}");
        let hint = "keep the targets' triangle closer to the handles' in size and shape";
        (Place::Targets, message, hint)
    })
}
