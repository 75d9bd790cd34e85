//! What people read on stderr, and what scripts read on stdout.
//!
//! Names from the disk and prompts are hostile: control characters and characters that turn the direction of text are
//! shown as escapes.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::diagnostics::{self, paragraph};
use super::screen::Screen;
use super::validation::Validation;
use crate::error::{Error, ErrorKind};
use crate::escape;
use crate::warning::Warning;

/// Prints `error: ...` and `hint: ...` to stderr, one such pair for each fault of a drag file.
pub fn print_error(error: &Error) {
    print(&message(error, Screen::stderr()));
}

/// The message of [`print_error`] without colours, for something that is `width` columns wide, or that needs no breaking of lines.
pub fn describe(error: &Error, width: Option<usize>) -> String {
    message(
        error,
        Screen {
            width,
            colour: false,
        },
    )
}

/// Prints one line for each warning to stderr.
pub fn print_warnings(warnings: &[Warning]) {
    for warning in warnings {
        warn(&warning.message);
    }
}

/// Prints one warning to stderr.
pub(super) fn warn(message: &str) {
    print(&format!("warning: {}\n", escape::one_line(message)));
}

/// Prints to stderr, as it is.
pub(super) fn print_error_text(text: &str) {
    print(text);
}

/// Says on stderr that this file was written.
pub fn print_written(path: &Path) {
    print(&format!(
        "wrote {}\n",
        escape::one_line(&path.display().to_string())
    ));
}

/// Prints a line of text to stderr.
pub fn print_line(text: &str) {
    print(&format!("{}\n", escape::one_line(text)));
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
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(stdout_failed(&error)),
        _ => Ok(()),
    }
}

/// Prints the verdict on a good drag file to stdout, as a line.
///
/// # Errors
/// As [`print_text`].
pub fn print_validation(validation: &Validation) -> Result<(), Error> {
    print_text(&(escape::one_line(&validation.line()) + "\n"))
}

/// A path as one word of a shell's command line, to be shown.
pub fn shell_word(path: &Path) -> String {
    let text = escape::one_line(&path.display().to_string());
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn stdout_failed(error: &io::Error) -> Error {
    let hint =
        "what was to be printed is lost; files that were written are seen by their paths".into();
    Error::Output {
        path: "stdout".into(),
        kind: ErrorKind::OutputWrite,
        reason: error.to_string(),
        hint,
    }
}

fn print(text: &str) {
    // When stderr is gone there is nobody left to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn message(error: &Error, screen: Screen) -> String {
    match error {
        Error::Instruction { path, faults } => diagnostics::faults(path, faults, screen),
        Error::Several { errors } => {
            let shown: Vec<String> = errors.iter().map(|error| message(error, screen)).collect();
            format!("{}\n{error}\n", shown.join("\n"))
        }
        // Lists of tensors have lines of their own.
        Error::Weights {
            path, reason, hint, ..
        }
        | Error::Hub {
            place: path,
            reason,
            hint,
            ..
        } => {
            let message = format!("{}: {}", escape::one_line(path), escape::lines(reason));
            paragraph(
                message,
                Some(hint)
                    .filter(|hint| !hint.is_empty())
                    .map(String::as_str),
                screen,
            )
        }
        // And so have the tensor library's explanations.
        Error::Tensor(_) => paragraph(
            escape::lines(&error.to_string()),
            error.hint().as_deref(),
            screen,
        ),
        _ => paragraph(
            escape::one_line(&error.to_string()),
            error.hint().as_deref(),
            screen,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_write_to_the_terminal() {
        let error = Error::File {
            path: "a\x1b[2J\n\u{202e}gnp.b".into(),
            source: io::Error::other("no"),
        };
        assert_eq!(
            describe(&error, None),
            "error: a\\u{1b}[2J\\n\\u{202e}gnp.b: no\n"
        );
    }

    #[test]
    fn a_hint_stands_apart() {
        let error = Error::PromptTooLong {
            tokens: 90,
            limit: 77,
        };
        let expected = "error: the prompt has 90 tokens with its start and end mark; the text encoder reads 77\n\nhint: shorten the prompt; it may be empty\n";
        assert_eq!(describe(&error, None), expected);
    }

    #[test]
    fn several_errors_are_counted() {
        let error = || Error::File {
            path: "a".into(),
            source: io::Error::other("no"),
        };
        let several = Error::Several {
            errors: vec![error(), error()],
        };
        assert_eq!(
            describe(&several, None),
            "error: a: no\n\nerror: a: no\n\n2 files are wrong\n"
        );
        assert_eq!(
            (several.kind(), several.exit_status()),
            (ErrorKind::File, 2)
        );
    }
}
