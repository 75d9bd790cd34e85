//! Partial files of downloads, in the folder of the blobs.
//!
//! Each process writes its own file and holds a lock on it, which tells the others that it is alive. The file of a killed process is
//! copied, not continued, so no file ever has two writers.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

use super::download_lock;
use crate::digest::sha256_of;
use crate::files;

/// The name of a partial file is the `ETag`, this, random characters and [`SUFFIX`].
const MARK: &str = ".dragnext-";
/// The suffix that the Python library uses too.
const SUFFIX: &str = ".incomplete";

/// The partial files of one content, of all processes.
#[derive(Debug)]
pub(super) struct PartialFiles {
    folder: PathBuf,
    prefix: String,
}

/// A partial file of this process. It is removed when dropped.
#[derive(Debug)]
pub(super) struct PartialFile(NamedTempFile);

impl PartialFiles {
    /// Returns the partial files of the content `etag` in a folder.
    pub(super) fn of(folder: PathBuf, etag: &str) -> Self {
        Self {
            folder,
            prefix: format!("{etag}{MARK}"),
        }
    }

    /// Returns the total length of all partial files.
    pub(super) fn length(&self) -> u64 {
        let lengths = self.paths().into_iter();
        lengths
            .filter_map(|path| Some(fs::metadata(path).ok()?.len()))
            .sum()
    }

    /// Creates an empty partial file.
    ///
    /// # Errors
    /// The error of the file system.
    pub(super) fn create(&self) -> io::Result<PartialFile> {
        files::temporary_named(&self.folder, &self.prefix, SUFFIX).map(PartialFile)
    }

    /// Creates a partial file with the bytes of the longest existing one, unless that is longer than `max_length`. Removes the files
    /// of killed processes.
    ///
    /// # Errors
    /// The error of the file system.
    pub(super) fn resume(&self, max_length: u64) -> io::Result<PartialFile> {
        let mut part = self.create()?;
        // If the lock cannot be taken, another process may remove the file; `persist` handles that.
        let _ = part.0.as_file().try_lock();
        let mut others: Vec<(u64, PathBuf)> = self
            .paths()
            .into_iter()
            .filter(|path| *path != part.0.path())
            .filter_map(|path| Some((fs::metadata(&path).ok()?.len(), path)))
            .collect();
        others.sort();
        if let Some((length, longest)) = others.last()
            && *length <= max_length
            && part.copy_from(longest, *length).is_err()
        {
            part.clear()?;
        }
        for (_, path) in others {
            let is_abandoned = File::options()
                .write(true)
                .open(&path)
                .is_ok_and(|file| download_lock::try_lock(&file).is_ok());
            if is_abandoned {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(part)
    }

    fn paths(&self) -> Vec<PathBuf> {
        let is_part = |path: &PathBuf| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(&self.prefix) && name.ends_with(SUFFIX))
        };
        fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(is_part)
            .collect()
    }
}

impl PartialFile {
    /// Returns the length in bytes.
    pub(super) fn length(&self) -> io::Result<u64> {
        self.0.as_file().metadata().map(|file| file.len())
    }

    /// Removes all bytes.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.0.as_file_mut().set_len(0)?;
        self.0.as_file_mut().rewind()
    }

    /// Sets the position of the next write.
    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.0.as_file_mut().seek(SeekFrom::Start(offset)).map(drop)
    }

    /// Writes bytes at the current position.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.as_file_mut().write_all(bytes)
    }

    /// Returns the SHA-256 of the bytes on disk.
    pub(super) fn sha256(&mut self) -> io::Result<String> {
        self.seek(0)?;
        sha256_of(self.0.as_file_mut())
    }

    /// Renames the file to `blob`. If locks do not work, another process may have removed the file as abandoned; its bytes, which the
    /// open handle still has, are then copied to a new file of `all`.
    ///
    /// # Errors
    /// The error of the file system. Another process may have written `blob` in the meantime.
    pub(super) fn persist(mut self, all: &PartialFiles, blob: &Path) -> io::Result<()> {
        self.0.as_file().sync_all()?;
        if !self.0.path().exists() {
            let mut copy = all.create()?;
            self.seek(0)?;
            io::copy(self.0.as_file_mut(), copy.0.as_file_mut())?;
            copy.0.as_file().sync_all()?;
            self = copy;
        }
        match self.0.persist(blob) {
            Ok(_) => Ok(()),
            Err(PersistError { error, .. }) => Err(error),
        }
    }

    /// Leaves the file on disk for a later run.
    pub(super) fn keep(self) {
        // If that fails, the later run starts from the beginning.
        let _ = self.0.keep();
    }

    fn copy_from(&mut self, path: &Path, length: u64) -> io::Result<()> {
        let file = File::open(path)?;
        io::copy(&mut io::Read::take(file, length), self.0.as_file_mut()).map(drop)
    }
}
