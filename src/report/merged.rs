//! Prints merged records: as text, as JSON, as Markdown, and as annotations and a summary of a GitHub Actions job.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::github;
use super::memory::peak_bytes;
use super::messages::{print_json, print_text, warn};
use super::summary::counted;
use super::table::Table;
use crate::error::Error;
use crate::escape;
use crate::merge::{Counts, Merged, MergedItem, TruncatedLine};

/// Number of items that are listed; JSON lists all.
const MAX_ITEMS: usize = 50;

/// The output format of merged records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeFormat {
    /// Lines for a terminal.
    Text,
    /// One object.
    Json,
    /// A table for a page.
    Markdown,
    /// Annotations and the summary of a job in GitHub Actions.
    Github,
}

/// Prints the counts and the items that are not done to stdout.
///
/// # Errors
/// As [`print_text`].
pub fn print_merged(merged: &Merged, form: MergeFormat) -> Result<(), Error> {
    match form {
        MergeFormat::Text => print_text(&text(merged)),
        MergeFormat::Json => print_json(&data(merged)),
        MergeFormat::Markdown => print_text(&page(merged)),
        MergeFormat::Github => {
            if let Err((path, error)) = github::summarise(&page(merged)) {
                warn(&format!(
                    "{}: cannot write the summary: {error}",
                    path.display()
                ));
            }
            print_text(&(annotations(merged) + &headline(&merged.counts()) + "\n"))
        }
    }
}

/// Prints a warning to stderr for each line and each id that was skipped.
pub fn print_merge_warnings(merged: &Merged) {
    for line in merged.truncated.iter().take(MAX_ITEMS) {
        warn(&format!(
            "{}: skipping line {}, which is not a record; a killed run leaves a truncated line",
            line.file.display(),
            line.line
        ));
    }
    if merged.truncated.len() > MAX_ITEMS {
        warn(&format!(
            "{} more lines are not records",
            merged.truncated.len() - MAX_ITEMS
        ));
    }
    if let Some(first) = merged.unknown_ids.first() {
        warn(&format!(
            "{} ids that have records are not in the manifest, such as `{first}`",
            merged.unknown_ids.len()
        ));
    }
}

/// Returns the counts as one line.
fn headline(counts: &Counts) -> String {
    let Counts {
        items,
        done,
        failed,
        interrupted,
        missing,
    } = counts;
    let mut line = format!("{}: {done} done", counted(*items));
    for (count, name) in [
        (failed, "failed"),
        (interrupted, "interrupted"),
        (missing, "missing"),
    ] {
        if *count > 0 {
            let _ = write!(line, ", {count} {name}");
        }
    }
    line
}

fn text(merged: &Merged) -> String {
    let mut text = headline(&merged.counts()) + "\n";
    let shown: Vec<(String, &MergedItem)> = merged
        .unfinished()
        .take(MAX_ITEMS)
        .map(|item| (escape::one_line(&item.id), item))
        .collect();
    let width = shown
        .iter()
        .map(|(id, _)| id.chars().count())
        .max()
        .unwrap_or_default()
        .min(40);
    for (id, item) in shown {
        let line = format!(
            "{:<12} {id:<width$}  {}",
            item.state.name(),
            escape::one_line(&reason(item))
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let more = merged.unfinished().count().saturating_sub(MAX_ITEMS);
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    text
}

fn reason(item: &MergedItem) -> String {
    item.error
        .as_ref()
        .map(|error| format!("{}: {}", error.kind, error.message))
        .unwrap_or_default()
}

fn page(merged: &Merged) -> String {
    let rows: Vec<Vec<String>> = merged
        .unfinished()
        .take(MAX_ITEMS)
        .map(|item| vec![item.id.clone(), item.state.name().to_owned(), reason(item)])
        .collect();
    let title = headline(&merged.counts());
    let mut page = if rows.is_empty() {
        format!("### {title}\n")
    } else {
        let head = ["item", "state", "reason"].map(str::to_owned).to_vec();
        Table { title, head, rows }.markdown()
    };
    let more = merged.unfinished().count().saturating_sub(MAX_ITEMS);
    if more > 0 {
        let _ = writeln!(page, "\nand {more} more");
    }
    page + "\n"
}

fn annotations(merged: &Merged) -> String {
    let annotation = |item: &MergedItem| {
        let reason = reason(item);
        let message = if reason.is_empty() {
            item.state.name()
        } else {
            &reason
        };
        github::annotation(None, &item.id, message)
    };
    merged
        .unfinished()
        .take(github::MAX_ANNOTATIONS)
        .map(annotation)
        .collect()
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    v: u8,
    #[serde(flatten)]
    counts: Counts,
    records: usize,
    /// Number of failed items for each kind of error.
    kinds: BTreeMap<&'a str, usize>,
    /// All items that are not done.
    rest: Vec<Value>,
    strangers: &'a [String],
    torn: &'a [TruncatedLine],
    /// Peak memory of the process, where the system reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<u64>,
}

fn data(merged: &Merged) -> Data<'_> {
    let mut kinds = BTreeMap::new();
    for error in merged.unfinished().filter_map(|item| item.error.as_ref()) {
        *kinds.entry(error.kind.name()).or_default() += 1;
    }
    let entry = |item: &MergedItem| match &item.error {
        Some(error) => {
            json!({"id": item.id, "state": item.state, "kind": error.kind, "message": error.message})
        }
        None => json!({"id": item.id, "state": item.state}),
    };
    let rest = merged.unfinished().map(entry).collect();
    Data {
        v: 1,
        counts: merged.counts(),
        records: merged.records,
        kinds,
        rest,
        strangers: &merged.unknown_ids,
        torn: &merged.truncated,
        peak_bytes: peak_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, RecordedKind};
    use crate::merge::{MergedState, RecordedError};

    fn merged() -> Merged {
        let item = |id: &str, state, error| MergedItem {
            id: id.into(),
            method: None,
            state,
            error,
            image: None,
            drag: None,
            out: None,
            ended: None,
            warnings: 0,
            loss_ratio: None,
        };
        let error = RecordedError {
            kind: RecordedKind::Known(ErrorKind::ImageDecode),
            message: "a|b".into(),
        };
        let items = vec![
            item("a", MergedState::Done, None),
            item("b\u{1b}", MergedState::Failed, Some(error)),
            item("long-name", MergedState::Missing, None),
        ];
        Merged {
            items,
            records: 2,
            unknown_ids: Vec::new(),
            truncated: Vec::new(),
        }
    }

    #[test]
    fn every_format_lists_the_unfinished_items() {
        let merged = merged();
        let expected = "3 items: 1 done, 1 failed, 1 missing\nfailed       b\\u{1b}    image.decode: a|b\nmissing      long-name\n";
        assert_eq!(text(&merged), expected);
        let expected = "### 3 items: 1 done, 1 failed, 1 missing\n\n| item | state | reason |\n| --- | --- | --- |\n| b\\\\u{1b} | failed | image.decode: a\\|b |\n| long-name | missing |  |\n\n";
        assert_eq!(page(&merged), expected);
        assert_eq!(
            annotations(&merged),
            "::error title=b\\u{1b}::image.decode: a|b\n::error title=long-name::missing\n"
        );
        let data = serde_json::to_value(data(&merged)).expect("text and numbers");
        assert_eq!(
            (
                &data["items"],
                &data["kinds"]["image.decode"],
                &data["rest"][1]["id"]
            ),
            (&3.into(), &1.into(), &"long-name".into())
        );
    }
}
