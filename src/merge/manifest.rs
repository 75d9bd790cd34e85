//! The manifest of a batch: the ids of all items, and their lines, to be copied for the items that are not done.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::item::MergedItem;
use crate::error::{Error, ErrorKind, Result};

/// Number of faults after which reading stops: further ones are usually of the same kind.
const MAX_FAULTS: usize = 20;

/// A manifest: one JSON object per line for each item.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    text: Vec<u8>,
    /// Id and byte range of each item's line.
    entries: Vec<(String, Range<usize>)>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image: Option<Cow<'a, str>>,
}

impl Line<'_> {
    /// Returns the given id, else the picture's path without its extension.
    fn id(self) -> Option<String> {
        let stem = || {
            Path::new(self.image.as_deref()?)
                .with_extension("")
                .to_str()
                .map(str::to_owned)
        };
        self.id
            .map(Cow::into_owned)
            .or_else(stem)
            .filter(|id| !id.is_empty())
    }
}

impl Manifest {
    /// Reads the ids of a manifest.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Given`] `manifest.line` for a line without an id, `manifest.duplicate_id` for a repeated id;
    /// [`Error::Several`] of these.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|source| Error::File {
            path: path.to_path_buf(),
            source,
        })?;
        let (mut entries, mut lines, mut errors) = (Vec::new(), HashMap::new(), Vec::new());
        let mut start = 0;
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let place = start..start + line.len();
            start = place.end;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let refuse = |kind, reason: String| {
                let hint = r#"each line is one item, such as {"id": "cat", "image": "cat.png", "drag": "cat.json"}"#.into();
                Error::Given {
                    path: path.to_path_buf(),
                    kind,
                    reason: format!("line {}: {reason}", index + 1),
                    hint,
                }
            };
            match serde_json::from_slice::<Line>(line.trim_ascii()) {
                Ok(entry) => {
                    let Some(id) = entry.id() else {
                        errors.push(refuse(
                            ErrorKind::ManifestLine,
                            "has neither `id` nor `image`".into(),
                        ));
                        continue;
                    };
                    if let Some(first) = lines.insert(id.clone(), index + 1) {
                        errors.push(refuse(
                            ErrorKind::ManifestDuplicateId,
                            format!("the id `{id}` is also that of line {first}"),
                        ));
                    }
                    entries.push((id, place));
                }
                Err(error) => errors.push(refuse(ErrorKind::ManifestLine, without_line(&error))),
            }
            if errors.len() == MAX_FAULTS {
                break;
            }
        }
        Error::all(errors)?;
        Ok(Self {
            path: path.to_path_buf(),
            text,
            entries,
        })
    }

    /// Returns the ids of all items.
    pub(crate) fn ids(&self) -> HashSet<&str> {
        self.entries.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// Returns the items of the manifest in its order, those without a record as missing; and the ids of other items, sorted.
    pub(crate) fn order(&self, items: Vec<MergedItem>) -> (Vec<MergedItem>, Vec<String>) {
        let mut known: HashMap<String, MergedItem> = items
            .into_iter()
            .map(|item| (item.id.clone(), item))
            .collect();
        let take = |(id, _): &(String, _)| {
            known
                .remove(id)
                .unwrap_or_else(|| MergedItem::missing(id.clone()))
        };
        let ordered = self.entries.iter().map(take).collect();
        let mut unknown: Vec<String> = known.into_keys().collect();
        unknown.sort();
        (ordered, unknown)
    }

    /// Returns the lines of these items, unchanged, as a manifest.
    pub fn lines<'a>(&self, items: impl Iterator<Item = &'a MergedItem>) -> Vec<u8> {
        let wanted: HashSet<&str> = items.map(|item| item.id.as_str()).collect();
        let mut text = Vec::new();
        for (_, place) in self
            .entries
            .iter()
            .filter(|(id, _)| wanted.contains(id.as_str()))
        {
            text.extend_from_slice(self.text[place.clone()].trim_ascii());
            text.push(b'\n');
        }
        text
    }

    /// Checks that `path` is in the folder of the manifest, because the paths in a manifest are relative to its folder.
    ///
    /// # Errors
    /// [`Error::Given`] `manifest.elsewhere`.
    pub fn check_beside(&self, path: &Path) -> Result<()> {
        match (real_folder(path), real_folder(&self.path)) {
            (Some(folder), Some(own)) if folder == own => Ok(()),
            _ => Err(Error::Given {
                path: path.to_path_buf(),
                kind: ErrorKind::ManifestElsewhere,
                reason: format!(
                    "is not in the folder of the manifest `{}`",
                    self.path.display()
                ),
                hint: "paths in a manifest are relative to its folder, so both files must be in the same one".into(),
            }),
        }
    }
}

/// Returns the folder of a path, with links resolved.
fn real_folder(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    if folder == Path::new("") {
        Path::new(".").canonicalize().ok()
    } else {
        folder.canonicalize().ok()
    }
}

/// Returns the parser's message without its line number: each line is parsed alone, so the number is always 1.
fn without_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let (message, _) = message.rsplit_once(" at line ").unwrap_or((&message, ""));
    format!("{message} at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest> {
        let folder = tempfile::tempdir().expect("a folder for the manifest");
        let path = folder.path().join("manifest.jsonl");
        std::fs::write(&path, text).expect("a manifest");
        Manifest::read(&path)
    }

    #[test]
    fn lines_are_copied_unchanged() {
        let manifest = read("{\"id\": \"a\", \"x\":  1}\r\n{\"id\":\"b\"}\n{\"id\":\"c\"}")
            .expect("three items");
        let rest = [
            MergedItem::missing("c".into()),
            MergedItem::missing("a".into()),
        ];
        assert_eq!(
            manifest.lines(rest.iter()),
            b"{\"id\": \"a\", \"x\":  1}\n{\"id\":\"c\"}\n"
        );
    }

    #[test]
    fn an_item_without_an_id_is_named_after_its_picture() {
        let manifest =
            read("{\"image\": \"cats/tom.png\"}\n{\"id\": \"b\", \"image\": \"b.jpg\"}\n")
                .expect("two items");
        let ids: Vec<&str> = manifest.entries.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["cats/tom", "b"]);
    }

    #[test]
    fn every_faulty_line_is_reported_with_its_number() {
        let error = read("{\"id\":\"a\"}\n{\"id\":\n{}\n{\"id\":\"a\"}\n")
            .expect_err("three lines are wrong");
        let Error::Several { errors } = &error else {
            panic!("{error}")
        };
        let messages: Vec<String> = errors
            .iter()
            .map(|error| {
                error
                    .to_string()
                    .split_once(".jsonl: ")
                    .expect("a path")
                    .1
                    .to_owned()
            })
            .collect();
        assert_eq!(messages[0], "line 2: EOF while parsing a value at column 6");
        assert_eq!(messages[1], "line 3: has neither `id` nor `image`");
        assert_eq!(messages[2], "line 4: the id `a` is also that of line 1");
        assert_eq!(error.exit_status(), 2);
    }
}
