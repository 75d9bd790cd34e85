//! Characters that must not reach a terminal or be part of a name.

/// Returns whether a character controls the terminal or the direction of text: control characters, line separators, and the
/// marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX 9).
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
