//! The text of a drag file, and places in it.

use super::Fault;

/// Characters of a line shown on either side of a fault.
const CONTEXT: usize = 60;

/// A file's text with the starts of its lines.
#[derive(Debug, Clone)]
pub(super) struct Source {
    text: String,
    lines: Vec<usize>,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let starts = text.bytes().enumerate().filter_map(|(index, byte)| (byte == b'\n').then_some(index + 1));
        Self { lines: std::iter::once(0).chain(starts).collect(), text: text.to_owned() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The offset of a line (from 1) and a column in bytes (from 1), as a parser reports them; never inside a character.
    pub(super) fn offset(&self, line: usize, column: usize) -> usize {
        let start = self.lines[line.clamp(1, self.lines.len()) - 1];
        self.text.floor_char_boundary((start + column.saturating_sub(1)).min(self.text.len()))
    }

    pub(super) fn fault(&self, kind: &'static str, pointer: String, offset: usize, message: String, hint: Option<String>) -> Fault {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        let column = self.text[start..offset].chars().count() + 1;
        Fault { kind, pointer, line, column, message, hint, excerpt: self.excerpt(line, offset) }
    }

    fn excerpt(&self, line: usize, offset: usize) -> String {
        let start = self.lines[line - 1];
        let before: Vec<char> = self.text[start..offset].chars().rev().take(CONTEXT).collect();
        let after = self.text[offset..].chars().take_while(|c| *c != '\n').take(CONTEXT);
        let shown: String = before.iter().rev().copied().chain(after).map(printable).collect();
        if shown.trim().is_empty() {
            return String::new();
        }
        let number = line.to_string();
        let (margin, caret) = (" ".repeat(number.len()), " ".repeat(before.len()));
        format!("{number} | {}\n{margin} | {caret}^", shown.trim_end())
    }
}

/// What a terminal may be shown: nothing that moves its cursor or turns the direction of its text.
pub(super) fn printable(c: char) -> char {
    match c {
        '\t' | '\r' => ' ',
        c if moves_text(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// Control characters, line separators, and marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX 9).
pub(crate) fn moves_text(c: char) -> bool {
    c.is_control() || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
