//! A folder of pictures, each with its drag file: `cat.png` goes with `cat.json`, else with `cat/drag.json`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use super::list::{Entry, Fault};
use crate::error::{Error, ErrorKind, Result};
use crate::warning::{Warning, WarningKind};

/// Extensions of pictures.
const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// What was seen and left out.
#[derive(Debug, Default)]
struct Left {
    without_drag: Vec<PathBuf>,
    links: Vec<PathBuf>,
}

/// All pictures under `root` that have a drag file, or all pictures when one drag file is for all; sorted by their paths. Nothing under
/// `outputs` counts, nothing hidden, and no link to a folder is followed.
pub(super) fn read(
    root: &Path,
    outputs: &Path,
    drag_for_all: bool,
) -> Result<(Vec<Entry>, Vec<Warning>)> {
    let outputs = fs::canonicalize(outputs).ok();
    let is_outputs = |folder: &Path| outputs.is_some() && fs::canonicalize(folder).ok() == outputs;
    let (mut entries, mut left) = (Vec::new(), Left::default());
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
                left.links.push(path);
            } else if kind.is_dir() {
                if !is_outputs(&root.join(&path)) {
                    folders.push(path);
                }
            } else if is_picture(&path) {
                let beside = path.with_extension("json");
                let inside = path.with_extension("").join("drag.json");
                let drag = if drag_for_all {
                    None
                } else if beside
                    .file_name()
                    .is_some_and(|name| files.contains(&name.to_owned()))
                {
                    Some(beside)
                } else if root.join(&inside).exists() {
                    Some(inside)
                } else {
                    left.without_drag.push(path);
                    continue;
                };
                entries.push(entry(root, path, drag, *kind));
            }
        }
    }
    entries.sort_by(|a: &Entry, b| a.image.cmp(&b.image));
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.number = index + 1;
    }
    Ok((entries, left.warnings(root)))
}

fn entry(root: &Path, image: PathBuf, drag: Option<PathBuf>, kind: FileType) -> Entry {
    let place = root.join(&image).display().to_string();
    let entry = Entry {
        drag,
        ..Entry::of(place.clone(), 0, image)
    };
    if kind.is_file() || kind.is_symlink() {
        return entry;
    }
    let reason = "is no file, but a pipe, a socket or a device".to_owned();
    Entry {
        fault: Some(Fault {
            place,
            kind: ErrorKind::ManifestNotAFile,
            reason,
            hint: "take it out of the folder",
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

impl Left {
    fn warnings(self, root: &Path) -> Vec<Warning> {
        let tell = |paths: Vec<PathBuf>, kind, one: &str, many: &str| {
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
            links,
        } = self;
        let drags = tell(
            without_drag,
            WarningKind::BatchWithoutDrag,
            "1 picture has no drag file and is left out",
            "# pictures have no drag file and are left out",
        );
        let links = tell(
            links,
            WarningKind::BatchLinks,
            "1 link to a folder is not followed",
            "# links to folders are not followed",
        );
        drags.into_iter().chain(links).collect()
    }
}
