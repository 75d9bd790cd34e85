//! The width and the colours of the terminal that messages are printed to.

use std::ffi::OsStr;
use std::io::IsTerminal;

use terminal_size::{Width, terminal_size_of};

/// Columns of prose for a file or a pipe.
const PAPER: usize = 80;
/// Most columns of prose; longer lines are hard to read.
const PROSE: usize = 100;

/// The destination of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Screen {
    /// Columns of a terminal; `None` for a file or a pipe, where lines are not broken.
    pub(super) width: Option<usize>,
    /// Whether text is coloured with escape codes.
    pub(super) colour: bool,
}

impl Screen {
    /// Returns the screen behind stderr.
    pub(super) fn stderr() -> Self {
        let terminal = std::io::stderr();
        let width = terminal
            .is_terminal()
            .then(|| terminal_size_of(&terminal))
            .flatten()
            .map(|(Width(width), _)| usize::from(width));
        let [no_color, term] = ["NO_COLOR", "TERM"].map(std::env::var_os);
        Self {
            width,
            colour: has_colour(terminal.is_terminal(), no_color.as_deref(), term.as_deref()),
        }
    }
}

/// Returns the columns for prose and tables on stdout.
pub(super) fn stdout_width() -> usize {
    let stdout = std::io::stdout();
    let terminal = stdout
        .is_terminal()
        .then(|| terminal_size_of(&stdout))
        .flatten();
    terminal.map_or(PAPER, |(Width(width), _)| {
        usize::from(width).clamp(40, PROSE)
    })
}

/// Returns whether text is coloured. `NO_COLOR` counts if it is set and not empty (<https://no-color.org>).
fn has_colour(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// Breaks text between words into lines of at most `width` characters. A longer word gets its own line.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut left = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if length < left => {
                line.push(' ');
                line.push_str(word);
                left -= length + 1;
            }
            _ => {
                lines.push(word.to_owned());
                left = width.saturating_sub(length);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_capable_terminal_and_no_color_unset() {
        let value = |text: &'static str| Some(OsStr::new(text));
        assert!(
            has_colour(true, None, None) && has_colour(true, value(""), value("xterm-256color"))
        );
        assert!(!has_colour(false, None, value("xterm")));
        assert!(
            !has_colour(true, value("1"), value("xterm")) && !has_colour(true, value("0"), None)
        );
        assert!(!has_colour(true, None, value("dumb")));
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 6), ["one", "two", "three"]);
        assert_eq!(
            wrapped("extraordinary is it", 5),
            ["extraordinary", "is it"]
        );
        assert_eq!(wrapped("two  spaces", 20), ["two  spaces"]);
        assert_eq!(wrapped("", 20), [""]);
    }
}
