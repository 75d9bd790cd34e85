//! All files of a model: their paths, and a hash of their states.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Source;
use super::demo::DEMO;
use crate::digest::hexadecimal;
use crate::files::Stamp;

impl Source {
    /// Returns the files in the folder and in its direct subfolders; none for the demo model.
    pub fn files(&self) -> Vec<PathBuf> {
        if let Self::File(file) = self {
            return vec![file.path().to_path_buf()];
        }
        let Some(root) = self.folder() else {
            return Vec::new();
        };
        let entries = |folder: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect()
        };
        let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) =
            entries(root).into_iter().partition(|path| path.is_dir());
        files.extend(
            folders
                .iter()
                .flat_map(|folder| entries(folder))
                .filter(|path| path.is_file()),
        );
        files
    }

    /// Returns a hash of the names, lengths and modification times of all files, or of the contents of the demo model. `None` where the
    /// system keeps no modification times.
    pub fn fingerprint(&self) -> Option<String> {
        let mut hasher = Sha256::new();
        if let Self::File(file) = self {
            let stamp = Stamp::of(&std::fs::metadata(file.path()).ok()?)?;
            hasher.update(file.path().as_os_str().as_encoded_bytes());
            hasher.update(serde_json::to_vec(&stamp).ok()?);
            return Some(hexadecimal(&hasher.finalize()));
        }
        let Some(root) = self.folder() else {
            for (_, content) in DEMO {
                hasher.update(content);
            }
            return Some(hexadecimal(&hasher.finalize()));
        };
        let mut files = self.files();
        files.sort();
        for file in files {
            let stamp = Stamp::of(&std::fs::metadata(&file).ok()?)?;
            hasher.update(
                file.strip_prefix(root)
                    .unwrap_or(&file)
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            hasher.update(serde_json::to_vec(&stamp).ok()?);
        }
        Some(hexadecimal(&hasher.finalize()))
    }
}
