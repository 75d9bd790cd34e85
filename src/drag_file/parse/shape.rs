//! The parser's shapes: `rect`, `ellipse`, `polygon` and `mask`.

use super::super::reader::{Fields, Node, quoted};
use super::super::suggestion::did_you_mean;
use super::super::{MAX_EMBEDDED, MAX_POINTS, Shape};
use super::Parser;
use crate::error::ErrorKind;
use crate::geometry::Point;
use crate::mask::{MaskChannel, MaskReading, MaskSource};
use crate::outline::Outline;
use crate::settings::either;

/// A polygon whose corners lie this close to one line, in pixels, has no area.
const FLAT: f64 = 1e-6;

impl<'a> Parser<'a> {
    pub(super) fn shape(&mut self, node: &Node<'a>) -> Option<Shape> {
        const READING: [&str; 2] = ["channel", "invert"];
        let known = ["rect", "ellipse", "polygon", "mask", READING[0], READING[1]];
        let fields = self.reader.fields(node, &known, "a shape")?;
        let shapes: Vec<_> = (fields.entries.iter())
            .filter(|(key, _)| !READING.contains(key))
            .collect();
        let reading = self.reading(&fields);
        let (key, value) = match &*shapes {
            [(key, _)] if *key != "mask" && shapes.len() < fields.entries.len() => {
                self.reader.fault(
                    ErrorKind::InstructionConflict,
                    node,
                    format!("`channel` and `invert` belong to a mask, not to `{key}`"),
                );
                return None;
            }
            [one] => *one,
            [] => {
                self.reader.fault(
                    ErrorKind::InstructionMissingField,
                    node,
                    "a shape is one of `rect`, `ellipse`, `polygon` and `mask`",
                );
                return None;
            }
            [(first, _), (second, other), ..] => {
                self.reader.fault(
                    ErrorKind::InstructionConflict,
                    other,
                    format!("a shape is one thing, not `{first}` and `{second}`"),
                );
                return None;
            }
        };
        match *key {
            "rect" => self.rect(value).map(Shape::Outline),
            "ellipse" => self.ellipse(value).map(Shape::Outline),
            "polygon" => self.polygon(value).map(Shape::Outline),
            _ => self.mask(value, reading),
        }
    }

    fn rect(&mut self, node: &Node<'a>) -> Option<Outline> {
        let edges @ [left, top, right, bottom] =
            self.reader.coordinates(node, "[x0, y0, x1, y1]")?;
        if left >= right || top >= bottom {
            self.reader.fault(
                ErrorKind::InstructionRange,
                node,
                "a rectangle [x0, y0, x1, y1] needs x0 < x1 and y0 < y1",
            );
            return None;
        }
        Some(Outline::Rect(edges))
    }

    fn ellipse(&mut self, node: &Node<'a>) -> Option<Outline> {
        let numbers @ [_, _, rx, ry] = self.reader.coordinates(node, "[cx, cy, rx, ry]")?;
        if rx <= 0.0 || ry <= 0.0 {
            self.reader.fault(
                ErrorKind::InstructionRange,
                node,
                "the radii of an ellipse [cx, cy, rx, ry] must be above 0",
            );
            return None;
        }
        Some(Outline::Ellipse(numbers))
    }

    fn polygon(&mut self, node: &Node<'a>) -> Option<Outline> {
        let list = self.reader.list(node, "a list of points [x, y]")?;
        self.points += list.len();
        if self.points > MAX_POINTS {
            self.reader.fault(
                ErrorKind::InstructionTooLarge,
                node,
                format!("the file's polygons have more than {MAX_POINTS} points"),
            );
            return None;
        }
        let corners: Vec<Option<Point>> = list
            .iter()
            .map(|corner| self.reader.point(corner))
            .collect();
        let corners: Vec<Point> = corners.into_iter().collect::<Option<_>>()?;
        if corners.len() < 3 {
            self.reader.fault(
                ErrorKind::InstructionRange,
                node,
                format!("a polygon needs at least 3 points, found {}", corners.len()),
            );
            return None;
        }
        if on_one_line(&corners) {
            self.reader.fault(
                ErrorKind::InstructionRange,
                node,
                "the polygon's points lie on one line",
            );
            return None;
        }
        Some(Outline::Polygon(corners))
    }

    /// Reads `channel` and `invert` of a mask.
    fn reading(&mut self, fields: &Fields<'a>) -> Option<MaskReading> {
        let mut reading = MaskReading::default();
        if let Some(node) = fields.get("channel") {
            let word = self.reader.string(node)?;
            let found = MaskChannel::ALL
                .into_iter()
                .find(|channel| channel.name() == word);
            if found.is_none() {
                let names = MaskChannel::ALL.map(MaskChannel::name);
                let message = format!("expected {}, found {}", either(&names), quoted(word));
                let hint = did_you_mean(word, names);
                self.reader
                    .fault_with_hint(ErrorKind::InstructionRange, node, message, hint);
                return None;
            }
            reading.channel = found;
        }
        if let Some(node) = fields.get("invert") {
            reading.invert = self.reader.boolean(node)?;
        }
        Some(reading)
    }

    fn mask(&mut self, node: &Node<'a>, reading: Option<MaskReading>) -> Option<Shape> {
        let text = self.reader.string(node)?;
        if text.is_empty() {
            self.reader.fault(
                ErrorKind::InstructionRange,
                node,
                "the path of the mask is empty",
            );
            return None;
        }
        let mask = match MaskSource::parse(text) {
            Ok(mask) => mask,
            Err(error) => {
                let hint = "`dragnext draw` writes masks into the drag file; else give the path of a picture";
                self.reader.fault_with_hint(
                    ErrorKind::MaskDecode,
                    node,
                    error.to_string(),
                    Some(hint.into()),
                );
                return None;
            }
        };
        if let MaskSource::Embedded(bytes) = &mask {
            self.embedded += bytes.len();
        }
        if self.embedded > MAX_EMBEDDED {
            self.reader.fault_with_hint(
                ErrorKind::InstructionTooLarge,
                node,
                format!(
                    "the file's embedded masks have more than {} MiB",
                    MAX_EMBEDDED >> 20
                ),
                Some("store large masks as pictures beside the drag file".into()),
            );
            return None;
        }
        Some(Shape::Mask {
            mask,
            reading: reading?,
        })
    }
}

fn on_one_line(corners: &[Point]) -> bool {
    let a = corners[0];
    let Some(b) = corners
        .iter()
        .max_by(|b, c| a.distance(**b).total_cmp(&a.distance(**c)))
    else {
        return true;
    };
    let length = a.distance(*b);
    corners
        .iter()
        .all(|c| ((b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)).abs() <= FLAT * length)
}
