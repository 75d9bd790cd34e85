//! The items of an evaluation: where each original, its drag file and its edits are.

use std::path::{Path, PathBuf};

use super::Sides;
use super::category::by_folder;
use crate::error::{Error, RecordedKind};

/// The items, in the order of the manifest, the folder or the records.
#[derive(Debug)]
pub(crate) struct Items {
    /// One for each drag.
    pub items: Vec<Item>,
    /// Which edits each item has.
    pub sides: Sides,
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
    /// Its edits, one for each side.
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
    /// Returns the items with their categories, which are taken from folders if no item has one.
    pub(crate) fn new(mut items: Vec<Item>, sides: Sides) -> Self {
        if items.iter().all(|item| item.category.is_none()) {
            let paths: Vec<&Path> = items.iter().map(|item| item.image.as_path()).collect();
            let categories = by_folder(&paths);
            for (item, category) in items.iter_mut().zip(categories) {
                item.category = category;
            }
        }
        Self { items, sides }
    }
}
