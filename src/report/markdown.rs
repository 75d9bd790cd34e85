//! Tables in GitHub Flavored Markdown.

use std::fmt::Write;

use crate::escape;

/// Returns a table. Cells are escaped.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!(
        "| {} |\n|{}\n",
        head.join(" | "),
        " --- |".repeat(head.len())
    );
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| literal(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// Escapes text so that it has no meaning in Markdown.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for character in escape::one_line(text).chars() {
        match character {
            '<' => literal.push_str("&lt;"),
            '&' => literal.push_str("&amp;"),
            '@' => literal.push_str("&#64;"), // otherwise it would mention a user
            '|' | '\\' | '*' | '_' | '~' | '[' | ']' | '#' | '!' => {
                literal.extend(['\\', character]);
            }
            '`' => literal.push('\''),
            _ => literal.push(character),
        }
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped() {
        let rows = vec![vec![
            "a|b\n| c |".to_owned(),
            "<img src=x> `d` [e](f) @g \u{202e}".to_owned(),
        ]];
        let expected = concat!(
            "| one | two |\n",
            "| --- | --- |\n",
            "| a\\|b\\\\n\\| c \\| | &lt;img src=x> 'd' \\[e\\](f) &#64;g \\\\u{202e} |\n",
        );
        assert_eq!(table(&["one", "two"], &rows), expected);
    }
}
