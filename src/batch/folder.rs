//! Lists the pictures in a folder and its subfolders, each with its drag file.
//!
//! `cat.png` is edited with `cat.json`, else with `cat/drag.json`. Hidden files, the output folder and links to folders are skipped.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use super::entry::{ListEntry, ListFault};
use crate::error::{Error, ErrorKind, Result};
use crate::warning::{Warning, WarningKind};

/// File name extensions of pictures.
const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Paths that were found and skipped.
#[derive(Debug, Default)]
struct Skipped {
    without_drag: Vec<PathBuf>,
    folder_links: Vec<PathBuf>,
}

/// Returns the pictures under `root` that have a drag file, or all of them when `has_common_drag`, sorted by path; with a warning for each
/// kind of path that was skipped.
pub(super) fn read(
    root: &Path,
    outputs: &Path,
    has_common_drag: bool,
) -> Result<(Vec<ListEntry>, Vec<Warning>)> {
    let outputs = fs::canonicalize(outputs).ok();
    let is_outputs = |folder: &Path| outputs.is_some() && fs::canonicalize(folder).ok() == outputs;
    let (mut entries, mut skipped) = (Vec::new(), Skipped::default());
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let names = names(&root.join(&folder))?;
        let files: HashSet<&OsString> = names
            .iter()
            .filter(|(_, kind)| !kind.is_dir())
            .map(|(name, _)| name)
            .collect();
        for (name, kind) in &names {
            let path = folder.join(name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_symlink() && root.join(&path).is_dir() {
                skipped.folder_links.push(path);
            } else if kind.is_dir() {
                if !is_outputs(&root.join(&path)) {
                    folders.push(path);
                }
            } else if is_picture(&path) {
                let beside = path.with_extension("json");
                let inside = path.with_extension("").join("drag.json");
                let drag = if has_common_drag {
                    None
                } else if beside
                    .file_name()
                    .is_some_and(|name| files.contains(&name.to_owned()))
                {
                    Some(beside)
                } else if root.join(&inside).exists() {
                    Some(inside)
                } else {
                    skipped.without_drag.push(path);
                    continue;
                };
                entries.push(entry(root, path, drag, *kind));
            }
        }
    }
    entries.sort_by(|a: &ListEntry, b| a.image.cmp(&b.image));
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.number = index + 1;
    }
    Ok((entries, skipped.warnings(root)))
}

fn entry(root: &Path, image: PathBuf, drag: Option<PathBuf>, kind: FileType) -> ListEntry {
    let place = root.join(&image).display().to_string();
    let entry = ListEntry {
        drag,
        ..ListEntry::new(place.clone(), 0, image)
    };
    if kind.is_file() || kind.is_symlink() {
        return entry;
    }
    let reason = "is a pipe, a socket or a device, not a file".to_owned();
    ListEntry {
        fault: Some(ListFault {
            place,
            kind: ErrorKind::ManifestNotAFile,
            reason,
            hint: "remove it from the folder",
        }),
        ..entry
    }
}

fn names(folder: &Path) -> Result<Vec<(OsString, FileType)>> {
    let failed = |source| Error::File {
        path: folder.to_path_buf(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries
        .map(|entry| {
            entry
                .and_then(|entry| Ok((entry.file_name(), entry.file_type()?)))
                .map_err(failed)
        })
        .collect()
}

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        PICTURES
            .iter()
            .any(|picture| extension.eq_ignore_ascii_case(picture))
    })
}

impl Skipped {
    fn warnings(self, root: &Path) -> Vec<Warning> {
        let warning = |paths: Vec<PathBuf>, kind, one: &str, many: &str| {
            let first = paths.iter().min()?;
            let count = paths.len();
            let what = if count == 1 {
                one.to_owned()
            } else {
                many.replace('#', &count.to_string())
            };
            Some(Warning {
                kind,
                message: format!("{what}, such as `{}`", root.join(first).display()),
            })
        };
        let Self {
            without_drag,
            folder_links,
        } = self;
        let drags = warning(
            without_drag,
            WarningKind::BatchWithoutDrag,
            "skipping 1 picture without a drag file",
            "skipping # pictures without a drag file",
        );
        let links = warning(
            folder_links,
            WarningKind::BatchLinks,
            "skipping 1 link to a folder",
            "skipping # links to folders",
        );
        drags.into_iter().chain(links).collect()
    }
}
