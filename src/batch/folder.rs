//! Lists the pictures in a folder and its subfolders, each with its drag file.
//!
//! `cat.png` is edited with `cat.json`, else with `cat/drag.json`. Hidden files, the output folder, links to folders, and folders in which other
//! programs keep their copies are skipped, and so are pictures that this program made beside their originals, such as `cat.edited.png`.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileType};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::entry::{ListEntry, ListFault};
use super::neighbours::{Neighbours, Reason};
use super::pairing::DragFiles;
use super::skipped::Skipped;
use crate::error::{Error, ErrorKind, Result};
use crate::warning::Warning;

/// File name extensions of pictures that can be edited.
const PICTURES: [&str; 11] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjp", "webp",
];
/// Those of other pictures.
const OTHER_PICTURES: [&str; 10] = [
    "heic", "heif", "avif", "gif", "bmp", "tif", "tiff", "jxl", "jp2", "psd",
];
/// Folders in which archive programs, network disks and systems keep copies and waste.
const OTHER_FOLDERS: [&str; 5] = [
    "@eaDir",
    "__MACOSX",
    "#recycle",
    "$RECYCLE.BIN",
    "lost+found",
];
/// What this program adds to the name of a picture.
const OWN_ENDINGS: [&str; 7] = [
    ".edited.png",
    ".preview.png",
    ".strip.png",
    ".warped.png",
    ".amounts.png",
    ".degrees.png",
    ".methods.png",
];
/// Bytes of a JSON file within which a drag file has its regions.
const START: u64 = 64 << 10;

/// Returns the pictures under `root` that have a drag file, or all of them when `has_common_drag`, sorted by path; with warnings about
/// everything that was skipped.
pub(super) fn read(
    root: &Path,
    outputs: &Path,
    has_common_drag: bool,
) -> Result<(Vec<ListEntry>, Vec<Warning>)> {
    let outputs = fs::canonicalize(outputs).ok();
    let is_outputs = |folder: &Path| outputs.is_some() && fs::canonicalize(folder).ok() == outputs;
    let (mut entries, mut skipped) = (Vec::new(), Skipped::default());
    let mut folders = vec![PathBuf::new()];
    let (mut unused, mut inner) = (Vec::new(), HashSet::new());
    while let Some(folder) = folders.pop() {
        let names = names(&root.join(&folder))?;
        let files: HashSet<&OsString> = names
            .iter()
            .filter(|(name, kind)| !kind.is_dir() && !is_hidden(name))
            .map(|(name, _)| name)
            .collect();
        let mut drags = DragFiles::new(files.iter().copied());
        for (name, kind) in &names {
            let path = folder.join(name);
            if is_hidden(name) {
                continue;
            }
            if kind.is_symlink() && root.join(&path).is_dir() {
                skipped.folder_links.push(path);
            } else if kind.is_dir() {
                if OTHER_FOLDERS.iter().any(|other| name == other) {
                    skipped.other_folders.push(path);
                } else if !is_outputs(&root.join(&path)) {
                    folders.push(path);
                }
            } else if is_other_picture(name) {
                skipped.other_pictures.push(path);
            } else if is_picture(name) {
                let inside = path.with_extension("").join("drag.json");
                let drag = if has_common_drag {
                    None
                } else if let Some(beside) = drags.of(name) {
                    Some(folder.join(beside))
                } else if root.join(&inside).exists() {
                    inner.insert(inside.clone());
                    Some(inside)
                } else if is_own_result(name, &files) {
                    skipped.own_results.push(path);
                    continue;
                } else {
                    skipped.without_drag.push(path);
                    continue;
                };
                if has_common_drag && is_own_result(name, &files) {
                    skipped.own_results.push(path);
                    continue;
                }
                entries.push(entry(root, path, drag, *kind));
            }
        }
        if !has_common_drag {
            let mut left = drags.unused().peekable();
            if left.peek().is_some() {
                let neighbours = Neighbours::new(files.iter().copied());
                unused.extend(left.filter_map(|name| {
                    let path = folder.join(name);
                    let is_drag_file = || has_regions(&root.join(&path));
                    let reason = match neighbours.reason(name) {
                        Some(Reason::OtherFormat(reason)) => reason,
                        _ if !is_drag_file() => return None,
                        Some(Reason::Similar(reason)) => reason,
                        None => "no picture has its name".to_owned(),
                    };
                    Some((path, reason))
                }));
            }
        }
    }
    // The drag file of a picture in the folder above may be found before its picture is.
    unused.retain(|(path, _)| !inner.contains(path));
    skipped.unused_drags = unused;
    entries.sort_by(|a: &ListEntry, b| a.image.cmp(&b.image));
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.number = index + 1;
    }
    Ok((entries, skipped.warnings(root)))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Returns whether a picture has a name that this program gives to what it makes of another picture in the same folder.
fn is_own_result(name: &OsStr, files: &HashSet<&OsString>) -> bool {
    let Some(stem) = name.to_str().and_then(|name| {
        OWN_ENDINGS
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
    }) else {
        return false;
    };
    !stem.is_empty()
        && PICTURES.iter().any(|ending| {
            let is_there =
                |ending: &str| files.contains(&OsString::from(format!("{stem}.{ending}")));
            is_there(ending) || is_there(&ending.to_uppercase())
        })
}

/// Returns whether a JSON file has regions, as a drag file.
fn has_regions(path: &Path) -> bool {
    // Opening a pipe would block until another program writes to it.
    if !path.is_file() {
        return false;
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
    read.is_ok() && start.windows(9).any(|word| word == b"\"regions\"")
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

/// Returns whether a name has the ending of a picture that can be edited.
pub(super) fn is_picture(name: &OsStr) -> bool {
    has_ending(name, &PICTURES)
}

/// Returns whether a name has the ending of a picture in another format.
pub(super) fn is_other_picture(name: &OsStr) -> bool {
    has_ending(name, &OTHER_PICTURES)
}

fn has_ending(name: &OsStr, endings: &[&str]) -> bool {
    Path::new(name).extension().is_some_and(|extension| {
        endings
            .iter()
            .any(|ending| extension.eq_ignore_ascii_case(ending))
    })
}
