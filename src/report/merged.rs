//! What many runs left behind, for people, for scripts, and for GitHub.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::messages::{print_json, print_text, warn};
use super::record::peak_bytes;
use super::summary::counted;
use super::{github, markdown};
use crate::error::Error;
use crate::escape;
use crate::merge::{Counts, Item, Merged};

/// Items that are named one by one where people read; `json` names all.
const MOST_ITEMS: usize = 50;

/// How a summary is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedForm {
    /// Lines for a terminal.
    Text,
    /// One object.
    Json,
    /// A table for a page.
    Markdown,
    /// Annotations and the summary of a job in GitHub Actions.
    Github,
}

/// Prints what is done and what is not to stdout.
///
/// # Errors
/// As [`print_text`].
pub fn print_merged(merged: &Merged, form: MergedForm) -> Result<(), Error> {
    match form {
        MergedForm::Text => print_text(&text(merged)),
        MergedForm::Json => print_json(&data(merged)),
        MergedForm::Markdown => print_text(&page(merged)),
        MergedForm::Github => {
            if let Err((path, error)) = github::summarise(&page(merged)) {
                warn(&format!(
                    "{}: the summary was not written: {error}",
                    path.display()
                ));
            }
            print_text(&(annotations(merged) + &headline(&merged.counts()) + "\n"))
        }
    }
}

/// Says on stderr what was left out.
pub fn print_merge_warnings(merged: &Merged) {
    for torn in merged.torn.iter().take(MOST_ITEMS) {
        warn(&format!(
            "{}: line {} is no record and is left out; a run that was killed leaves half a line",
            torn.file.display(),
            torn.line
        ));
    }
    if merged.torn.len() > MOST_ITEMS {
        warn(&format!(
            "{} lines more are no records",
            merged.torn.len() - MOST_ITEMS
        ));
    }
    if let Some(first) = merged.strangers.first() {
        warn(&format!(
            "{} ids with records are not in the manifest, such as `{first}`",
            merged.strangers.len()
        ));
    }
}

/// The counts as one line.
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
    let shown: Vec<(String, &Item)> = merged
        .rest()
        .take(MOST_ITEMS)
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
    let more = merged.rest().count().saturating_sub(MOST_ITEMS);
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    text
}

fn reason(item: &Item) -> String {
    item.fault
        .as_ref()
        .map(|fault| format!("{}: {}", fault.kind, fault.message))
        .unwrap_or_default()
}

fn page(merged: &Merged) -> String {
    let rows: Vec<Vec<String>> = merged
        .rest()
        .take(MOST_ITEMS)
        .map(|item| vec![item.id.clone(), item.state.name().to_owned(), reason(item)])
        .collect();
    let mut page = format!("### {}\n", headline(&merged.counts()));
    if !rows.is_empty() {
        page += "\n";
        page += &markdown::table(&["item", "state", "reason"], &rows);
    }
    let more = merged.rest().count().saturating_sub(MOST_ITEMS);
    if more > 0 {
        let _ = writeln!(page, "\nand {more} more");
    }
    page + "\n"
}

fn annotations(merged: &Merged) -> String {
    let of = |item: &Item| {
        let reason = reason(item);
        let message = if reason.is_empty() {
            item.state.name()
        } else {
            &reason
        };
        github::annotation(None, &item.id, message)
    };
    merged
        .rest()
        .take(github::MOST_ANNOTATIONS)
        .map(of)
        .collect()
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    v: u8,
    #[serde(flatten)]
    counts: Counts,
    records: usize,
    /// How many failed in which way.
    kinds: BTreeMap<&'a str, usize>,
    /// Everything that is not done.
    rest: Vec<Value>,
    strangers: &'a [String],
    torn: &'a [crate::merge::Torn],
    /// Most memory that merging took, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<u64>,
}

fn data(merged: &Merged) -> Data<'_> {
    let mut kinds = BTreeMap::new();
    for fault in merged.rest().filter_map(|item| item.fault.as_ref()) {
        *kinds.entry(fault.kind.name()).or_default() += 1;
    }
    let entry = |item: &Item| match &item.fault {
        Some(fault) => {
            json!({"id": item.id, "state": item.state, "kind": fault.kind, "message": fault.message})
        }
        None => json!({"id": item.id, "state": item.state}),
    };
    let rest = merged.rest().map(entry).collect();
    Data {
        v: 1,
        counts: merged.counts(),
        records: merged.records,
        kinds,
        rest,
        strangers: &merged.strangers,
        torn: &merged.torn,
        peak_bytes: peak_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, RecordedKind};
    use crate::merge::{Fault, State};

    fn merged() -> Merged {
        let item = |id: &str, state, fault| Item {
            id: id.into(),
            state,
            fault,
            image: None,
            out: None,
            ended: None,
            warnings: 0,
            loss_left: None,
        };
        let fault = Fault {
            kind: RecordedKind::Known(ErrorKind::ImageDecode),
            message: "a|b".into(),
        };
        let items = vec![
            item("a", State::Done, None),
            item("b\u{1b}", State::Failed, Some(fault)),
            item("long-name", State::Missing, None),
        ];
        Merged {
            items,
            records: 2,
            strangers: Vec::new(),
            torn: Vec::new(),
        }
    }

    #[test]
    fn every_form_names_what_is_not_done() {
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
