//! A manifest: one line of JSON for each item, with paths relative to the manifest.
//!
//! ```text
//! {"id": "cat", "image": "in/cat.png", "drag": "drags/cat.json", "out": "cat.png", "settings": {"seed": 7}}
//! ```
//!
//! Only `image` must be there. `id` is else the picture's path without its extension, `out` that path with `.png`, and `drag` is what
//! the command line gives for all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::list::{Entry, Fault};
use crate::error::{Error, ErrorKind, Result};
use crate::method::{Method, groups};
use crate::plan::Choice;
use crate::settings::Overrides;

/// A longer line is refused before it is read whole.
const MAX_LINE: u64 = 1 << 20;

/// One line.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Line {
    /// The item's name in records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The picture.
    pub image: PathBuf,
    /// The drag file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drag: Option<PathBuf>,
    /// The result, inside the output folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// The item's drag method, which takes precedence over that of its drag file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Settings of this item, which take precedence over those of its drag file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Map<String, Value>>,
    /// Whoever wrote the manifest may keep notes in keys that start with `x-`, and in `comment`.
    #[serde(flatten, skip_serializing)]
    other: BTreeMap<String, Value>,
}

/// All lines that are not empty, each with what is wrong with it.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>> {
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
        let read = std::io::Read::take(&mut reader, MAX_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(failed)?;
        number += 1;
        if read == 0 {
            return Ok(entries);
        }
        let place = format!("{}:{number}", path.display());
        if read as u64 == MAX_LINE && bytes.last() != Some(&b'\n') {
            entries.push(Entry::broken(
                place,
                number,
                "is longer than a mebibyte".into(),
            ));
            // What follows cannot be told from the rest of it.
            return Ok(entries);
        }
        let text = bytes
            .strip_prefix(b"\xEF\xBB\xBF".as_slice())
            .filter(|_| number == 1)
            .unwrap_or(&bytes)
            .trim_ascii();
        if !text.is_empty() {
            entries.push(entry(text, place, number));
        }
    }
}

fn entry(text: &[u8], place: String, number: usize) -> Entry {
    let line: Line = match serde_json::from_slice(text) {
        Ok(line) => line,
        // The line's own number is in the place; the parser's would always be 1.
        Err(error) => {
            let said = error.to_string();
            let said = said.split(" at line ").next().unwrap_or(&said).to_owned();
            return Entry::broken(place, number, format!("column {}: {said}", error.column()));
        }
    };
    let known = |key: &&String| key.starts_with("x-") || *key == "comment";
    if let Some(key) = line.other.keys().find(|key| !known(key)) {
        return Entry::broken(
            place,
            number,
            format!(
                "`{key}` is no key of a manifest; they are id, image, drag, out, method and settings"
            ),
        );
    }
    let choice = match line.choice() {
        Ok(choice) => choice,
        Err(reason) => return Entry::broken(place, number, format!("settings: {reason}")),
    };
    let Line {
        id,
        image,
        drag,
        out,
        ..
    } = line;
    Entry {
        place,
        number,
        id,
        image,
        drag,
        out,
        choice,
        fault: None,
    }
}

impl Line {
    /// Returns the method and the settings of the line; `None` when it has neither.
    fn choice(&self) -> std::result::Result<Option<Box<Choice>>, String> {
        if self.method.is_none() && self.settings.is_none() {
            return Ok(None);
        }
        let (map, groups) = (self.settings.clone().unwrap_or_default(), groups());
        let values = Overrides::from_map(&map, &groups)
            .map_err(|key| format!("`{key}` is no setting; `dragnext settings` shows all"))?;
        values.check(&groups).map_err(|error| error.to_string())?;
        Ok(Some(Box::new(Choice {
            method: self.method,
            values,
        })))
    }
}

impl Entry {
    fn broken(place: String, number: usize, reason: String) -> Self {
        let hint = "each line is one JSON object, such as {\"image\": \"cat.png\", \"drag\": \"cat.json\"}";
        let fault = Fault {
            place: place.clone(),
            kind: ErrorKind::ManifestLine,
            reason,
            hint,
        };
        Self {
            fault: Some(fault),
            ..Self::of(place, number, PathBuf::new())
        }
    }
}
