//! Lengths and hashes of a snapshot's files, recorded at their first fetch or first use. A commit never changes, so two
//! processes that write at the same time write the same values.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::Stamp;

/// The recorded files of a commit, by their paths in the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// One entry per file.
    pub files: BTreeMap<String, Entry>,
}

/// The record of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Stamp of the file when its hash was last verified. A file that still has this stamp is not hashed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Stamp>,
}

impl Ledger {
    /// Reads a ledger. A missing or invalid one is empty, because its content can be computed again.
    pub(crate) fn read(path: &Path) -> Self {
        fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Merges these entries into the file at `path`, replacing it atomically.
    ///
    /// # Errors
    /// The error of the file system. In a read-only cache it may be ignored.
    pub(crate) fn merge_into(&self, path: &Path) -> io::Result<()> {
        let mut merged = Self::read(path);
        merged.files.extend(self.files.clone());
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut temporary = crate::files::temporary_named(folder, ".dragnext-", ".tmp")?;
        serde_json::to_writer_pretty(&mut temporary, &merged)?;
        temporary.flush()?;
        temporary.persist(path)?;
        Ok(())
    }
}
