//! The list of all items, as far as merging asks: their ids, and their lines for those that are still to do.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::items::Item;
use crate::error::{Error, ErrorKind, Result};

/// Faults of one file that are told; more of them are of one kind.
const MOST_FAULTS: usize = 20;

/// A manifest: one line of JSON for each item.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    text: Vec<u8>,
    /// Each item's line.
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
    /// The item's own name, else its picture's path without the extension.
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
    /// [`Error::File`]; [`Error::Given`] `manifest.line` for a line without an id, `manifest.duplicate_id` for an id that another line has;
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
                            "names neither an id nor an image".into(),
                        ));
                        continue;
                    };
                    if let Some(first) = lines.insert(id.clone(), index + 1) {
                        errors.push(refuse(
                            ErrorKind::ManifestDuplicateId,
                            format!("the id `{id}` is that of line {first} too"),
                        ));
                    }
                    entries.push((id, place));
                }
                Err(error) => errors.push(refuse(ErrorKind::ManifestLine, without_place(&error))),
            }
            if errors.len() == MOST_FAULTS {
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

    /// Items in the order of the manifest, those without a record among them; and the ids of those that it does not name.
    pub(super) fn order(&self, items: Vec<Item>) -> (Vec<Item>, Vec<String>) {
        let mut known: HashMap<String, Item> = items
            .into_iter()
            .map(|item| (item.id.clone(), item))
            .collect();
        let take = |(id, _): &(String, _)| {
            known
                .remove(id)
                .unwrap_or_else(|| Item::missing(id.clone()))
        };
        let ordered = self.entries.iter().map(take).collect();
        let mut strangers: Vec<String> = known.into_keys().collect();
        strangers.sort();
        (ordered, strangers)
    }

    /// The manifest's own lines of these items, as a manifest.
    pub fn lines<'a>(&self, items: impl Iterator<Item = &'a Item>) -> Vec<u8> {
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

    /// The manifest's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What the parser says; its line is always the first one.
fn without_place(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let (what, _) = said.rsplit_once(" at line ").unwrap_or((&said, ""));
    format!("{what} at column {}", error.column())
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
    fn the_rest_keeps_its_lines_word_by_word() {
        let manifest = read("{\"id\": \"a\", \"x\":  1}\r\n{\"id\":\"b\"}\n{\"id\":\"c\"}")
            .expect("three items");
        let rest = [Item::missing("c".into()), Item::missing("a".into())];
        assert_eq!(
            manifest.lines(rest.iter()),
            b"{\"id\": \"a\", \"x\":  1}\n{\"id\":\"c\"}\n"
        );
    }

    #[test]
    fn an_item_without_a_name_has_that_of_its_picture() {
        let manifest =
            read("{\"image\": \"cats/tom.png\"}\n{\"id\": \"b\", \"image\": \"b.jpg\"}\n")
                .expect("two items");
        let ids: Vec<&str> = manifest.entries.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["cats/tom", "b"]);
    }

    #[test]
    fn every_wrong_line_is_told_with_its_number() {
        let error = read("{\"id\":\"a\"}\n{\"id\":\n{}\n{\"id\":\"a\"}\n")
            .expect_err("three lines are wrong");
        let Error::Several { errors } = &error else {
            panic!("{error}")
        };
        let said: Vec<String> = errors
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
        assert_eq!(said[0], "line 2: EOF while parsing a value at column 6");
        assert_eq!(said[1], "line 3: names neither an id nor an image");
        assert_eq!(said[2], "line 4: the id `a` is that of line 1 too");
        assert_eq!(error.exit_status(), 2);
    }
}
