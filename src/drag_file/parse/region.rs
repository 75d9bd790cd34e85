//! The parser's regions: `id`, `type` and `region`, and the points of most types.

use super::super::reader::{Fields, Node, quoted};
use super::super::suggestion::did_you_mean;
use super::super::{DragRegion, Shape};
use super::Parser;
use super::motion::{KEYS, MAX_DEGREES};
use crate::error::ErrorKind;
use crate::escape::is_unprintable;
use crate::geometry::{Point, PointPair};
use crate::region::RegionKind;
use crate::settings::either;

/// Maximum number of characters in an `id`.
pub(crate) const MAX_ID: usize = 64;

impl<'a> Parser<'a> {
    pub(super) fn region(&mut self, index: usize, node: &Node<'a>) -> Option<DragRegion> {
        self.reader.places.insert(node.pointer.clone(), node.span());
        let fields = self.reader.fields(node, &KEYS, "a region")?;
        let id = self.id(index, node, &fields);
        let kind = self
            .reader
            .required(node, &fields, "type")
            .and_then(|kind| self.kind(kind));
        let Some(kind) = kind else {
            self.check_without_type(&fields);
            return None;
        };
        let drag = self.drag(kind, node, &fields);
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

    /// Reads the values of a region without a valid type, of which any key may be right or missing.
    fn check_without_type(&mut self, fields: &Fields<'a>) {
        if let Some(node) = fields.get("region") {
            self.shape(node);
        }
        for key in ["handle", "target", "center", "anchor"] {
            if let Some(node) = fields.get(key) {
                self.reader.point(node);
            }
        }
        for key in ["handles", "targets"] {
            if let Some(node) = fields.get(key) {
                self.reader.three_points(node);
            }
        }
        for (key, limit) in [("angle", MAX_DEGREES), ("factor", f64::INFINITY)] {
            if let Some(node) = fields.get(key) {
                self.reader.number(node, limit);
            }
        }
    }

    pub(super) fn required_shape(
        &mut self,
        region: &Node<'a>,
        fields: &Fields<'a>,
    ) -> Option<Shape> {
        self.reader
            .required(region, fields, "region")
            .and_then(|node| self.shape(node))
    }

    pub(super) fn required_points(
        &mut self,
        region: &Node<'a>,
        fields: &Fields<'a>,
    ) -> Option<PointPair> {
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
