//! Lists the entries of the cache for users, and removes them.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::CHECKS_FOLDER;
use super::entry::{EntryInfo, EntryKind};
use super::folder::{StoredEntry, entries};
use crate::error::{Error, Result};
use crate::files;
use crate::model::safetensors::SafetensorsFile;

/// An entry as listings show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedEntry {
    /// SHA-256 of everything that decides its values.
    pub key: String,
    /// What it holds.
    pub kind: EntryKind,
    /// Size of its file.
    pub bytes: u64,
    /// SHA-256 of the working picture, which is the same for all entries of one picture.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub picture: String,
    /// Width and height of the working picture.
    pub size: [usize; 2],
    /// When it was written.
    #[serde(serialize_with = "seconds")]
    pub made: SystemTime,
    /// When it was last used.
    #[serde(serialize_with = "seconds")]
    pub used: SystemTime,
}

fn seconds<S: Serializer>(
    time: &SystemTime,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u64(
        time.duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
    )
}

/// Lists all entries in this folder, most recently used first. Only headers are read, so damaged entries may be listed.
///
/// # Errors
/// [`Error::File`] when the folder exists but cannot be read.
pub fn list(folder: &Path) -> Result<Vec<ListedEntry>> {
    let listed = |entry: StoredEntry| {
        let info = info(&entry.path);
        ListedEntry {
            key: entry.name.key,
            kind: entry.name.kind,
            bytes: entry.bytes,
            picture: info.picture,
            size: info.size,
            made: UNIX_EPOCH + Duration::from_secs(info.made),
            used: entry.used,
        }
    };
    Ok(stored(folder)?.into_iter().rev().map(listed).collect())
}

/// Reads the header of an entry; empty if it cannot be read.
fn info(path: &Path) -> EntryInfo {
    let file = File::open(path)
        .ok()
        .and_then(|file| SafetensorsFile::open(path.display().to_string(), Box::new(file)).ok());
    file.map(|file| EntryInfo::read(&file.metadata()))
        .unwrap_or_default()
}

/// Removes entries that were not used for `older_than`, checks of devices that are as old, and temporary files of killed runs. Returns the number of
/// removed entries and their bytes.
///
/// # Errors
/// [`Error::File`] when the folder exists but cannot be read, [`Error::Output`] for the first entry that cannot be removed.
pub fn clear(folder: &Path, older_than: Duration) -> Result<(usize, u64)> {
    let now = SystemTime::now();
    // A time in the future (the clock was set back) counts as now.
    let is_old =
        |entry: &StoredEntry| now.duration_since(entry.used).unwrap_or_default() >= older_than;
    let (mut count, mut bytes) = (0, 0);
    for entry in stored(folder)?.into_iter().filter(is_old) {
        match fs::remove_file(&entry.path) {
            Ok(()) => (count, bytes) = (count + 1, bytes + entry.bytes),
            // Another run evicted it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(files::write_failed(&entry.path, &error)),
        }
    }
    remove_checks(&folder.join(CHECKS_FOLDER), now, older_than);
    files::remove_orphans(folder);
    Ok((count, bytes))
}

/// Removes the checks of devices that are at least so old. One that cannot be removed stays; it is small.
fn remove_checks(folder: &Path, now: SystemTime, older_than: Duration) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old =
            modified.is_ok_and(|time| now.duration_since(time).unwrap_or_default() >= older_than);
        let is_check = entry.path().extension().is_some_and(|end| end == "json");
        if is_check && is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
    files::remove_orphans(folder);
}

fn stored(folder: &Path) -> Result<Vec<StoredEntry>> {
    entries(folder).map_err(|source| Error::File {
        path: folder.to_path_buf(),
        source,
    })
}
