//! The files of the cache folder: reads, lists and evicts entries.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::entry::{EntryName, NamedLength};
use super::location::CacheLocation;

/// Upper bound of an entry's header in bytes.
const MAX_HEADER: u64 = 1 << 16;

/// Reads at most as many bytes as an entry with these tensors can have.
pub(super) fn read(path: &Path, wanted: &[NamedLength]) -> std::io::Result<Vec<u8>> {
    let most = wanted.iter().map(|(_, len)| 4 * *len as u64).sum::<u64>() + MAX_HEADER;
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Creates the folder, accessible to its owner only, because entries are derived from private pictures.
pub(crate) fn make(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if !folder.exists() {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder.create(folder)
}

/// An entry on disk.
#[derive(Debug)]
pub(super) struct StoredEntry {
    pub(super) name: EntryName,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

/// Returns all entries in the folder, most recently used last. A missing folder has none.
pub(super) fn entries(folder: &Path) -> std::io::Result<Vec<StoredEntry>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let stored = |entry: fs::DirEntry| {
        let name = EntryName::parse(entry.file_name().to_str()?)?;
        // Links are skipped: the cache creates none.
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(StoredEntry {
            name,
            path: entry.path(),
            bytes: metadata.len(),
            used: metadata.modified().unwrap_or(UNIX_EPOCH),
        })
    };
    let mut entries: Vec<StoredEntry> = read.filter_map(|entry| stored(entry.ok()?)).collect();
    entries.sort_by(|a, b| (a.used, &a.name).cmp(&(b.used, &b.name)));
    Ok(entries)
}

/// Removes the least recently used entries until the rest is within the limit. The entry at `new` stays.
pub(super) fn evict(location: &CacheLocation, new: &Path) {
    // If listing or removing fails, a later write tries again.
    let Ok(entries) = entries(&location.folder) else {
        return;
    };
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    for entry in entries.iter().filter(|entry| entry.path != new) {
        if total <= location.limit {
            return;
        }
        if fs::remove_file(&entry.path).is_ok() {
            total -= entry.bytes;
        }
    }
}
