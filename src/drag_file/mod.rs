//! The drag file: a JSON file with the regions of a picture and where they are dragged, written by people and by programs.
//!
//! Parsing is strict and reports all faults at once, each with a JSON pointer, a line and a column. Nothing here reads the image;
//! [`crate::plan`] checks what depends on its size, and reports faults with places in the same file.

mod drag;
mod overrides;
mod parse;
mod reader;
mod schema;
mod suggestion;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{DragFileFault, Error, ErrorKind, Result, SourceText};
use crate::foreign;

pub use drag::{Drag, Growth, Turn};
pub(crate) use parse::{FACTORS, MAX_ID};
pub(crate) use reader::{MAX_COORDINATE, MAX_FAULTS};
pub use schema::schema;
pub(crate) use suggestion::did_you_mean;
pub use template::{SCHEMA_FILE, TemplateDrag, template};
pub use types::{DragFile, DragRegion, Editable, Shape};

/// Maximum size of a file in bytes; a larger file is rejected before it is read.
pub const MAX_BYTES: u64 = 16 << 20;
/// Maximum number of entries in a file's list of regions, points included.
pub const MAX_REGIONS: usize = 128;
/// Most characters of a prompt. A text encoder reads a few hundred, and splitting a prompt into tokens takes time and memory for every one.
pub const MAX_PROMPT: usize = 10_000;
/// Maximum number of regions with an area in a file. Points cost less: they have no mask, no outline, and no object to be found.
pub const MAX_AREAS: usize = 64;
/// Maximum number of polygon corners in a file.
pub const MAX_POINTS: usize = 10_000;
/// Maximum size of the masks that a file contains, in bytes. A result's report contains them too, and has a limit of its own.
pub const MAX_EMBEDDED: usize = 8 << 20;

impl DragFile {
    /// Reads and checks a drag file.
    ///
    /// # Errors
    /// [`Error::Instruction`] with all faults, [`Error::File`] when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_file() && metadata.len() > MAX_BYTES {
            return Err(Error::Instruction {
                path: path.to_owned(),
                faults: vec![syntax::too_large()],
            });
        }
        Self::read_from(file, path)
    }

    /// Reads and checks a drag file from any reader; `name` is its path in messages.
    ///
    /// # Errors
    /// As [`DragFile::read`].
    pub fn read_from(from: impl Read, name: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        from.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::File {
                path: name.to_owned(),
                source,
            })?;
        match Self::parse(&bytes) {
            Ok(drag) => Ok(Self {
                path: name.to_owned(),
                ..drag
            }),
            Err(faults) => Err(Error::Instruction {
                path: name.to_owned(),
                faults: foreign(&bytes, name).unwrap_or(faults),
            }),
        }
    }

    /// Checks the bytes of a drag file.
    ///
    /// # Errors
    /// All faults in the order of their places; never empty.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, Vec<DragFileFault>> {
        parse::parse(bytes)
    }
}

/// Returns the fault of a file that is annotations or part of a data set, which can be imported.
fn foreign(bytes: &[u8], name: &Path) -> Option<Vec<DragFileFault>> {
    let (message, hint) = match foreign::content(bytes, name) {
        Some(kind) => (
            format!("this is {} data, not a drag file", kind.title()),
            foreign::import_hint(kind, name),
        ),
        None if is_line_of_a_list(bytes) => (
            "this is a list of pictures, not a drag file".into(),
            "give it to `dragnext batch` with `--manifest`".into(),
        ),
        None => return None,
    };
    let fault = SourceText::new("").fault(
        ErrorKind::InstructionSyntax,
        String::new(),
        0..0,
        message,
        Some(hint),
    );
    Some(vec![fault])
}

/// Returns whether the first line is an object with the keys of a manifest.
fn is_line_of_a_list(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty());
    let keys = line.and_then(|line| serde_json::from_slice::<BTreeMap<String, Value>>(line).ok());
    let of_drag_files = ["version", "regions", "$schema"];
    keys.is_some_and(|keys| {
        keys.contains_key("image") && !of_drag_files.iter().any(|key| keys.contains_key(*key))
    })
}
