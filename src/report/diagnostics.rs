//! Formats faults of drag files for people: the message, an excerpt of the file, and the hint.
//!
//! ```text
//! error: cat.json: region `tail` at /regions/1/target: point (812, 40) lies outside the image (768 x 512)
//!   --> cat.json:9:49
//!    |
//!  9 |       "handle": [410, 330], "target": [812, 40] }
//!    |                                       ^^^^^^^^^
//!    |
//!    = hint: coordinates are pixels of the upright image, from its top left corner
//! ```

use std::path::Path;

use annotate_snippets::renderer::{DEFAULT_LINE_NUM_STYLE, DEFAULT_TERM_WIDTH, Style};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::screen::{Screen, wrapped};
use crate::drag_file::MAX_FAULTS;
use crate::error::{DragFileFault, Excerpt};
use crate::escape;

/// Least width of lines, also on narrower terminals.
const MIN_WIDTH: usize = 30;
/// Columns of an excerpt that are not for the marked value: the line number, and dots with some text on both sides.
const MARGIN: usize = 22;

impl Screen {
    pub(super) fn renderer(self) -> Renderer {
        let renderer = if self.colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.term_width(self.columns())
    }

    fn columns(self) -> usize {
        self.width
            .map_or(DEFAULT_TERM_WIDTH, |width| width.max(MIN_WIDTH))
    }

    /// Breaks the lines of a message whose first line begins after `indent` columns. Text for a file or pipe stays on one line.
    pub(super) fn prose(self, text: &str, indent: usize) -> String {
        match self.width {
            Some(_) => wrapped(text, self.columns().saturating_sub(indent)).join("\n"),
            None => text.to_owned(),
        }
    }
}

/// Formats all faults of one file, and their number if there are several.
pub(super) fn faults(path: &Path, faults: &[DragFileFault], screen: Screen) -> String {
    let mut shown: Vec<String> = faults.iter().map(|one| fault(path, one, screen)).collect();
    let name = escape::one_line(&path.display().to_string());
    match faults.len() {
        0 | 1 => {}
        MAX_FAULTS => shown.push(format!(
            "{MAX_FAULTS} faults in {name}, and there may be more\n"
        )),
        count => shown.push(format!("{count} faults in {name}\n")),
    }
    shown.join("\n")
}

fn fault(path: &Path, fault: &DragFileFault, screen: Screen) -> String {
    let title = screen.prose(
        &escape::one_line(&format!("{}: {fault}", path.display())),
        "error: ".len(),
    );
    // The renderer gets only as much of a long line as it can show.
    let Excerpt {
        before,
        inside,
        after,
    } = fault.excerpt(screen.columns(), screen.columns() - MARGIN);
    let (before, inside, after) = (visible(before), visible(inside), visible(after));
    if before.trim().is_empty() && inside.is_empty() && after.trim().is_empty() {
        return paragraph(title, fault.hint.as_deref(), screen);
    }

    // The renderer would count columns inside the excerpt, so the line with the place is formatted here.
    let margin = " ".repeat(fault.line.to_string().len());
    let style = if screen.colour {
        DEFAULT_LINE_NUM_STYLE
    } else {
        Style::new()
    };
    let place = format!(
        "{}:{}:{}",
        escape::one_line(&path.display().to_string()),
        fault.line,
        fault.column
    );
    let span = before.len()..before.len() + inside.len();
    let snippet = Snippet::source(before + &inside + &after).line_start(fault.line);
    let mut shown = Group::with_level(Level::ERROR)
        .element(snippet.annotation(AnnotationKind::Primary.span(span)));
    if let Some(hint) = &fault.hint {
        let hint = screen.prose(&escape::one_line(hint), margin.len() + " = hint: ".len());
        shown = shown.element(Level::HELP.with_name("hint").message(hint));
    }
    let [title, shown] = [Group::with_title(Level::ERROR.primary_title(title)), shown]
        .map(|group| screen.renderer().render(&[group]));
    format!("{title}\n{margin}{style}-->{style:#} {place}\n{shown}\n")
}

/// Formats a message without an excerpt, and its hint.
pub(super) fn paragraph(message: String, hint: Option<&str>, screen: Screen) -> String {
    let render = |title| screen.renderer().render(&[Group::with_title(title)]);
    let error = render(Level::ERROR.primary_title(message));
    match hint.map(escape::one_line) {
        Some(hint) => format!(
            "{error}\n\n{}\n",
            render(Level::HELP.with_name("hint").secondary_title(hint))
        ),
        None => error + "\n",
    }
}

/// Replaces every unprintable character of a line by one character, so that columns stay right. The renderer replaces some of
/// them, but not one-byte escape codes (C1).
fn visible(line: &str) -> String {
    line.chars()
        .map(|c| {
            if c == '\t' || c == '\r' {
                ' '
            } else if escape::is_unprintable(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drag_file::DragFile;
    use crate::error::ErrorKind;

    const FILE: &str = r#"{
  "version": 1,
  "regions": [
    { "id": "tail", "type": "translation", "region": { "ellipse": [410, 330, 40, 25] },
      "handle": [410, 330], "target": [812, 40] }
  ]
}"#;

    fn outside() -> DragFileFault {
        let drag = DragFile::parse(FILE.as_bytes()).expect("a good file");
        let hint = "coordinates are pixels of the upright image, from its top left corner";
        drag.fault(
            ErrorKind::InstructionPointOutside,
            "/regions/0/target",
            "point (812, 40) lies outside the image (768 x 512)".into(),
            Some(hint.into()),
        )
    }

    fn shown(fault: &DragFileFault, width: Option<usize>) -> String {
        super::fault(
            Path::new("cat.json"),
            fault,
            Screen {
                width,
                colour: false,
            },
        )
    }

    #[test]
    fn a_wide_terminal_shows_whole_lines() {
        let expected = r#"error: cat.json: region `tail` at /regions/0/target: point (812, 40) lies outside the image (768 x 512)
 --> cat.json:5:39
  |
5 |       "handle": [410, 330], "target": [812, 40] }
  |                                       ^^^^^^^^^
  |
  = hint: coordinates are pixels of the upright image, from its top left corner
"#;
        assert_eq!(shown(&outside(), Some(160)), expected);
        assert_eq!(
            shown(&outside(), None),
            expected,
            "lines for a file or a pipe are not broken"
        );
    }

    #[test]
    fn lines_break_at_eighty_columns() {
        let expected = r#"error: cat.json: region `tail` at /regions/0/target: point (812, 40) lies
       outside the image (768 x 512)
 --> cat.json:5:39
  |
5 |       "handle": [410, 330], "target": [812, 40] }
  |                                       ^^^^^^^^^
  |
  = hint: coordinates are pixels of the upright image, from its top left corner
"#;
        assert_eq!(shown(&outside(), Some(80)), expected);
    }

    #[test]
    fn lines_break_at_forty_columns() {
        let expected = r#"error: cat.json: region `tail` at
       /regions/0/target: point (812,
       40) lies outside the image (768 x
       512)
 --> cat.json:5:39
  |
5 | ..."target": [812, 40] }
  |              ^^^^^^^^^
  |
  = hint: coordinates are pixels of the
          upright image, from its top
          left corner
"#;
        assert_eq!(shown(&outside(), Some(40)), expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = FILE
            .replace('\n', " ")
            .replace("[812, 40]", &format!("[812, \"{}\"]", "4".repeat(500)));
        let faults = DragFile::parse(long.as_bytes()).expect_err("a string is not a coordinate");
        for width in [30, 40, 80, 200] {
            let text = shown(&faults[0], Some(width));
            assert!(
                text.contains("^^^^") && text.contains("cat.json:1:"),
                "{text}"
            );
            assert!(
                text.lines().all(|line| line.chars().count() <= width),
                "{width}: {text}"
            );
        }
    }

    #[test]
    fn colours_do_not_change_the_text() {
        let coloured = super::fault(
            Path::new("cat.json"),
            &outside(),
            Screen {
                width: None,
                colour: true,
            },
        );
        let mut plain = String::new();
        let mut parts = coloured.split('\u{1b}');
        plain.extend(parts.next());
        parts.for_each(|part| plain.push_str(part.split_once('m').expect("a colour code").1));
        assert!(coloured.contains('\u{1b}'));
        assert_eq!(plain, shown(&outside(), None));
    }

    #[test]
    fn text_of_the_file_cannot_control_the_terminal_or_imitate_a_message() {
        let text = "{\"version\": 1,\t\"\u{9b}2J\u{202e}\u{7f}\": 1, \"regions\": []}\r\n";
        let faults = DragFile::parse(text.as_bytes()).expect_err("an unknown key");
        let shown = super::fault(
            Path::new("a\nerror: \u{1b}.json"),
            &faults[0],
            Screen {
                width: None,
                colour: false,
            },
        );
        assert!(
            shown
                .chars()
                .all(|c| c == '\n' || !escape::is_unprintable(c)),
            "{shown:?}"
        );
        assert!(
            shown.contains(
                "\n1 | {\"version\": 1, \"\u{fffd}2J\u{fffd}\u{fffd}\": 1, \"regions\": []}\n"
            ),
            "{shown}"
        );
        assert!(
            shown.contains("\n --> a\\nerror: \\u{1b}.json:1:16\n"),
            "{shown}"
        );
        assert_eq!(shown.matches("\nerror").count(), 0, "{shown}");
    }

    #[test]
    fn several_faults_are_counted() {
        let faults = vec![outside(); 3];
        let text = super::faults(
            Path::new("cat.json"),
            &faults,
            Screen {
                width: None,
                colour: false,
            },
        );
        assert_eq!(
            text,
            format!(
                "{0}\n{0}\n{0}\n3 faults in cat.json\n",
                shown(&outside(), None)
            )
        );
        let text = super::faults(
            Path::new("cat.json"),
            &vec![outside(); MAX_FAULTS],
            Screen {
                width: None,
                colour: false,
            },
        );
        assert!(
            text.ends_with("\n100 faults in cat.json, and there may be more\n"),
            "{text}"
        );
    }
}
