//! The parser's regions: `id`, `type`, and the keys that each type has.

use super::super::reader::{Fields, Node, quoted};
use super::super::suggestion::did_you_mean;
use super::super::{Drag, DragRegion, Shape, Turn};
use super::Parser;
use crate::error::ErrorKind;
use crate::escape::is_unprintable;
use crate::geometry::{Point, PointPair};
use crate::region::RegionKind;
use crate::settings::either;

/// Maximum number of characters in an `id`.
pub(in super::super) const MAX_ID: usize = 64;
/// Maximum angle of a rotation in degrees, ten turns; a larger one is a mistake.
pub(in super::super) const MAX_DEGREES: f64 = 3600.0;

impl<'a> Parser<'a> {
    pub(super) fn region(&mut self, index: usize, node: &Node<'a>) -> Option<DragRegion> {
        self.reader.places.insert(node.pointer.clone(), node.span());
        let known = [
            "id", "type", "region", "handle", "target", "center", "angle",
        ];
        let fields = self.reader.fields(node, &known, "a region")?;
        let id = self.id(index, node, &fields);
        let kind = self
            .reader
            .required(node, &fields, "type")
            .and_then(|kind| self.kind(kind));
        let drag = match kind {
            Some(RegionKind::Translation) => self
                .translation(RegionKind::Translation, node, &fields)
                .map(|(shape, points)| Drag::Translation { shape, points }),
            Some(RegionKind::Deformation) => self
                .translation(RegionKind::Deformation, node, &fields)
                .map(|(shape, points)| Drag::Deformation { shape, points }),
            Some(RegionKind::Rotation) => self.rotation(node, &fields),
            Some(RegionKind::Point) => self.point(node, &fields),
            None => {
                self.check_without_type(&fields);
                None
            }
        };
        Some(DragRegion {
            id: id?,
            drag: drag?,
        })
    }

    fn id(&mut self, index: usize, region: &Node<'a>, fields: &Fields<'a>) -> Option<String> {
        let node = fields.get("id").unwrap_or(region);
        let id = match fields.get("id") {
            Some(node) => self.reader.string(node)?.to_owned(),
            None => format!("region-{}", index + 1),
        };
        if !is_id(&id) {
            self.reader.fault(
                ErrorKind::InstructionRange,
                node,
                format!("an `id` has 1 to {MAX_ID} visible characters"),
            );
            return None;
        }
        if let Some(first) = self.ids.insert(id.clone(), node.pointer.clone()) {
            self.reader.fault(
                ErrorKind::InstructionDuplicateId,
                node,
                format!("{} is also the `id` at {first}", quoted(&id)),
            );
            return None;
        }
        Some(id)
    }

    fn kind(&mut self, node: &Node<'a>) -> Option<RegionKind> {
        let word = self.reader.string(node)?;
        let found = RegionKind::ALL.into_iter().find(|kind| kind.name() == word);
        if found.is_none() {
            let names = RegionKind::ALL.map(RegionKind::name);
            let hint = did_you_mean(word, names);
            let message = format!("expected {}, found {}", either(&names), quoted(word));
            self.reader
                .fault_with_hint(ErrorKind::InstructionRange, node, message, hint);
        }
        found
    }

    /// Reads the keys of a translation or a deformation.
    fn translation(
        &mut self,
        kind: RegionKind,
        region: &Node<'a>,
        fields: &Fields<'a>,
    ) -> Option<(Shape, PointPair)> {
        let shape = self.required_shape(region, fields);
        for key in ["center", "angle"] {
            self.refuse(
                fields,
                key,
                kind,
                "only a `rotation` has a centre or an angle",
            );
        }
        let points = self.required_points(region, fields);
        Some((shape?, points?))
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
        let by_points = fields.get("handle").or(fields.get("target")).is_some();
        let Some(node) = fields.get("angle") else {
            if by_points {
                return self.required_points(region, fields).map(Turn::Points);
            }
            self.reader.fault(
                ErrorKind::InstructionMissingField,
                region,
                "a rotation needs a `handle` and a `target`, or an `angle`",
            );
            return None;
        };
        let angle = self.reader.number(node, MAX_DEGREES);
        if by_points {
            self.reader.fault(
                ErrorKind::InstructionConflict,
                node,
                "a rotation has either an `angle` or a `handle` and a `target`",
            );
            return None;
        }
        Some(Turn::Angle { angle: angle? })
    }

    fn point(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Drag> {
        for (key, hint) in [
            (
                "region",
                "to drag a region, use the type `translation` or `deformation`",
            ),
            ("center", "to turn a region, use the type `rotation`"),
            ("angle", "to turn a region, use the type `rotation`"),
        ] {
            self.refuse(fields, key, RegionKind::Point, hint);
        }
        let points = self.required_points(region, fields)?;
        Some(Drag::Point { points })
    }

    /// Reads the values of a region without a valid type, of which any key may be right or missing.
    fn check_without_type(&mut self, fields: &Fields<'a>) {
        if let Some(node) = fields.get("region") {
            self.shape(node);
        }
        for key in ["handle", "target", "center"] {
            if let Some(node) = fields.get(key) {
                self.reader.point(node);
            }
        }
        if let Some(node) = fields.get("angle") {
            self.reader.number(node, MAX_DEGREES);
        }
    }

    /// Reports a key that regions of this kind do not have.
    fn refuse(&mut self, fields: &Fields<'a>, key: &str, kind: RegionKind, hint: &str) {
        if let Some(node) = fields.get(key) {
            let message = format!("a {} has no `{key}`", kind.name());
            self.reader.fault_with_hint(
                ErrorKind::InstructionConflict,
                node,
                message,
                Some(hint.to_owned()),
            );
        }
    }

    fn required_shape(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Shape> {
        self.reader
            .required(region, fields, "region")
            .and_then(|node| self.shape(node))
    }

    fn required_points(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<PointPair> {
        let mut point = |key: &str| -> Option<Point> {
            self.reader
                .required(region, fields, key)
                .and_then(|node| self.reader.point(node))
        };
        let (handle, target) = (point("handle"), point("target"));
        Some(PointPair {
            handle: handle?,
            target: target?,
        })
    }
}

/// Returns whether a text can be an `id`: short, and safe to show in a message.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_ID && !text.chars().any(is_unprintable)
}
