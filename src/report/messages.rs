//! What people read on stderr, and what scripts read on stdout.
//!
//! Names from the disk and prompts are hostile: control characters and characters that turn the direction of text are
//! shown as escapes.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::Record;
use crate::error::Error;
use crate::plan::Warning;

/// Prints `error: ...` and `hint: ...` to stderr, one such pair for each fault of a drag file.
pub fn print_error(error: &Error) {
    print(&describe(error));
}

/// Prints one line for each warning to stderr.
pub fn print_warnings(warnings: &[Warning]) {
    for warning in warnings {
        print(&format!("warning: {}\n", escape(&warning.message, Newlines::Escaped)));
    }
}

/// Prints the record to stdout, as one line.
///
/// # Errors
/// When stdout cannot be written. A reader that went away is no error: it had what it wanted.
pub fn print_record(record: &Record) -> Result<(), Error> {
    let written = serde_json::to_string(record).map_err(io::Error::from).and_then(|json| {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{json}").and_then(|()| stdout.flush())
    });
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::File { path: "stdout".into(), source: error }),
        _ => Ok(()),
    }
}

fn print(text: &str) {
    // When stderr is gone there is nobody left to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn describe(error: &Error) -> String {
    match error {
        Error::Instruction { path, faults } => {
            let faults = faults.iter().map(|fault| {
                let message = format!("{}: {}", escape_path(path), escape(&fault.to_string(), Newlines::Kept));
                paragraph(&message, fault.hint.as_deref())
            });
            faults.collect::<Vec<_>>().join("\n")
        }
        // Lists of tensors and the tensor library's explanations have lines of their own.
        Error::Tensor(_) | Error::Weights { .. } => paragraph(&escape(&error.to_string(), Newlines::Kept), error.hint().as_deref()),
        _ => paragraph(&escape(&error.to_string(), Newlines::Escaped), error.hint().as_deref()),
    }
}

fn paragraph(message: &str, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("\nhint: {}\n", escape(hint, Newlines::Escaped))).unwrap_or_default();
    format!("error: {message}\n{hint}")
}

fn escape_path(path: &Path) -> String {
    escape(&path.to_string_lossy(), Newlines::Escaped)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Newlines {
    Kept,
    Escaped,
}

fn escape(text: &str, newlines: Newlines) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' if newlines == Newlines::Kept => escaped.push('\n'),
            _ if character.is_control() || turns_direction(character) => escaped.extend(character.escape_default()),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX 9), and line separators.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_write_to_the_terminal() {
        let error = Error::File { path: "a\x1b[2J\n\u{202e}gnp.b".into(), source: io::Error::other("no") };
        assert_eq!(describe(&error), "error: a\\u{1b}[2J\\n\\u{202e}gnp.b: no\n");
    }

    #[test]
    fn a_hint_stands_apart() {
        let error = Error::PromptTooLong { tokens: 90, limit: 77 };
        let expected = "error: the prompt has 90 tokens with its start and end mark; the text encoder reads 77\n\nhint: shorten the prompt; an empty prompt works too\n";
        assert_eq!(describe(&error), expected);
    }
}
