//! Lengths and hashes of a snapshot's files, written down when they were first fetched or first used. A commit never changes,
//! so whatever two processes write here at once, they write the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::Stamp;

/// What is known of the files of a commit, by their paths in the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// One entry for each file.
    pub files: BTreeMap<String, Entry>,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Bytes.
    pub length: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// When the file was last changed, as it was when its hash was last found to be right: a file with this stamp need not be hashed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Stamp>,
}

impl Ledger {
    /// Reads a ledger. One that is missing, or that is none, is empty: it only remembers what can be found out again.
    pub fn read(path: &Path) -> Self {
        fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Writes these entries over those that are there, in one step that cannot be seen half done.
    ///
    /// # Errors
    /// What the system says; in a cache that may only be read, that is no harm.
    pub fn merge_into(&self, path: &Path) -> io::Result<()> {
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
