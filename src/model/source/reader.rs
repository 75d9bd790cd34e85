//! Readable files: on disk, or inside the program.

use std::fmt::Debug;
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::Stamp;

/// A readable file with random access.
pub trait ReadSeek: Read + Seek + Send + Debug {
    /// Returns the stamp of a file on disk; `None` for embedded files, which cannot change.
    fn stamp(&self) -> Option<Stamp>;
}

impl ReadSeek for File {
    fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.metadata().ok()?)
    }
}

impl ReadSeek for Cursor<&'static [u8]> {
    fn stamp(&self) -> Option<Stamp> {
        None
    }
}

/// Opens a file on disk.
///
/// # Errors
/// [`Error::File`].
pub(super) fn open_file(path: &Path) -> Result<Box<dyn ReadSeek>> {
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(source) => Err(Error::File {
            path: path.to_path_buf(),
            source,
        }),
    }
}
