//! The drag file: what to edit and how, written by people and by programs.
//!
//! Parsing is strict and complete: every fault is reported at once, each with a JSON pointer, a line and a column, because a file
//! that is fixed one fault at a time costs a run per fault. Nothing here looks at the image; what depends on its size is checked
//! by [`crate::plan`], which reports faults with places of the same file.

mod fault;
mod overrides;
mod parse;
mod reader;
mod source;
mod suggestion;
#[cfg(test)]
mod tests;
mod types;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

pub use fault::Fault;
pub(crate) use source::moves_text;
pub use types::{DragFile, DragRegion, Editable, Movement, Shape};

/// A larger file is refused before it is read.
pub const MAX_BYTES: u64 = 16 << 20;
/// Regions of one file.
pub const MAX_REGIONS: usize = 64;
/// Polygon corners of one file, all together.
pub const MAX_POINTS: usize = 10_000;

impl DragFile {
    /// Reads and checks a drag file.
    ///
    /// # Errors
    /// [`Error::Instruction`] with everything that is wrong, [`Error::File`] when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let instruction = |faults| Error::Instruction { path: path.to_owned(), faults };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|source| Error::File { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(instruction)
    }

    /// Checks the bytes of a drag file.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file's lines; never empty.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, Vec<Fault>> {
        parse::parse(bytes)
    }
}
