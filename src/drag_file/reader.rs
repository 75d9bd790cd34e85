//! Typed access to the values of a JSON tree, which collects a fault with its place for every value that is missing or wrong.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use jsonc_parser::ast::{ObjectProp, Value};
use jsonc_parser::common::Ranged;

use super::suggestion::did_you_mean;
use crate::error::{DragFileFault, ErrorKind, SourceText};
use crate::geometry::Point;

/// Maximum number of faults that are reported.
pub(crate) const MAX_FAULTS: usize = 100;
/// Maximum number of characters of the file's text in a message.
const MAX_KEY: usize = 40;
/// Maximum absolute value of a coordinate; an f64 below it is exact to a billionth of a pixel.
pub(crate) const MAX_COORDINATE: f64 = 1e6;

/// A value with its JSON pointer.
#[derive(Clone)]
pub(super) struct Node<'a> {
    pub(super) pointer: String,
    pub(super) value: &'a Value<'a>,
}

impl<'a> Node<'a> {
    pub(super) fn span(&self) -> Range<usize> {
        let range = self.value.range();
        range.start..range.end
    }

    fn child(&self, key: &str, value: &'a Value<'a>) -> Self {
        Self {
            pointer: format!(
                "{}/{}",
                self.pointer,
                key.replace('~', "~0").replace('/', "~1")
            ),
            value,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::StringLit(_) => "a string",
            Value::NumberLit(_) => "a number",
            Value::BooleanLit(_) => "true or false",
            Value::Object(_) => "an object",
            Value::Array(_) => "a list",
            Value::NullKeyword(_) => "null",
        }
    }
}

/// The known keys of an object.
pub(super) struct Fields<'a> {
    pub(super) entries: Vec<(&'a str, Node<'a>)>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.entries
            .iter()
            .find_map(|(name, node)| (*name == key).then_some(node))
    }
}

/// Reads values and collects their faults.
pub(super) struct Reader<'a> {
    pub(super) source: &'a SourceText,
    pub(super) faults: Vec<DragFileFault>,
    pub(super) places: HashMap<String, Range<usize>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a SourceText) -> Self {
        Self {
            source,
            faults: Vec::new(),
            places: HashMap::new(),
        }
    }

    pub(super) fn root(&mut self, value: &'a Value<'a>) -> Node<'a> {
        let node = Node {
            pointer: String::new(),
            value,
        };
        self.places.insert(String::new(), node.span());
        node
    }

    pub(super) fn fault(&mut self, kind: ErrorKind, node: &Node, message: impl Into<String>) {
        self.fault_at(
            kind,
            node.pointer.clone(),
            node.span(),
            message.into(),
            None,
        );
    }

    pub(super) fn fault_with_hint(
        &mut self,
        kind: ErrorKind,
        node: &Node,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.fault_at(
            kind,
            node.pointer.clone(),
            node.span(),
            message.into(),
            hint,
        );
    }

    fn fault_at(
        &mut self,
        kind: ErrorKind,
        pointer: String,
        span: Range<usize>,
        message: String,
        hint: Option<String>,
    ) {
        if self.faults.len() < MAX_FAULTS {
            self.faults
                .push(self.source.fault(kind, pointer, span, message, hint));
        }
    }

    fn wrong_type(&mut self, node: &Node, expected: &str) {
        self.fault(
            ErrorKind::InstructionType,
            node,
            format!("expected {expected}, found {}", node.kind()),
        );
    }

    /// Returns the known keys of an object. Unknown and repeated keys are faults; `comment` and keys that start with `x-` are ignored.
    pub(super) fn fields(
        &mut self,
        node: &Node<'a>,
        known: &[&str],
        expected: &str,
    ) -> Option<Fields<'a>> {
        let Value::Object(object) = node.value else {
            self.wrong_type(node, expected);
            return None;
        };
        let mut seen = HashSet::new();
        let mut entries = Vec::new();
        for property in &object.properties {
            let key = property.name.as_str();
            if !seen.insert(key) {
                self.key_fault(
                    ErrorKind::InstructionDuplicateField,
                    node,
                    property,
                    format!("{} is given twice", quoted(key)),
                    None,
                );
            } else if known.contains(&key) {
                let child = node.child(key, &property.value);
                self.places.insert(child.pointer.clone(), child.span());
                entries.push((key, child));
            } else if key != "comment" && !key.starts_with("x-") && self.faults.len() < MAX_FAULTS {
                let hint = did_you_mean(key, known.iter().copied()).unwrap_or_else(|| {
                    format!(
                        "known keys are {}; a key that starts with `x-` is ignored",
                        listed(known)
                    )
                });
                self.key_fault(
                    ErrorKind::InstructionUnknownField,
                    node,
                    property,
                    format!("unknown key {}", quoted(key)),
                    Some(hint),
                );
            }
        }
        Some(Fields { entries })
    }

    /// Reports a fault at a key. The key may be any text, so its pointer is truncated and escaped to fit a message.
    fn key_fault(
        &mut self,
        kind: ErrorKind,
        node: &Node<'a>,
        property: &'a ObjectProp<'a>,
        message: String,
        hint: Option<String>,
    ) {
        let key: String = property
            .name
            .as_str()
            .chars()
            .take(MAX_KEY)
            .flat_map(char::escape_debug)
            .collect();
        let name = property.name.range();
        self.fault_at(
            kind,
            node.child(&key, &property.value).pointer,
            name.start..name.end,
            message,
            hint,
        );
    }

    /// Returns the value of a required key, or reports it missing.
    pub(super) fn required<'f>(
        &mut self,
        parent: &Node<'a>,
        fields: &'f Fields<'a>,
        key: &str,
    ) -> Option<&'f Node<'a>> {
        let found = fields.get(key);
        if found.is_none() {
            // Only the object's first bracket is marked, since the object may span lines.
            let start = parent.span().start;
            self.fault_at(
                ErrorKind::InstructionMissingField,
                parent.pointer.clone(),
                start..start + 1,
                format!("`{key}` is missing"),
                None,
            );
        }
        found
    }

    pub(super) fn list(&mut self, node: &Node<'a>, expected: &str) -> Option<Vec<Node<'a>>> {
        let Value::Array(array) = node.value else {
            self.wrong_type(node, expected);
            return None;
        };
        Some(
            array
                .elements
                .iter()
                .enumerate()
                .map(|(index, value)| node.child(&index.to_string(), value))
                .collect(),
        )
    }

    pub(super) fn string(&mut self, node: &Node<'a>) -> Option<&'a str> {
        let found = node.value.as_string_lit().map(|literal| &*literal.value);
        if found.is_none() {
            self.wrong_type(node, "a string");
        }
        found
    }

    /// Returns a number within `-limit..=limit`.
    pub(super) fn boolean(&mut self, node: &Node<'a>) -> Option<bool> {
        let Value::BooleanLit(literal) = node.value else {
            self.wrong_type(node, "true or false");
            return None;
        };
        Some(literal.value)
    }

    pub(super) fn number(&mut self, node: &Node<'a>, limit: f64) -> Option<f64> {
        let Some(literal) = node.value.as_number_lit() else {
            self.wrong_type(node, "a number");
            return None;
        };
        // 1e999 is a valid JSON number that parses to infinity.
        let number = literal.value.parse().unwrap_or(f64::INFINITY);
        if number.abs() > limit {
            self.fault(
                ErrorKind::InstructionRange,
                node,
                format!(
                    "{} is not between -{limit} and {limit}",
                    quoted(literal.value)
                ),
            );
            return None;
        }
        Some(number)
    }

    /// Returns a list of `N` coordinates; `form` describes it in messages.
    pub(super) fn coordinates<const N: usize>(
        &mut self,
        node: &Node<'a>,
        form: &str,
    ) -> Option<[f64; N]> {
        let list = self.list(node, form)?;
        if list.len() != N {
            self.fault(
                ErrorKind::InstructionType,
                node,
                format!("expected {form}, found a list of {}", list.len()),
            );
            return None;
        }
        let numbers: Vec<Option<f64>> = list
            .iter()
            .map(|entry| self.number(entry, MAX_COORDINATE))
            .collect();
        let numbers: Vec<f64> = numbers.into_iter().collect::<Option<_>>()?;
        numbers.try_into().ok()
    }

    pub(super) fn point(&mut self, node: &Node<'a>) -> Option<Point> {
        self.coordinates(node, "[x, y]")
            .map(|[x, y]| Point::new(x, y))
    }

    /// Returns a list of three points.
    pub(super) fn three_points(&mut self, node: &Node<'a>) -> Option<[Point; 3]> {
        const FORM: &str = "[[x, y], [x, y], [x, y]]";
        let list = self.list(node, FORM)?;
        if list.len() != 3 {
            let message = format!("expected {FORM}, found a list of {}", list.len());
            self.fault(ErrorKind::InstructionType, node, message);
            return None;
        }
        let points: Vec<Option<Point>> = list.iter().map(|entry| self.point(entry)).collect();
        let points: Vec<Point> = points.into_iter().collect::<Option<_>>()?;
        points.try_into().ok()
    }
}

/// Quotes text of the file for a message: in backticks, escaped, truncated.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_KEY)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX_KEY).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

fn listed(keys: &[&str]) -> String {
    keys.iter()
        .map(|key| format!("`{key}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
