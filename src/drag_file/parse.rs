//! The parser of drag files: from bytes to a [`DragFile`], or to all faults of the file.

mod affine;
mod motion;
mod region;
mod shape;

use std::collections::HashMap;
use std::path::PathBuf;

use jsonc_parser::ast::Value;

use super::overrides::{method, overrides};
use super::reader::{Node, Reader, quoted};
use super::suggestion::did_you_mean;
use super::syntax::{syntax, text, too_large};
use super::types::region_index;
use super::{DragFile, DragRegion, Editable, MAX_AREAS, MAX_BYTES, MAX_PROMPT, MAX_REGIONS};
use crate::error::{DragFileFault, ErrorKind, SourceText};
use crate::settings::Overrides;

pub(crate) use motion::FACTORS;
pub(super) use motion::{KEYS, MAX_DEGREES, keys};
pub(crate) use region::MAX_ID;

/// The version of the format that this program reads.
pub(super) const VERSION: u32 = 1;

/// Parses the bytes of a drag file.
///
/// # Errors
/// All faults of the file in the order of their places; never empty.
pub(super) fn parse(bytes: &[u8]) -> Result<DragFile, Vec<DragFileFault>> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(vec![too_large()]);
    }
    let source = SourceText::new(&text(bytes)?);
    let tree = syntax(&source)?;
    let mut parser = Parser {
        reader: Reader::new(&source),
        points: 0,
        embedded: 0,
        ids: HashMap::new(),
    };
    let parsed = parser.file(&tree);
    let Reader {
        mut faults, places, ..
    } = parser.reader;
    match parsed {
        Some(drag) if faults.is_empty() => Ok(DragFile { places, ..drag }),
        _ => {
            faults.sort_by_key(|fault| (fault.line, fault.column));
            for fault in &mut faults {
                fault.region = region_at(&tree, &fault.pointer);
            }
            Err(faults)
        }
    }
}

/// Returns the `id` that the file gives to the region that a pointer leads into.
fn region_at(tree: &Value, pointer: &str) -> Option<String> {
    let region = tree
        .as_object()?
        .get_array("regions")?
        .elements
        .get(region_index(pointer)?)?;
    let id = &region.as_object()?.get_string("id")?.value;
    region::is_id(id).then(|| id.to_string())
}

/// Reads the values of a drag file and collects its faults.
struct Parser<'a> {
    reader: Reader<'a>,
    /// Number of polygon corners so far.
    points: usize,
    /// Number of bytes of embedded masks so far.
    embedded: usize,
    /// The pointer to each `id`.
    ids: HashMap<String, String>,
}

impl<'a> Parser<'a> {
    /// Reads a prompt. Its length is bounded before anything is computed from it.
    fn prompt(&mut self, node: &Node<'a>) -> Option<&'a str> {
        let prompt = self.reader.string(node)?;
        let length = prompt.chars().take(MAX_PROMPT + 1).count();
        if length > MAX_PROMPT {
            self.reader.fault(
                ErrorKind::InstructionPromptTooLong,
                node,
                format!("longer than {MAX_PROMPT} characters, of which a text encoder reads a few hundred"),
            );
            return None;
        }
        Some(prompt)
    }

    /// Reads the file; the places of its values stay in the reader.
    fn file(&mut self, tree: &'a Value<'a>) -> Option<DragFile> {
        let root = self.reader.root(tree);
        if !matches!(tree, Value::Object(_)) {
            self.reader.fault(
                ErrorKind::InstructionSyntax,
                &root,
                "a drag file is a JSON object: {\"version\": 1, \"regions\": [...]}",
            );
            return None;
        }
        if self.is_other_version(tree) {
            return None;
        }
        let known = [
            "$schema",
            "version",
            "method",
            "prompt",
            "edit_prompt",
            "editable",
            "regions",
            "settings",
        ];
        let fields = self.reader.fields(&root, &known, "an object")?;
        if let Some(version) = self.reader.required(&root, &fields, "version") {
            self.reader.number(version, f64::INFINITY);
        }
        let method = fields
            .get("method")
            .and_then(|node| method(&mut self.reader, node));
        if let Some(node) = fields.get("$schema") {
            self.reader.string(node);
        }
        let mut prompt_of = |key| fields.get(key).and_then(|node| self.prompt(node));
        let (prompt, edit_prompt) = (prompt_of("prompt"), prompt_of("edit_prompt"));
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
        Some(DragFile {
            version: VERSION,
            method,
            prompt: prompt.unwrap_or_default().to_owned(),
            edit_prompt: edit_prompt.map(ToOwned::to_owned),
            editable: editable?,
            regions: regions?,
            settings,
            path: PathBuf::new(),
            source: self.reader.source.clone(),
            places: HashMap::new(),
        })
    }

    /// Reports a version that this program does not read; the keys of such a file are unknown.
    fn is_other_version(&mut self, tree: &'a Value<'a>) -> bool {
        let Some(version) = tree.as_object().and_then(|object| object.get("version")) else {
            return false;
        };
        let is_other = version
            .value
            .as_number_lit()
            .is_some_and(|number| number.value.parse() != Ok(f64::from(VERSION)));
        if is_other {
            let node = Node {
                pointer: "/version".into(),
                value: &version.value,
            };
            self.reader.fault_with_hint(
                ErrorKind::InstructionVersion,
                &node,
                format!("this program reads version {VERSION}"),
                Some("a newer program may read this file".into()),
            );
        }
        is_other
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
            let hint =
                format!("at most {MAX_AREAS} of them may have an area, the others are points");
            self.reader
                .fault_with_hint(ErrorKind::InstructionTooLarge, node, message, Some(hint));
            return None;
        }
        let regions: Vec<Option<DragRegion>> = list
            .iter()
            .enumerate()
            .map(|(index, entry)| self.region(index, entry))
            .collect();
        let has_area = |region: &&DragRegion| region.drag.shape().is_some();
        let areas = regions.iter().flatten().filter(has_area).count();
        if areas > MAX_AREAS {
            let message =
                format!("there are {areas} regions with an area; at most {MAX_AREAS} are allowed");
            let hint = format!(
                "join areas that move alike; up to {MAX_REGIONS} regions may be of type `point`"
            );
            self.reader
                .fault_with_hint(ErrorKind::InstructionTooLarge, node, message, Some(hint));
            return None;
        }
        regions.into_iter().collect()
    }
}
