//! From bytes to a [`DragFile`], or to everything that is wrong with them.

use std::collections::HashMap;
use std::path::PathBuf;

use jsonc_parser::ast::Value;

use super::overrides::{method, overrides};
use super::reader::{Fields, Node, Reader, quoted};
use super::suggestion::did_you_mean;
use super::syntax::{syntax, text, too_large};
use super::types::region_index;
use super::{DragFile, DragRegion, Editable, MAX_BYTES, MAX_POINTS, MAX_REGIONS, Movement, Shape};
use crate::error::{DragFileFault, ErrorKind, SourceText};
use crate::escape::is_unprintable;
use crate::geometry::Point;
use crate::method::Method;
use crate::outline::Outline;
use crate::region::RegionKind;
use crate::settings::{Overrides, either};

/// The version of the format that this program reads.
pub(super) const VERSION: u32 = 1;
/// Characters of a region's name.
pub(super) const MAX_ID: usize = 64;
/// Corners this close to one line, in pixels, enclose nothing.
const FLAT: f64 = 1e-6;
/// Ten turns; more is a mistake.
pub(super) const MAX_DEGREES: f64 = 3600.0;

pub(super) fn parse(bytes: &[u8]) -> Result<DragFile, Vec<DragFileFault>> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(vec![too_large()]);
    }
    let source = SourceText::new(text(bytes)?);
    let tree = syntax(&source)?;
    let mut parser = Parser {
        reader: Reader::new(&source),
        points: 0,
        ids: HashMap::new(),
    };
    let parsed = parser.file(&tree);
    let Reader {
        mut faults, places, ..
    } = parser.reader;
    faults.sort_by_key(|fault| (fault.line, fault.column));
    for fault in &mut faults {
        fault.region = region_at(&tree, &fault.pointer);
    }
    match parsed {
        Some(contents) if faults.is_empty() => {
            drop(tree);
            let Contents {
                method,
                prompt,
                editable,
                regions,
                settings,
            } = contents;
            Ok(DragFile {
                version: VERSION,
                method,
                prompt,
                editable,
                regions,
                settings,
                path: PathBuf::new(),
                source,
                places,
            })
        }
        _ => Err(faults),
    }
}

/// The `id` that the file gives to the region that a pointer leads into.
fn region_at(tree: &Value, pointer: &str) -> Option<String> {
    let region = tree
        .as_object()?
        .get_array("regions")?
        .elements
        .get(region_index(pointer)?)?;
    let id = &region.as_object()?.get_string("id")?.value;
    is_id(id).then(|| id.to_string())
}

/// Is this a name that messages can show?
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_ID && !text.chars().any(is_unprintable)
}

/// The values of a drag file's keys.
struct Contents {
    method: Option<Method>,
    prompt: String,
    editable: Editable,
    regions: Vec<DragRegion>,
    settings: Overrides,
}

struct Parser<'a> {
    reader: Reader<'a>,
    points: usize,
    /// Where each region's name was given, by name.
    ids: HashMap<String, String>,
}

impl<'a> Parser<'a> {
    fn file(&mut self, tree: &'a Value<'a>) -> Option<Contents> {
        let root = self.reader.root(tree);
        if !matches!(tree, Value::Object(_)) {
            self.reader.fault(
                ErrorKind::InstructionSyntax,
                &root,
                "a drag file is a JSON object: {\"version\": 1, \"regions\": [...]}",
            );
            return None;
        }
        // What another version calls its keys is not known here.
        if let Value::Object(object) = tree
            && let Some(version) = object.get("version")
            && version
                .value
                .as_number_lit()
                .is_some_and(|number| number.value.parse() != Ok(f64::from(VERSION)))
        {
            let node = Node {
                pointer: "/version".into(),
                value: &version.value,
            };
            let hint = Some("a newer program may read this file".into());
            self.reader.fault_with_hint(
                ErrorKind::InstructionVersion,
                &node,
                format!("this program reads version {VERSION}"),
                hint,
            );
            return None;
        }
        let known = [
            "$schema", "version", "method", "prompt", "editable", "regions", "settings",
        ];
        let fields = self.reader.fields(&root, &known, "an object")?;
        if let Some(version) = self.reader.required(&root, &fields, "version") {
            self.reader.number(version, f64::INFINITY);
        }
        if let Some(schema) = fields.get("$schema") {
            self.reader.string(schema);
        }
        let method = fields
            .get("method")
            .and_then(|node| method(&mut self.reader, node));
        let prompt = fields
            .get("prompt")
            .and_then(|node| self.reader.string(node))
            .unwrap_or_default()
            .to_owned();
        let editable = fields
            .get("editable")
            .map_or(Some(Editable::Swept), |node| self.editable(node));
        let regions = self
            .reader
            .required(&root, &fields, "regions")
            .and_then(|node| self.regions(node));
        let settings = fields
            .get("settings")
            .map_or_else(Overrides::default, |node| overrides(&mut self.reader, node));
        Some(Contents {
            method,
            prompt,
            editable: editable?,
            regions: regions?,
            settings,
        })
    }

    fn editable(&mut self, node: &Node<'a>) -> Option<Editable> {
        let Value::StringLit(word) = node.value else {
            return self.shape(node).map(Editable::Shape);
        };
        if word.value != "everything" {
            let hint = did_you_mean(&word.value, ["everything"]);
            let message = format!(
                "expected `everything` or a shape, found {}",
                quoted(&word.value)
            );
            self.reader
                .fault_with_hint(ErrorKind::InstructionRange, node, message, hint);
            return None;
        }
        Some(Editable::Everything)
    }

    fn regions(&mut self, node: &Node<'a>) -> Option<Vec<DragRegion>> {
        let list = self.reader.list(node, "a list of regions")?;
        if list.is_empty() {
            self.reader.fault(
                ErrorKind::InstructionNoRegions,
                node,
                "there is no region to drag",
            );
        }
        if list.len() > MAX_REGIONS {
            let message = format!(
                "there are {} regions; at most {MAX_REGIONS} are allowed",
                list.len()
            );
            self.reader
                .fault(ErrorKind::InstructionTooLarge, node, message);
            return None;
        }
        let regions: Vec<Option<DragRegion>> = list
            .iter()
            .enumerate()
            .map(|(index, entry)| self.region(index, entry))
            .collect();
        regions.into_iter().collect()
    }

    fn region(&mut self, index: usize, node: &Node<'a>) -> Option<DragRegion> {
        self.reader.places.insert(node.pointer.clone(), node.span());
        let known = [
            "id", "type", "region", "handle", "target", "center", "angle",
        ];
        let fields = self.reader.fields(node, &known, "a region")?;
        let id = self.id(index, node, &fields);
        let shape = self
            .reader
            .required(node, &fields, "region")
            .and_then(|shape| self.shape(shape));
        let kind = self
            .reader
            .required(node, &fields, "type")
            .and_then(|kind| self.kind(kind));
        let movement = match kind {
            Some(RegionKind::Rotation) => self.turn(node, &fields),
            Some(kind) => self.pull(node, &fields, kind),
            None => self.unknown_movement(&fields),
        };
        Some(DragRegion {
            id: id?,
            kind: kind?,
            shape: shape?,
            movement: movement?,
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
                format!("an `id` has 1 to {MAX_ID} characters, all of them visible"),
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

    fn pull(
        &mut self,
        region: &Node<'a>,
        fields: &Fields<'a>,
        kind: RegionKind,
    ) -> Option<Movement> {
        for key in ["center", "angle"] {
            if let Some(node) = fields.get(key) {
                self.reader.fault(
                    ErrorKind::InstructionConflict,
                    node,
                    format!("a {} has no `{key}`", kind.name()),
                );
            }
        }
        let handle = self.required_point(region, fields, "handle");
        let target = self.required_point(region, fields, "target");
        Some(Movement::Pull {
            handle: handle?,
            target: target?,
        })
    }

    fn turn(&mut self, region: &Node<'a>, fields: &Fields<'a>) -> Option<Movement> {
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
        if let Some(node) = fields.get("angle") {
            let angle = self.reader.number(node, MAX_DEGREES);
            if fields.get("handle").or(fields.get("target")).is_some() {
                self.reader.fault(
                    ErrorKind::InstructionConflict,
                    node,
                    "a rotation has either an `angle` or a `handle` and a `target`",
                );
                return None;
            }
            return Some(Movement::TurnBy {
                center: center?,
                angle: angle?,
            });
        }
        if fields.get("handle").or(fields.get("target")).is_none() {
            self.reader.fault(
                ErrorKind::InstructionMissingField,
                region,
                "a rotation needs a `handle` and a `target`, or an `angle`",
            );
            return None;
        }
        let handle = self.required_point(region, fields, "handle");
        let target = self.required_point(region, fields, "target");
        Some(Movement::Turn {
            center: center?,
            handle: handle?,
            target: target?,
        })
    }

    /// What can be said of a movement whose kind is not known.
    fn unknown_movement(&mut self, fields: &Fields<'a>) -> Option<Movement> {
        for key in ["handle", "target", "center"] {
            fields.get(key).and_then(|node| self.reader.point(node));
        }
        fields
            .get("angle")
            .and_then(|node| self.reader.number(node, MAX_DEGREES));
        None
    }

    fn required_point(
        &mut self,
        region: &Node<'a>,
        fields: &Fields<'a>,
        key: &str,
    ) -> Option<Point> {
        self.reader
            .required(region, fields, key)
            .and_then(|node| self.reader.point(node))
    }

    fn shape(&mut self, node: &Node<'a>) -> Option<Shape> {
        let fields =
            self.reader
                .fields(node, &["rect", "ellipse", "polygon", "mask"], "a shape")?;
        let (key, value) = match &*fields.entries {
            [one] => one,
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
            _ => self.mask(value),
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

    fn mask(&mut self, node: &Node<'a>) -> Option<Shape> {
        let path = self.reader.string(node)?;
        if path.is_empty() {
            self.reader.fault(
                ErrorKind::InstructionRange,
                node,
                "the path of the mask is empty",
            );
            return None;
        }
        Some(Shape::Mask { mask: path.into() })
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
