//! A manifest: one JSON object per line for each item, with paths relative to the manifest.
//!
//! ```text
//! {"id": "cat", "image": "in/cat.png", "drag": "drags/cat.json", "out": "cat.png", "settings": {"seed": 7}}
//! ```
//!
//! Only `image` is required. `id` defaults to the picture's path without its extension, `out` to that path with `.png`, and `drag` to the
//! drag file of the command line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Item;
use super::entry::{ListEntry, ListFault};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::{Overrides, Settings};

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
    /// Settings of this item, which take precedence over those of its drag file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Overrides>,
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
            // The rest of the line cannot be told apart from the lines after it.
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
            "unknown key `{key}`; the keys of a manifest are `id`, `image`, `drag`, `out` and `settings`"
        );
        return faulty(place, number, reason);
    }
    if let Some(Err(error)) = line.settings.as_ref().map(Settings::resolve) {
        return faulty(place, number, format!("settings: {error}"));
    }
    let ManifestLine {
        id,
        image,
        drag,
        out,
        settings,
        other: _,
    } = line;
    ListEntry {
        place,
        number,
        id,
        image,
        drag,
        out,
        settings: settings.map(Box::new),
        fault: None,
    }
}

/// Returns the items without a fault as a manifest, with paths relative to `root`, the list's own folder. Outputs are relative to `outputs`.
///
/// # Errors
/// [`Error::Batch`] `manifest.name` for a path that is not valid Unicode.
pub fn to_manifest(items: &[&Item], root: &Path, outputs: &Path) -> Result<String> {
    let relative = |path: &Path, root: &Path| path.strip_prefix(root).unwrap_or(path).to_path_buf();
    let mut text = String::new();
    for item in items.iter().filter(|item| item.fault.is_none()) {
        let line = ManifestLine {
            id: Some(item.id.clone()),
            image: relative(&item.image, root),
            drag: item.drag.as_ref().map(|drag| relative(drag, root)),
            out: Some(relative(&item.out, outputs)),
            settings: item.settings.as_deref().cloned(),
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
