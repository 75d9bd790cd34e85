//! One thing that is wrong with a drag file, and where.

use std::ops::Range;

use super::source::Source;
use crate::error::ErrorKind;

/// A fault with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DragFileFault {
    /// Stable name, such as `instruction.type` or `region.vanishes`.
    pub kind: ErrorKind,
    /// The `id` of the region it lies in, where the file gives one.
    pub region: Option<String>,
    /// JSON pointer to the value; empty for the whole file.
    pub pointer: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where there is something.
    pub hint: Option<String>,
    /// Bytes of the value or the key, inside one line of `source`.
    pub(super) span: Range<usize>,
    pub(super) source: Source,
}

/// A fault's place as it stands in the file, with some of its line on both sides. Nothing of it is made fit for a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excerpt<'a> {
    /// What stands before it.
    pub before: &'a str,
    /// The value or the key; empty where something is missing.
    pub inside: &'a str,
    /// What stands behind it.
    pub after: &'a str,
}

impl DragFileFault {
    /// The fault's line: at most `marked` characters of the fault itself, and `around` on each side.
    pub fn excerpt(&self, around: usize, marked: usize) -> Excerpt<'_> {
        self.source.excerpt(&self.span, around, marked)
    }
}

impl std::fmt::Display for DragFileFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            region,
            pointer,
            message,
            ..
        } = self;
        match region {
            Some(id) => write!(f, "region `{id}` at {pointer}: {message}"),
            None if pointer.is_empty() => write!(f, "{message}"),
            None => write!(f, "{pointer}: {message}"),
        }
    }
}
