//! A fault of a drag file: what is wrong, and where in the file's text.

use std::ops::Range;

use super::ErrorKind;
use super::source_text::SourceText;

/// A fault of a drag file with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DragFileFault {
    /// One of `instruction.*`, `region.*`, `editable.*` or `mask.*`.
    pub kind: ErrorKind,
    /// The `id` of the region that contains it, if the file gives one.
    pub region: Option<String>,
    /// JSON pointer to the value; empty for the whole file.
    pub pointer: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, if known.
    pub hint: Option<String>,
    /// Bytes of the value or the key, inside one line of `source`.
    pub(super) span: Range<usize>,
    pub(super) source: SourceText,
}

/// A fault's value with the text around it in its line. The text is not escaped for a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excerpt<'a> {
    /// The text before the value.
    pub before: &'a str,
    /// The value or the key; empty where something is missing.
    pub inside: &'a str,
    /// The text after the value.
    pub after: &'a str,
}

impl DragFileFault {
    /// Returns the fault's line: at most `marked` characters of the value, and `around` characters on each side.
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
