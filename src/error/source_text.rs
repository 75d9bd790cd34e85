//! The text of a drag file, and places in it: lines, columns, words and excerpts.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{DragFileFault, ErrorKind, Excerpt};

/// A file's text with the starts of its lines. Clones share the text, so that every fault can hold one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SourceText(Arc<Lines>);

#[derive(PartialEq, Eq)]
struct Lines {
    text: String,
    starts: Vec<usize>,
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({} bytes)", self.text().len())
    }
}

impl SourceText {
    pub(crate) fn new(text: &str) -> Self {
        let starts = text
            .bytes()
            .enumerate()
            .filter_map(|(index, byte)| (byte == b'\n').then_some(index + 1));
        Self(Arc::new(Lines {
            starts: std::iter::once(0).chain(starts).collect(),
            text: text.to_owned(),
        }))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// Returns the byte offset of a line (from 1) and a column in bytes (from 1), rounded down to a character boundary.
    pub(crate) fn offset(&self, line: usize, column: usize) -> usize {
        let start = self.0.starts[line.clamp(1, self.0.starts.len()) - 1];
        self.text()
            .floor_char_boundary((start + column.saturating_sub(1)).min(self.text().len()))
    }

    /// Returns the bytes of the word or number around an offset, or else of the character there. Empty at the end of the text.
    pub(crate) fn word(&self, offset: usize) -> Range<usize> {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
        let (before, after) = self.text().split_at(offset);
        let Some(first) = after.chars().next() else {
            return offset..offset;
        };
        if !part(first) {
            return offset..offset + if first == '\n' { 0 } else { first.len_utf8() };
        }
        let start = before.trim_end_matches(part).len();
        start..offset + (after.len() - after.trim_start_matches(part).len())
    }

    /// Creates a fault at these bytes. Only the first character of a value that spans several lines is marked.
    pub(crate) fn fault(
        &self,
        kind: ErrorKind,
        pointer: String,
        span: Range<usize>,
        message: String,
        hint: Option<String>,
    ) -> DragFileFault {
        let line = self.0.starts.partition_point(|start| *start <= span.start);
        let column = self.text()[self.0.starts[line - 1]..span.start]
            .chars()
            .count()
            + 1;
        let marked = &self.text()[span.clone()];
        let first = marked.chars().next().map_or(0, char::len_utf8);
        let length = if marked.contains('\n') {
            first
        } else {
            marked.len()
        };
        let span = span.start..span.start + length;
        DragFileFault {
            kind,
            region: None,
            pointer,
            line,
            column,
            message,
            hint,
            span,
            source: self.clone(),
        }
    }

    pub(crate) fn excerpt(&self, span: &Range<usize>, around: usize, marked: usize) -> Excerpt<'_> {
        let text = self.text();
        let line = self.0.starts.partition_point(|start| *start <= span.start);
        let (start, end) = (
            self.0.starts[line - 1],
            self.0.starts.get(line).map_or(text.len(), |next| next - 1),
        );
        let cut = |text: &str, count: usize| {
            text.char_indices()
                .nth(count)
                .map_or(text.len(), |(index, _)| index)
        };
        let before = &text[start..span.start];
        let before = match around
            .checked_sub(1)
            .and_then(|last| before.char_indices().rev().nth(last))
        {
            Some((index, _)) => &before[index..],
            None => before,
        };
        let inside = &text[span.clone()];
        let inside = &inside[..cut(inside, marked)];
        // A truncated value continues after its mark.
        let after = &text[span.start + inside.len()..end];
        Excerpt {
            before,
            inside,
            after: after[..cut(after, around)].trim_end_matches('\r'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_from_any_of_its_letters() {
        let source = SourceText::new("a: nope, -1e9x {\n");
        for (offset, expected) in [
            (3, 3..7),
            (5, 3..7),
            (7, 7..8),
            (11, 9..14),
            (15, 15..16),
            (16, 16..16),
            (17, 17..17),
        ] {
            assert_eq!(source.word(offset), expected, "{offset}");
        }
    }

    #[test]
    fn an_excerpt_stays_in_its_line() {
        let source = SourceText::new("one\r\ntwo three four\r\nfive");
        let excerpt = |span, around| {
            let Excerpt {
                before,
                inside,
                after,
            } = source.excerpt(&span, around, 4);
            [before, inside, after]
        };
        assert_eq!(excerpt(9..14, 99), ["two ", "thre", "e four"]);
        assert_eq!(excerpt(9..14, 3), ["wo ", "thre", "e f"]);
        assert_eq!(excerpt(5..5, 99), ["", "", "two three four"]);
        assert_eq!(excerpt(25..25, 2), ["ve", "", ""]);
    }

    #[test]
    fn a_value_of_several_lines_is_marked_at_its_first_character() {
        let source = SourceText::new("{ \"a\":\n 1 }");
        let fault = source.fault(
            ErrorKind::InstructionType,
            String::new(),
            0..11,
            String::new(),
            None,
        );
        assert_eq!(fault.span, 0..1);
        let fault = source.fault(
            ErrorKind::InstructionType,
            String::new(),
            2..5,
            String::new(),
            None,
        );
        assert_eq!((fault.span, fault.line, fault.column), (2..5, 1, 3));
    }
}
