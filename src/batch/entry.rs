//! One entry of a list, before and after it is checked.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::files;
use crate::plan::Choice;

/// An entry as the folder or the manifest gives it.
#[derive(Debug, Clone)]
pub(super) struct ListEntry {
    /// How messages name it: `list.jsonl:3`, or the path of the picture.
    pub(super) place: String,
    /// Line of the manifest, or position among the pictures, from 1.
    pub(super) number: usize,
    pub(super) id: Option<String>,
    /// Relative to the list's folder, as is `drag`.
    pub(super) image: PathBuf,
    pub(super) drag: Option<PathBuf>,
    /// Relative to the output folder.
    pub(super) out: Option<PathBuf>,
    pub(super) category: Option<String>,
    pub(super) choice: Option<Box<Choice>>,
    /// The contact sheet that its result is on, relative to the output folder.
    pub(super) sheet: Option<PathBuf>,
    pub(super) fault: Option<ListFault>,
}

impl ListEntry {
    /// Returns an entry that gives only its picture.
    pub(super) fn new(place: String, number: usize, image: PathBuf) -> Self {
        Self {
            place,
            number,
            id: None,
            image,
            drag: None,
            out: None,
            category: None,
            choice: None,
            sheet: None,
            fault: None,
        }
    }

    /// Returns a variant of the entry with a mark such as `seed-1` in its id and its output, and a choice to add to; `None` for a faulty
    /// entry, which stays as it was written, so that its fault is reported once.
    pub(super) fn variant(&self, mark: &str) -> Option<Self> {
        let names_no_png = |out: &Path| {
            out.to_string_lossy().ends_with(std::path::is_separator)
                || files::check_png_name(out).is_err()
        };
        if self.fault.is_some() || self.out.as_deref().is_some_and(names_no_png) {
            return None;
        }
        let out = self.out.clone().unwrap_or_else(|| self.image.clone());
        let mut name = out.file_stem().unwrap_or_default().to_owned();
        name.push(format!(".{mark}.png"));
        Some(Self {
            id: Some(format!("{}.{mark}", self.id())),
            out: Some(out.with_file_name(name)),
            ..self.clone()
        })
    }

    /// Returns the given id, else the picture's path without its extension.
    pub(super) fn id(&self) -> String {
        self.id.clone().unwrap_or_else(|| {
            let stem = self.image.with_extension("");
            if stem.as_os_str().is_empty() {
                format!("line {}", self.number)
            } else {
                stem.to_string_lossy().into_owned()
            }
        })
    }
}

/// Why an entry cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListFault {
    /// How messages name the entry: a line of the manifest, or a picture.
    pub place: String,
    /// `manifest.line`, `manifest.duplicate_id`, `manifest.same_output`, `manifest.path_escapes`, `manifest.name`,
    /// `manifest.not_a_file`, `manifest.missing`, `manifest.no_drag` or `manifest.output`.
    pub kind: ErrorKind,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub hint: &'static str,
}

impl ListFault {
    /// Returns the fault as an error.
    pub(super) fn error(&self) -> Error {
        Error::Batch {
            kind: self.kind,
            reason: format!("{}: {}", self.place, self.reason),
            hint: self.hint.to_owned(),
        }
    }
}

/// An entry that was checked.
#[derive(Debug)]
pub(crate) struct Item {
    /// Position in the list, from 0; decides the item's shard.
    pub index: usize,
    /// Its name in records.
    pub id: String,
    /// The picture.
    pub image: PathBuf,
    /// The item's own drag file; `None` when it uses the one for all items.
    pub drag: Option<PathBuf>,
    /// The result.
    pub out: PathBuf,
    /// The group that an evaluation reports it in.
    pub category: Option<String>,
    /// Settings of the manifest's line, which take precedence over those of the drag file.
    pub choice: Option<Box<Choice>>,
    /// The contact sheet that its result is on.
    pub sheet: Option<PathBuf>,
    /// Why it cannot be edited, in a run that continues without it.
    pub fault: Option<Box<ListFault>>,
}
