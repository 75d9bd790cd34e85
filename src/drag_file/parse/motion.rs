//! The parser's motions: the keys that each type of region has, and whether their values describe a motion.

use jsonc_parser::common::Ranged;

use super::super::reader::{Fields, Node, quoted};
use super::super::{Drag, Growth, Turn};
use super::Parser;
use crate::error::ErrorKind;
use crate::geometry::{Point, PointPair};
use crate::region::RegionKind;

/// Maximum angle in degrees, ten turns; a larger one is a mistake.
pub(in super::super) const MAX_DEGREES: f64 = 3600.0;
/// Minimum and maximum factor by which a region stretches in any direction.
pub(crate) const FACTORS: [f64; 2] = [0.05, 20.0];
/// Minimum distance in pixels of a handle or target from a centre or an anchor; a closer point has no direction.
const MIN_RADIUS: f64 = 0.5;

/// All keys of regions.
pub(in super::super) const KEYS: [&str; 11] = [
    "id", "type", "region", "handle", "target", "center", "angle", "factor", "handles", "targets",
    "anchor",
];

/// Returns the keys that regions of a type have besides `id` and `type`.
pub(in super::super) const fn keys(kind: RegionKind) -> &'static [&'static str] {
    match kind {
        RegionKind::Translation => &["region", "handle", "target", "angle"],
        RegionKind::Deformation => &["region", "handle", "target", "anchor"],
        RegionKind::Rotation => &["region", "center", "handle", "target", "angle"],
        RegionKind::Scale => &["region", "center", "handle", "target", "factor"],
        RegionKind::Affine => &["region", "handles", "targets"],
        RegionKind::Point => &["handle", "target"],
    }
}

impl<'a> Parser<'a> {
    /// Reads the motion and the shape of a region of this type.
    pub(super) fn drag(
        &mut self,
        kind: RegionKind,
        region: &Node<'a>,
        fields: &Fields<'a>,
    ) -> Option<Drag> {
        self.refuse_others(kind, fields);
        match kind {
            RegionKind::Translation => self.translation(region, fields),
            RegionKind::Deformation => self.deformation(region, fields),
            RegionKind::Rotation => self.rotation(region, fields),
            RegionKind::Scale => self.scale(region, fields),
            RegionKind::Affine => self.affine(region, fields),
            RegionKind::Point => {
                let points = self.required_points(region, fields)?;
                Some(Drag::Point { points })
            }
        }
    }

    fn translation(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Drag> {
        let shape = self.required_shape(region, fields);
        let points = self.required_points(region, fields);
        let angle = fields.get("angle");
        let angle = angle.map(|node| self.reader.number(node, MAX_DEGREES));
        Some(Drag::Translation {
            shape: shape?,
            points: points?,
            angle: match angle {
                Some(angle) => Some(angle?),
                None => None,
            },
        })
    }

    fn deformation(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Drag> {
        let shape = self.required_shape(region, fields);
        let points = self.required_points(region, fields);
        let anchor = match fields.get("anchor") {
            Some(node) => Some(self.anchor(node, points, fields)?),
            None => None,
        };
        Some(Drag::Deformation {
            shape: shape?,
            points: points?,
            anchor,
        })
    }

    /// Reads an anchor. The part between it and the handle must keep a length.
    fn anchor(
        &mut self,
        node: &Node<'a>,
        points: Option<PointPair>,
        fields: &Fields<'a>,
    ) -> Option<Point> {
        let anchor = self.reader.point(node)?;
        let PointPair { handle, target } = points?;
        let (x, y) = (handle.x - anchor.x, handle.y - anchor.y);
        let length = x.hypot(y);
        if length < MIN_RADIUS {
            self.reader.fault_with_hint(
                ErrorKind::InstructionRange,
                node,
                "the anchor lies on the handle, so nothing is between them to stretch",
                Some("the anchor is the point that stays, away from the handle".into()),
            );
            return None;
        }
        let along = ((target.x - anchor.x) * x + (target.y - anchor.y) * y) / length;
        if along < FACTORS[0] * length {
            self.reader.fault_with_hint(
                ErrorKind::InstructionRange,
                fields.get("target").unwrap_or(node),
                "the target lies at the anchor or beyond it, so the region would fold",
                Some("move the target or the anchor, so that the target stays on the handle's side of the anchor".into()),
            );
            return None;
        }
        Some(anchor)
    }

    fn rotation(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Drag> {
        let shape = self.required_shape(region, fields);
        let center = fields
            .get("center")
            .and_then(|node| self.reader.point(node));
        if fields.get("center").is_none() {
            self.reader.fault(
                ErrorKind::RegionRotationCentre,
                region,
                "a rotation needs a `center`",
            );
        }
        let turn = self.turn(region, fields);
        Some(Drag::Rotation {
            shape: shape?,
            center: center?,
            turn: turn?,
        })
    }

    fn turn(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Turn> {
        match self.points_or(RegionKind::Rotation, "angle", region, fields)? {
            PointsOr::Points(points) => Some(Turn::Points(points)),
            PointsOr::Number(node) => {
                let angle = self.reader.number(&node, MAX_DEGREES)?;
                Some(Turn::Angle { angle })
            }
        }
    }

    fn scale(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Drag> {
        let shape = self.required_shape(region, fields);
        let center = self.reader.required(region, fields, "center").cloned();
        let center = center.and_then(|node| self.reader.point(&node));
        let growth = self.growth(center, region, fields);
        Some(Drag::Scale {
            shape: shape?,
            center: center?,
            growth: growth?,
        })
    }

    fn growth(
        &mut self,
        center: Option<Point>,
        region: &Node<'a>,
        fields: &Fields<'a>,
    ) -> Option<Growth> {
        let [least, most] = FACTORS;
        let is_bounded = |factor: f64| (least..=most).contains(&factor);
        match self.points_or(RegionKind::Scale, "factor", region, fields)? {
            PointsOr::Number(node) => {
                let factor = self.reader.number(&node, f64::INFINITY)?;
                if !is_bounded(factor) {
                    let found = quoted(node.value.text(self.reader.source.text()));
                    let message = format!("`factor` must be {least} to {most}, found {found}");
                    let kind = ErrorKind::InstructionRange;
                    self.reader.fault(kind, &node, message);
                    return None;
                }
                Some(Growth::Factor { factor })
            }
            PointsOr::Points(points) => {
                let center = center?;
                let growth = Growth::Points(points);
                let factor = growth.factor(center);
                let (key, message, hint) = if points.handle.distance(center) < MIN_RADIUS {
                    (
                        "handle",
                        "the handle lies on the centre, so the factor is not defined".into(),
                        "move it away from `center`, or give a `factor`",
                    )
                } else if is_bounded(factor) {
                    return Some(growth);
                } else {
                    (
                        "target",
                        format!(
                            "the region would scale by {factor:.3}; it must be {least} to {most}"
                        ),
                        "the factor is the target's distance from the centre over the handle's",
                    )
                };
                let node = fields.get(key).unwrap_or(region);
                self.reader.fault_with_hint(
                    ErrorKind::InstructionRange,
                    node,
                    message,
                    Some(hint.into()),
                );
                None
            }
        }
    }

    /// Reads handle and target, or returns the number that may stand instead of them.
    fn points_or(
        &mut self,
        kind: RegionKind,
        key: &str,
        region: &Node<'a>,
        fields: &Fields<'a>,
    ) -> Option<PointsOr<'a>> {
        let by_points = fields.get("handle").or(fields.get("target")).is_some();
        let kind = kind.name();
        match fields.get(key) {
            None if by_points => self.required_points(region, fields).map(PointsOr::Points),
            None => {
                self.reader.fault(
                    ErrorKind::InstructionMissingField,
                    region,
                    format!(
                        "a {kind} needs a `handle` and a `target`, or {} `{key}`",
                        article(key)
                    ),
                );
                None
            }
            Some(node) if by_points => {
                self.reader.number(node, f64::INFINITY);
                self.reader.fault(
                    ErrorKind::InstructionConflict,
                    node,
                    format!(
                        "a {kind} has either {} `{key}` or a `handle` and a `target`",
                        article(key)
                    ),
                );
                None
            }
            Some(node) => Some(PointsOr::Number(node.clone())),
        }
    }

    /// Reports the keys that regions of this type do not have.
    fn refuse_others(&mut self, kind: RegionKind, fields: &Fields<'a>) {
        for (key, node) in &fields.entries {
            if !["id", "type"].contains(key) && !keys(kind).contains(key) {
                let name = kind.name();
                let message = format!("{} {name} has no `{key}`", article(name));
                let hint = Some(hint(kind, key).to_owned());
                self.reader
                    .fault_with_hint(ErrorKind::InstructionConflict, node, message, hint);
            }
        }
    }
}

/// Handle and target, or the value of the key that stands instead of them.
enum PointsOr<'a> {
    Points(PointPair),
    Number(Node<'a>),
}

/// Returns the hint at a key that regions of a type do not have.
fn hint(kind: RegionKind, key: &str) -> &'static str {
    match (key, kind) {
        ("region", _) => "to drag a region, use the type `translation` or `deformation`",
        ("center" | "angle", RegionKind::Point) => "to turn a region, use the type `rotation`",
        ("center", _) => "only a `rotation` and a `scale` have a centre",
        ("angle", _) => "only a `rotation` and a `translation` have an angle",
        ("factor", _) => "only a `scale` has a factor",
        ("anchor", _) => "only a `deformation` has an anchor",
        ("handles" | "targets", _) => "only an `affine` region has three handles and targets",
        _ => "an `affine` region has three `handles` and three `targets`",
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with('a') { "an" } else { "a" }
}
