//! What lies in the cache, as people want to see it, and its removal.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::entry::{About, Kind};
use super::store::{Stored, entries};
use crate::error::{Error, Result};
use crate::files;
use crate::model::safetensors::SafetensorsFile;

/// An entry, as a list has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// SHA-256 of all that decides its numbers.
    pub key: String,
    /// What it holds.
    pub kind: Kind,
    /// Its size on the disk.
    pub bytes: u64,
    /// SHA-256 of the working picture: entries of one picture have the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub picture: String,
    /// Width and height of the working picture.
    pub size: [usize; 2],
    /// When it was made.
    #[serde(serialize_with = "seconds")]
    pub made: SystemTime,
    /// When it was used last.
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

/// Everything in the cache at this folder, what was used last first. Numbers are not read: a damaged entry may be among them.
///
/// # Errors
/// [`Error::File`] when the folder is there and cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Listed>> {
    let listed = |entry: Stored| {
        let about = about(&entry.path);
        Listed {
            key: entry.name.key,
            kind: entry.name.kind,
            bytes: entry.bytes,
            picture: about.picture,
            size: about.size,
            made: UNIX_EPOCH + Duration::from_secs(about.made),
            used: entry.used,
        }
    };
    Ok(stored(folder)?.into_iter().rev().map(listed).collect())
}

/// What the header of an entry says; nothing where it cannot be read.
fn about(path: &Path) -> About {
    let file = File::open(path)
        .ok()
        .and_then(|file| SafetensorsFile::open(path.display().to_string(), Box::new(file)).ok());
    file.map(|file| About::read(&file.notes()))
        .unwrap_or_default()
}

/// Removes what was not used for `older_than`, and what runs that were killed left half written; says how many entries went, and their bytes.
///
/// # Errors
/// [`Error::File`] when the folder is there and cannot be read, [`Error::Output`] for the first entry that cannot be removed.
pub fn clear(folder: &Path, older_than: Duration) -> Result<(usize, u64)> {
    let now = SystemTime::now();
    // One that was used after now, by a clock that goes wrong, is as old as one that is used now.
    let is_old = |entry: &Stored| now.duration_since(entry.used).unwrap_or_default() >= older_than;
    let (mut count, mut bytes) = (0, 0);
    for entry in stored(folder)?.into_iter().filter(is_old) {
        match fs::remove_file(&entry.path) {
            Ok(()) => (count, bytes) = (count + 1, bytes + entry.bytes),
            // Another run made room.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(files::write_failed(&entry.path, &error)),
        }
    }
    files::remove_orphans(folder);
    Ok((count, bytes))
}

fn stored(folder: &Path) -> Result<Vec<Stored>> {
    entries(folder).map_err(|source| Error::File {
        path: folder.to_path_buf(),
        source,
    })
}
