//! Prints messages for people to stderr and data for scripts to stdout.
//!
//! Paths, prompts and messages of libraries are not trusted: characters that control the terminal are escaped.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::diagnostics::{self, paragraph};
use super::screen::Screen;
use super::validation::Validation;
use crate::error::Error;
use crate::escape;
use crate::files;
use crate::warning::Warning;

/// Prints `error: ...` and `hint: ...` to stderr; for a drag file, one pair for each fault.
pub fn print_error(error: &Error) {
    print(&message(error, Screen::stderr()));
}

/// Returns the message of [`print_error`] without colours, with lines of at most `width` columns if that is given.
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

/// Prints text to stderr without escaping it.
pub(super) fn print_error_text(text: &str) {
    print(text);
}

/// Prints to stderr that this file was written.
pub fn print_written(path: &Path) {
    if files::is_stdout(path) {
        return;
    }
    print(&format!(
        "wrote {}\n",
        escape::one_line(&path.display().to_string())
    ));
}

/// Prints a line of text to stderr.
pub fn print_line(text: &str) {
    print(&format!("{}\n", escape::one_line(text)));
}

/// Prints data, such as the record of an edit, to stdout as one line of JSON.
///
/// # Errors
/// As [`print_text`].
pub fn print_json(data: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string(data).map_err(|error| files::stdout_failed(&error.into()))?;
    print_text(&(json + "\n"))
}

/// Prints text to stdout without escaping it.
///
/// # Errors
/// [`Error::Output`] `output.write` if stdout cannot be written, `output.disk_full` if it leads to a full disk. A closed pipe is not an error.
pub fn print_text(text: &str) -> Result<(), Error> {
    match files::write_stdout(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(files::stdout_failed(&error))
        }
        _ => Ok(()),
    }
}

/// Prints the verdict on a valid drag file to stdout as one line.
///
/// # Errors
/// As [`print_text`].
pub fn print_validation(validation: &Validation) -> Result<(), Error> {
    print_text(&(escape::one_line(&validation.line()) + "\n"))
}

/// Formats a path as one word of a shell command line, for display.
pub fn shell_word(path: &Path) -> String {
    let text = escape::one_line(&path.display().to_string());
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn print(text: &str) {
    // A closed stderr is not an error.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn message(error: &Error, screen: Screen) -> String {
    match error {
        Error::Instruction { path, faults } => diagnostics::faults(path, faults, screen),
        Error::Several { errors } => {
            let shown: Vec<String> = errors.iter().map(|error| message(error, screen)).collect();
            format!("{}\n{error}\n", shown.join("\n"))
        }
        // Lists of tensors have several lines.
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
        // Messages of the tensor library have several lines.
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
    use crate::error::ErrorKind;

    #[test]
    fn control_characters_of_a_path_are_escaped() {
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
    fn a_hint_is_a_separate_paragraph() {
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
