//! Makes text from outside (names, paths, prompts, messages of libraries) safe for a terminal.
//!
//! Characters that control the terminal or the direction of text are shown as escapes.

/// Returns whether a character controls the terminal or the direction of text: control characters, line separators, and the
/// marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX 9).
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Returns the text on one line: line breaks are escaped too.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, is_unprintable)
}

/// Returns the text with its own line breaks.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| c != '\n' && is_unprintable(c))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_escaped(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        let text = "a\x1b[2J\n\u{202e}é";
        assert_eq!(one_line(text), "a\\u{1b}[2J\\n\\u{202e}é");
        assert_eq!(lines(text), "a\\u{1b}[2J\n\\u{202e}é");
    }
}
