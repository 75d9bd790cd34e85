//! One thing that is wrong with a drag file, and where.

/// A fault with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable name, such as `instruction.type` or `region.vanishes`.
    pub kind: &'static str,
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
    pub(super) excerpt: String,
}

impl Fault {
    /// The line of the file with a caret under the place:
    ///
    /// ```text
    /// 7 |       "handle": [300, "90"],
    ///   |                       ^
    /// ```
    ///
    /// Long lines are cut around the place; `None` when the line is empty.
    pub fn excerpt(&self) -> Option<&str> {
        (!self.excerpt.is_empty()).then_some(&*self.excerpt)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pointer, line, column, message, .. } = self;
        if pointer.is_empty() {
            write!(f, "line {line}, column {column}: {message}")
        } else {
            write!(f, "{pointer} (line {line}, column {column}): {message}")
        }
    }
}
