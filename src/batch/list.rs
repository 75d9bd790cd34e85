//! Reads the list of items and checks all of it before anything runs, so that one attempt reports every fault.

use std::path::{Path, PathBuf};

use super::checker::EntryChecker;
use super::entry::{Item, ListEntry, ListFault};
use super::roots::Root;
use super::unique::check_unique;
use super::{Seeds, folder, manifest, methods};
use crate::error::{Error, ErrorKind, Result};
use crate::files::content::{self, Content};
use crate::foreign;
use crate::method::Method;
use crate::warning::Warning;

/// Where a list comes from.
#[derive(Debug, Clone)]
pub(crate) enum ListSource {
    /// The pictures in a folder and its subfolders.
    Folder(PathBuf),
    /// The lines of a file.
    Manifest(PathBuf),
}

/// The items of a list.
#[derive(Debug)]
pub(crate) struct List {
    /// In the order of the manifest, or of the paths in the folder.
    pub items: Vec<Item>,
    /// Pictures and links that were skipped.
    pub warnings: Vec<Warning>,
    /// The folder that paths are relative to.
    pub root: PathBuf,
}

/// How a list is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListOptions<'a> {
    /// The output folder.
    pub outputs: &'a Path,
    /// The drag file of entries that have none of their own.
    pub drag: Option<&'a Path>,
    /// Each entry becomes one item for each of these seeds.
    pub seeds: &'a Seeds,
    /// Each of these becomes one item for each of these methods.
    pub methods: &'a [Method],
    /// Permit inputs outside the list's folder.
    pub allow_outside: bool,
    /// Turn faulty entries into failed items instead of rejecting the list.
    pub keep_going: bool,
    /// Outputs are only read, so that they may be inputs.
    pub only_reads: bool,
}

impl List {
    /// Reads and checks a list.
    ///
    /// # Errors
    /// [`Error::Batch`] for a faulty entry, [`Error::Several`] for more than one, unless the options say to keep going; `manifest.empty` for a
    /// list without entries; [`Error::File`] when the folder or the manifest cannot be read.
    pub(crate) fn read(source: &ListSource, options: ListOptions) -> Result<Self> {
        let (root, entries, warnings) = match source {
            ListSource::Folder(root) if root.is_file() => return Err(not_a_folder(root)),
            ListSource::Folder(root) => {
                let (entries, warnings) =
                    folder::read(root, options.outputs, options.drag.is_some())?;
                (root.clone(), entries, warnings)
            }
            ListSource::Manifest(path) => {
                let root = path.parent().unwrap_or(Path::new("")).to_path_buf();
                (root, manifest::read(path)?, Vec::new())
            }
        };
        if entries.is_empty() {
            return Err(source.empty());
        }
        if let (ListSource::Manifest(path), true) =
            (source, entries.iter().all(|entry| entry.fault.is_some()))
            && let Some(hint) = foreign::hint(path)
        {
            return Err(Error::Batch {
                kind: ErrorKind::ManifestLine,
                reason: format!("{}: is not a manifest", path.display()),
                hint,
            });
        }
        let folder = Root::new(&root);
        let entries: Vec<ListEntry> = entries
            .into_iter()
            .map(|entry| named(entry, &folder))
            .flat_map(|entry| options.seeds.variants(entry))
            .flat_map(|entry| methods::variants(options.methods, entry))
            .collect();
        let places: Vec<String> = entries.iter().map(|entry| entry.place.clone()).collect();
        let mut checker = EntryChecker::new(&root, options);
        let mut items: Vec<Item> = entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| checker.check(index, entry))
            .collect();
        check_unique(&mut items, &places, options.only_reads);
        if !options.keep_going {
            Error::all(faults(&items))?;
        }
        Ok(Self {
            items,
            warnings,
            root,
        })
    }
}

/// Returns the error about a file that is given as the folder, with what it may be for.
fn not_a_folder(path: &Path) -> Error {
    let is_list = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("jsonl"));
    let hint = match content::of_file(path) {
        Some(Content::Picture(_)) => "`dragnext edit` edits one picture",
        Some(Content::Json) if is_list => "a list is given with `--manifest`",
        Some(Content::Json) => {
            "give a folder of pictures; a drag file for all of them is given with `--drag`, a list with `--manifest`"
        }
        _ => "give a folder of pictures, or a list with `--manifest`",
    };
    Error::Batch {
        kind: ErrorKind::ManifestNotAFile,
        reason: format!("{}: is a file, not a folder", path.display()),
        hint: foreign::hint(path).unwrap_or_else(|| hint.into()),
    }
}

/// Gives an entry whose picture has an absolute path, or one with `..`, the output and the id that its place in the list's folder would give.
fn named(mut entry: ListEntry, root: &Root) -> ListEntry {
    if entry.fault.is_none()
        && !Root::is_plain(&entry.image)
        && let Some(relative) = root.relative(&entry.image)
    {
        let id = relative.with_extension("").to_string_lossy().into_owned();
        entry.id.get_or_insert(id);
        entry
            .out
            .get_or_insert_with(|| relative.with_extension("png"));
    }
    entry
}

/// Returns the faults of a list as errors. The variants of an entry share its fault, which is reported once.
fn faults(items: &[Item]) -> Vec<Error> {
    let mut faults: Vec<&ListFault> = items
        .iter()
        .filter_map(|item| item.fault.as_deref())
        .collect();
    faults.dedup();
    faults.into_iter().map(ListFault::error).collect()
}

impl ListSource {
    fn empty(&self) -> Error {
        let (path, hint) = match self {
            Self::Manifest(path) => (path, manifest::LINE_HINT),
            Self::Folder(path) => (
                path,
                "`cat.png` is edited with `cat.json` beside it, or with `cat/drag.json`; `--drag` gives one drag file for all",
            ),
        };
        let list = path.join("manifest.jsonl");
        let import = if list.is_file() {
            Some(format!(
                "give the list `{}` with `--manifest`",
                list.display()
            ))
        } else {
            foreign::hint(path)
        };
        Error::Batch {
            kind: ErrorKind::ManifestEmpty,
            reason: format!("{}: there is nothing to edit", path.display()),
            hint: import.unwrap_or_else(|| hint.to_owned()),
        }
    }
}
