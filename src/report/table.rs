//! Tables of text, which are printed for a terminal, as Markdown, or as LaTeX.

use std::fmt::Write;

use super::markdown;
use crate::escape;

/// A table with a title. The first column holds names, the others numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table {
    /// What it shows.
    pub(super) title: String,
    /// The names of the columns.
    pub(super) head: Vec<String>,
    /// As many cells in each row as there are columns.
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns the table with aligned columns.
    pub(super) fn text(&self) -> String {
        let rows: Vec<Vec<String>> = std::iter::once(&self.head)
            .chain(&self.rows)
            .map(|row| row.iter().map(|cell| escape::one_line(cell)).collect())
            .collect();
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                rows.iter()
                    .map(|row| row[column].chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let mut text = format!("{}\n", escape::one_line(&self.title));
        for row in rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let _ = match column {
                    0 => write!(line, "{cell:<width$}"),
                    _ => write!(line, "  {cell:>width$}"),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }

    /// Returns the table in GitHub Flavored Markdown, with the title as a heading.
    pub(super) fn markdown(&self) -> String {
        let head: Vec<String> = self
            .head
            .iter()
            .map(|cell| markdown::literal(cell))
            .collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        format!(
            "### {}\n\n{}",
            markdown::literal(&self.title),
            markdown::table(&head, &self.rows)
        )
    }

    /// Returns the table in LaTeX, with the rules of the package `booktabs`.
    pub(super) fn latex(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| latex(cell)).collect();
            cells.join(" & ") + " \\\\\n"
        };
        let columns = "r".repeat(self.head.len().saturating_sub(1));
        let mut text = format!(
            "\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\begin{{tabular}}{{l{columns}}}\n\\toprule\n{}\\midrule\n",
            latex(&self.title),
            line(&self.head)
        );
        text.extend(self.rows.iter().map(|row| line(row)));
        text + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    }
}

/// Escapes text so that it has no meaning in LaTeX.
fn latex(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for character in escape::one_line(text).chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => literal.extend(['\\', character]),
            '~' => literal += "\\textasciitilde{}",
            '^' => literal += "\\textasciicircum{}",
            '\\' => literal += "\\textbackslash{}",
            '<' | '>' => {
                let _ = write!(literal, "${character}$");
            }
            _ => literal.push(character),
        }
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            title: "a_b".into(),
            head: vec!["name".into(), "IF_th".into()],
            rows: vec![
                vec!["50 % & more".into(), "0.5".into()],
                vec!["x\u{1b}".into(), "-".into()],
            ],
        }
    }

    #[test]
    fn columns_are_aligned() {
        let expected = "a_b\nname         IF_th\n50 % & more    0.5\nx\\u{1b}          -\n";
        assert_eq!(table().text(), expected);
    }

    #[test]
    fn names_have_no_meaning_in_markdown_and_latex() {
        assert_eq!(
            table().markdown(),
            "### a\\_b\n\n| name | IF\\_th |\n| --- | --- |\n| 50 % &amp; more | 0.5 |\n| x\\\\u{1b} | - |\n"
        );
        let latex = table().latex();
        assert!(latex.contains("name & IF\\_th \\\\\n\\midrule\n50 \\% \\& more & 0.5 \\\\\n"));
        assert!(latex.contains("x\\textbackslash{}u\\{1b\\} & - \\\\\n\\bottomrule"));
        assert!(latex.contains("\\begin{tabular}{lr}"));
    }
}
