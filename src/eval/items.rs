//! The items of an evaluation: where each original, its drag file and its edits are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::category::by_folder;
use crate::error::{Error, ErrorKind, RecordedKind, Result};
use crate::merge::{Merged, MergedItem, MergedState, RecordedError, folders, found};

/// The items, in the order of the manifest, the folder or the records.
#[derive(Debug)]
pub(crate) struct Items {
    /// One for each drag.
    pub items: Vec<Item>,
    /// Whether each item has the edit of another method.
    pub has_other: bool,
}

/// One drag with its edits.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its id.
    pub id: String,
    /// Its category.
    pub category: Option<String>,
    /// The original.
    pub image: PathBuf,
    /// The drag file.
    pub drag: PathBuf,
    /// The edit; in a comparison, that of the other method follows.
    pub edits: Vec<Edit>,
}

impl Item {
    /// Returns the files that are read.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let edits = self.edits.iter().filter_map(|edit| match edit {
            Edit::File(path) => Some(path),
            Edit::Failed(_) => None,
        });
        [&self.image, &self.drag].into_iter().chain(edits)
    }
}

/// Where an edit is, or why there is none.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Its file, which may not exist.
    File(PathBuf),
    /// It failed when it was made.
    Failed(EditFailure),
}

/// Why there is no edit, or why it cannot be measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EditFailure {
    /// The stable name.
    pub kind: RecordedKind,
    /// The message.
    pub message: String,
}

impl From<&Error> for EditFailure {
    fn from(error: &Error) -> Self {
        Self {
            kind: RecordedKind::Known(error.kind()),
            message: error.to_string(),
        }
    }
}

impl Items {
    /// Returns the items of a list.
    pub(crate) fn of_list(items: Vec<Item>, has_other: bool) -> Self {
        Self::with_categories(items, has_other)
    }

    /// Returns the items of merged records. `other` are the records of another method, whose items are found by their ids. Each comes with
    /// the folders that paths in its records may be relative to.
    pub(crate) fn of_records(
        (merged, roots): (&Merged, &[PathBuf]),
        other: Option<(&Merged, &[PathBuf])>,
    ) -> Self {
        let others: Option<HashMap<&str, &MergedItem>> = other.map(|(merged, _)| {
            let items = merged.items.iter();
            items.map(|item| (item.id.as_str(), item)).collect()
        });
        let other_roots = other.map_or(&[][..], |(_, roots)| roots);
        let path = |path: &Option<PathBuf>| match path {
            Some(path) => found(path, roots).unwrap_or_else(|| path.clone()),
            None => PathBuf::new(),
        };
        let items = merged.items.iter().map(|item| {
            let second = others.as_ref().map(|others| {
                let other = others.get(item.id.as_str());
                other.map_or_else(no_record, |item| edit(item, other_roots))
            });
            Item {
                id: item.id.clone(),
                category: None,
                image: path(&item.image),
                drag: path(&item.drag),
                edits: std::iter::once(edit(item, roots)).chain(second).collect(),
            }
        });
        Self::with_categories(items.collect(), other.is_some())
    }

    /// Takes categories from folders if no item has one.
    fn with_categories(mut items: Vec<Item>, has_other: bool) -> Self {
        if items.iter().all(|item| item.category.is_none()) {
            let paths: Vec<&Path> = items.iter().map(|item| item.image.as_path()).collect();
            let categories = by_folder(&paths);
            for (item, category) in items.iter_mut().zip(categories) {
                item.category = category;
            }
        }
        Self { items, has_other }
    }
}

/// Reads records of one method, with the folders that their paths may be relative to.
///
/// # Errors
/// As [`Merged::read`]; `records.unreadable` for files without a record.
pub(crate) fn read_records(
    files: &[PathBuf],
    manifest: Option<(&Path, &crate::merge::Manifest)>,
) -> Result<(Merged, Vec<PathBuf>)> {
    let merged = Merged::read(files, manifest.map(|(_, manifest)| manifest))?;
    if merged.items.is_empty() {
        return Err(Error::Given {
            path: files.first().cloned().unwrap_or_default(),
            kind: ErrorKind::RecordsUnreadable,
            reason: "contains no records".into(),
            hint: "`dragnext batch` writes records to the folder `records` of its output folder"
                .into(),
        });
    }
    let roots = folders(manifest.map(|(path, _)| path), files);
    Ok((merged, roots))
}

fn edit(item: &MergedItem, roots: &[PathBuf]) -> Edit {
    match (item.state, &item.out, &item.error) {
        (MergedState::Done, Some(out), _) => {
            Edit::File(found(out, roots).unwrap_or_else(|| out.clone()))
        }
        (_, _, Some(RecordedError { kind, message })) => Edit::Failed(EditFailure {
            kind: kind.clone(),
            message: message.clone(),
        }),
        (MergedState::Interrupted, ..) => Edit::Failed(EditFailure {
            kind: RecordedKind::Known(ErrorKind::Interrupted),
            message: "the edit was interrupted".into(),
        }),
        _ => no_record(),
    }
}

fn no_record() -> Edit {
    Edit::Failed(EditFailure {
        kind: RecordedKind::Known(ErrorKind::ImageMissing),
        message: "there is no record of a result".into(),
    })
}
