//! A manifest: one JSON object per line for each item, with paths relative to the manifest.
//!
//! ```text
//! {"id": "cat", "image": "in/cat.png", "drag": "drags/cat.json", "out": "cat.png", "settings": {"seed": 7}}
//! ```
//!
//! Only `image` is required. `id` defaults to the picture's path in the manifest's folder without its extension, `out` to that path with
//! `.png`, and `drag` to the drag file of the command line. `category` is the group that `eval` reports the item in.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Item;
use super::entry::{ListEntry, ListFault};
use crate::error::{Error, ErrorKind, Result};
use crate::files::content::Content;
use crate::method::{Method, groups};
use crate::plan::Choice;
use crate::settings::Overrides;

/// A longer line is rejected before it is read to its end.
const MAX_LINE: u64 = 1 << 20;

/// What to do about a line that is not an item.
pub(super) const LINE_HINT: &str =
    r#"each line is one JSON object, such as {"image": "cat.png", "drag": "cat.json"}"#;

/// One line of a manifest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct ManifestLine {
    /// The item's name in records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The picture.
    image: PathBuf,
    /// The drag file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drag: Option<PathBuf>,
    /// The result, relative to the output folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out: Option<PathBuf>,
    /// The group that `eval` reports the item in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    /// The item's drag method, which takes precedence over that of its drag file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    /// Settings of this item, which take precedence over those of its drag file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Map<String, Value>>,
    /// All other keys. Only `comment` and keys that start with `x-` are permitted.
    #[serde(flatten, skip_serializing)]
    other: BTreeMap<String, Value>,
}

/// Returns an entry for each line that is not empty. A line that cannot be parsed is an entry with a fault.
pub(super) fn read(path: &Path) -> Result<Vec<ListEntry>> {
    let failed = |source| Error::File {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    let mut reader = BufReader::new(file);
    if let Some(reason) = reader.fill_buf().map_err(failed).map(not_a_manifest)? {
        let place = path.display().to_string();
        return Ok(vec![faulty(place, 1, reason)]);
    }
    let (mut entries, mut number, mut bytes) = (Vec::new(), 0, Vec::new());
    loop {
        bytes.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(failed)?;
        number += 1;
        if read == 0 {
            return Ok(entries);
        }
        let place = format!("{}:{number}", path.display());
        if read as u64 == MAX_LINE && bytes.last() != Some(&b'\n') {
            entries.push(faulty(place, number, "is longer than 1 MiB".into()));
            // The end of the line is unknown, so later lines cannot be read.
            return Ok(entries);
        }
        let text = bytes
            .strip_prefix(b"\xEF\xBB\xBF".as_slice())
            .filter(|_| number == 1)
            .unwrap_or(&bytes)
            .trim_ascii();
        if !text.is_empty() {
            entries.push(parse(text, place, number));
        }
    }
}

/// Returns why a file that starts with these bytes cannot be a manifest.
fn not_a_manifest(start: &[u8]) -> Option<String> {
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Some("the file is UTF-16; save it as UTF-8".into());
    }
    match Content::of(start)? {
        Content::Json => None,
        other => Some(format!("the file is {}", other.phrase())),
    }
}

fn parse(text: &[u8], place: String, number: usize) -> ListEntry {
    let line: ManifestLine = match serde_json::from_slice(text) {
        Ok(line) => line,
        Err(error) => {
            // The parser sees one line, so its line number is always 1; `place` has the right one.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message);
            return faulty(
                place,
                number,
                format!("column {}: {message}", error.column()),
            );
        }
    };
    let is_permitted = |key: &&String| key.starts_with("x-") || *key == "comment";
    if let Some(key) = line.other.keys().find(|key| !is_permitted(key)) {
        let reason = format!(
            "unknown key `{key}`; the keys of a manifest are `id`, `image`, `drag`, `out`, `category`, `method` and `settings`"
        );
        return faulty(place, number, reason);
    }
    let choice = match line.choice() {
        Ok(choice) => choice,
        Err(reason) => return faulty(place, number, format!("settings: {reason}")),
    };
    let ManifestLine {
        id,
        image,
        drag,
        out,
        category,
        ..
    } = line;
    ListEntry {
        place,
        number,
        id,
        image,
        drag,
        out,
        category,
        choice,
        sheet: None,
        fault: None,
    }
}

impl ManifestLine {
    /// Returns the method and the settings of the line; `None` when it has neither.
    fn choice(&self) -> std::result::Result<Option<Box<Choice>>, String> {
        if self.method.is_none() && self.settings.is_none() {
            return Ok(None);
        }
        let (map, groups) = (self.settings.clone().unwrap_or_default(), groups());
        let values = Overrides::from_map(&map, &groups)
            .map_err(|key| format!("`{key}` is not a setting; `dragnext settings` lists them"))?;
        values.check(&groups).map_err(|error| error.to_string())?;
        Ok(Some(Box::new(Choice {
            method: self.method,
            values,
        })))
    }
}

/// Returns the items without a fault as a manifest, with paths relative to `root`, the list's own folder. Outputs are relative to `outputs`.
///
/// # Errors
/// [`Error::Batch`] `manifest.name` for a path that is not valid Unicode.
pub(crate) fn to_manifest(items: &[&Item], root: &Path, outputs: &Path) -> Result<String> {
    let relative = |path: &Path, root: &Path| path.strip_prefix(root).unwrap_or(path).to_path_buf();
    let mut text = String::new();
    for item in items.iter().filter(|item| item.fault.is_none()) {
        let line = ManifestLine {
            id: Some(item.id.clone()),
            image: relative(&item.image, root),
            drag: item.drag.as_ref().map(|drag| relative(drag, root)),
            out: Some(relative(&item.out, outputs)),
            category: item.category.clone(),
            method: item.choice.as_ref().and_then(|choice| choice.method),
            settings: item.choice.as_ref().map(|choice| choice.values.to_map()),
            other: BTreeMap::new(),
        };
        text += &serde_json::to_string(&line).map_err(|_| Error::Batch {
            kind: ErrorKind::ManifestName,
            reason: format!(
                "{}: a manifest cannot contain a path that is not valid Unicode",
                item.image.display()
            ),
            hint: "rename it".into(),
        })?;
        text.push('\n');
    }
    Ok(text)
}

/// Returns the entry of a line that cannot be used.
fn faulty(place: String, number: usize, reason: String) -> ListEntry {
    let fault = ListFault {
        place: place.clone(),
        kind: ErrorKind::ManifestLine,
        reason,
        hint: LINE_HINT,
    };
    ListEntry {
        fault: Some(fault),
        ..ListEntry::new(place, number, PathBuf::new())
    }
}
