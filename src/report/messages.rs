//! What people read on stderr, and what scripts read on stdout.
//!
//! Names from the disk and prompts are hostile: control characters and characters that turn the direction of text are
//! shown as escapes.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::drag_file::moves_text;
use crate::error::Error;
use crate::warning::Warning;

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

/// Prints data to stdout as one line of JSON, such as the record of an edit.
///
/// # Errors
/// As [`print_text`].
pub fn print_json(data: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string(data).map_err(|error| stdout_failed(&error.into()))?;
    print_text(&(json + "\n"))
}

/// Prints to stdout, as it is.
///
/// # Errors
/// [`Error::Output`] `output.write` when stdout cannot be written. A reader that went away is no error: it had what it wanted.
pub fn print_text(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(stdout_failed(&error)),
        _ => Ok(()),
    }
}

fn stdout_failed(error: &io::Error) -> Error {
    let hint = "what was to be printed is lost; files that were written are seen by their paths".into();
    Error::Output { path: "stdout".into(), kind: "output.write", reason: error.to_string(), hint }
}

fn print(text: &str) {
    // When stderr is gone there is nobody left to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn describe(error: &Error) -> String {
    match error {
        Error::Instruction { path, faults } => {
            let faults = faults.iter().map(|fault| {
                let mut message = escape(&format!("{}: {fault}", path.display()), Newlines::Escaped);
                if let Some(excerpt) = fault.excerpt() {
                    message.push('\n');
                    message.push_str(&escape(excerpt, Newlines::Kept));
                }
                paragraph(&message, fault.hint.as_deref())
            });
            faults.collect::<Vec<_>>().join("\n")
        }
        // Lists of tensors have lines of their own.
        Error::Weights { path, reason, hint, .. } | Error::Hub { place: path, reason, hint, .. } => {
            let message = format!("{}: {}", escape(path, Newlines::Escaped), escape(reason, Newlines::Kept));
            paragraph(&message, Some(hint).filter(|hint| !hint.is_empty()).map(String::as_str))
        }
        // And so have the tensor library's explanations.
        Error::Tensor(_) => paragraph(&escape(&error.to_string(), Newlines::Kept), error.hint().as_deref()),
        _ => paragraph(&escape(&error.to_string(), Newlines::Escaped), error.hint().as_deref()),
    }
}

fn paragraph(message: &str, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("\nhint: {}\n", escape(hint, Newlines::Escaped))).unwrap_or_default();
    format!("error: {message}\n{hint}")
}

/// Text from a file, harmless for a terminal and on one line.
pub(crate) fn on_one_line(text: &str) -> String {
    escape(text, Newlines::Escaped)
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
            _ if moves_text(character) => escaped.extend(character.escape_default()),
            _ => escaped.push(character),
        }
    }
    escaped
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
    fn a_fault_shows_its_place_and_cannot_pose_as_a_message_of_ours() {
        let text = "{\"version\": 1, \"regions\": [{\"type\": \"translation\", \"region\": {\"mask\": \"a\\nerror: b\"}, \"handle\": [1, 1], \"target\": [9, 9]}]}";
        let drag = crate::drag_file::DragFile::parse(text.as_bytes()).expect("a good file");
        let fault = drag.fault("mask.missing", "/version", "cannot read `a\nerror: b`".into(), Some("look\nthere".into()));
        let shown = describe(&Error::Instruction { path: "d.json".into(), faults: vec![fault] });
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "error: d.json: /version (line 1, column 13): cannot read `a\\nerror: b`");
        assert!(lines[1].starts_with("1 | {\"version\": 1, "), "{shown}");
        assert_eq!(lines[2..], ["  |             ^", "", "hint: look\\nthere"]);
    }

    #[test]
    fn a_hint_stands_apart() {
        let error = Error::PromptTooLong { tokens: 90, limit: 77 };
        let expected = "error: the prompt has 90 tokens with its start and end mark; the text encoder reads 77\n\nhint: shorten the prompt; an empty prompt works too\n";
        assert_eq!(describe(&error), expected);
    }
}
