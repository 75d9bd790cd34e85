//! The folder that a data set lies in: lists and opens what is inside it, links resolved, and nothing else.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::sample::missing;
use crate::error::{Error, ErrorKind, Result};

/// Number of names after which a folder is too large to be one data set.
const MAX_NAMES: usize = 2_000_000;
/// Depth of folders that are looked at.
const MAX_DEPTH: usize = 16;
/// File name extensions of pictures that can be edited.
const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// A folder whose files may be read.
#[derive(Debug, Clone)]
pub(super) struct Root {
    folder: PathBuf,
    /// The folder with links resolved.
    real: PathBuf,
}

/// A folder inside a root.
#[derive(Debug)]
pub(super) struct Folder {
    /// Relative to the root; empty for the root itself.
    pub(super) path: PathBuf,
    /// Names of its files, sorted.
    pub(super) files: Vec<OsString>,
}

impl Folder {
    /// Returns whether it has a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file == OsStr::new(name))
    }
}

impl Root {
    /// Opens a folder, or the folder of a file.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let failed = |source| Error::File {
            path: path.to_path_buf(),
            source,
        };
        let folder = if fs::metadata(path).map_err(failed)?.is_dir() {
            path
        } else {
            path.parent()
                .filter(|folder| *folder != Path::new(""))
                .unwrap_or(Path::new("."))
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            real: fs::canonicalize(folder).map_err(failed)?,
        })
    }

    /// Returns the folder as it was given.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of a regular file inside the root, for a path relative to the root.
    ///
    /// # Errors
    /// [`Error::Given`] `import.missing` or `import.outside`.
    pub(super) fn file(&self, relative: &Path) -> Result<PathBuf> {
        let path = self.folder.join(relative);
        let refuse = |kind, reason: String, hint: &str| Error::Given {
            path: path.clone(),
            kind,
            reason,
            hint: hint.to_owned(),
        };
        let real =
            fs::canonicalize(&path).map_err(|error| missing(path.clone(), error.to_string()))?;
        if !real.starts_with(&self.real) {
            return Err(refuse(
                ErrorKind::ImportOutside,
                format!("leads out of `{}`", self.folder.display()),
                "only files inside the given folder and that of `--images` are read",
            ));
        }
        let is_file = fs::metadata(&real).is_ok_and(|found| found.is_file());
        if !is_file {
            return Err(missing(path, "is not a regular file"));
        }
        Ok(path)
    }

    /// Reads a file inside the root of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Root::file`]; `import.too_large`; [`Error::File`].
    pub(super) fn read(&self, relative: &Path, limit: u64) -> Result<Vec<u8>> {
        let path = self.file(relative)?;
        let failed = |source| Error::File {
            path: path.clone(),
            source,
        };
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(failed)?;
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(Error::Given {
                path,
                kind: ErrorKind::ImportTooLarge,
                reason: format!("has more than {} MiB", limit >> 20),
                hint: "split it into smaller files".into(),
            });
        }
        Ok(bytes)
    }

    /// Lists the root and all folders below it, sorted by path. Hidden names and links to folders are left out; the paths of such links
    /// are returned too.
    pub(super) fn folders(&self) -> Result<(Vec<Folder>, Vec<PathBuf>)> {
        let (mut open, mut count) = (vec![(PathBuf::new(), 0)], 0);
        let (mut folders, mut links) = (Vec::new(), Vec::new());
        while let Some((path, depth)) = open.pop() {
            let here = self.folder.join(&path);
            let failed = |source| Error::File {
                path: here.clone(),
                source,
            };
            let mut files = Vec::new();
            for entry in fs::read_dir(&here).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let (name, kind) = (entry.file_name(), entry.file_type().map_err(failed)?);
                count += 1;
                if name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX" {
                    continue;
                }
                if kind.is_symlink() && entry.path().is_dir() {
                    links.push(entry.path());
                } else if kind.is_dir() && depth < MAX_DEPTH {
                    open.push((path.join(name), depth + 1));
                } else if !kind.is_dir() {
                    files.push(name);
                }
            }
            if count > MAX_NAMES {
                return Err(Error::Given {
                    path: self.folder.clone(),
                    kind: ErrorKind::ImportTooLarge,
                    reason: format!("has more than {MAX_NAMES} files"),
                    hint: "give the folder of one data set".into(),
                });
            }
            files.sort();
            folders.push(Folder { path, files });
        }
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((folders, links))
    }
}

/// Returns whether a name has the extension of a picture that can be edited.
pub(super) fn is_picture(name: &OsStr) -> bool {
    Path::new(name).extension().is_some_and(|extension| {
        PICTURES
            .iter()
            .any(|picture| extension.eq_ignore_ascii_case(picture))
    })
}

/// Returns the extension that a picture with these bytes should have.
pub(super) fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xd8, ..] => "jpg",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        _ => "png",
    }
}
