//! The report of an import: what was chosen, what failed, and what to do next.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Failure, messages, print_error, print_json, print_warnings, shell_word};
use crate::error::Result;
use crate::import::{Choice, Import, SampleOutcome};
use crate::warning::{Warning, WarningKind};

/// A sample as JSON.
#[derive(Serialize)]
struct SampleReport<'a> {
    v: u8,
    id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drag: Option<&'a str>,
    choices: &'a [Choice],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

impl<'a> From<&'a SampleOutcome> for SampleReport<'a> {
    fn from(sample: &'a SampleOutcome) -> Self {
        let imported = sample.result.as_ref().ok();
        let drag = imported.and_then(|imported| imported.drag.as_deref());
        Self {
            v: 1,
            id: &sample.id,
            status: match (&sample.result, drag) {
                (Err(_), _) => "failed",
                (Ok(_), None) => "not written",
                (Ok(_), Some(_)) => "imported",
            },
            category: sample.category.as_deref(),
            drag,
            choices: imported.map_or(&[], |imported| &imported.choices),
            error: sample.result.as_ref().err().map(Failure::from),
        }
    }
}

/// Prints what became of an import. Errors of samples are printed here when others were imported; else they are the command's own.
///
/// # Errors
/// As [`super::print_text`].
pub(crate) fn print_import(import: &Import, json: bool, quiet: bool) -> Result<()> {
    let (written, failed) = import.counts();
    if json {
        for sample in &import.samples {
            print_json(&SampleReport::from(sample))?;
        }
        print_json(&serde_json::json!({ "v": 1, "summary": {
            "kind": import.kind.name(), "samples": import.samples.len(), "imported": written, "failed": failed,
            "manifest": import.manifest } }))?;
    }
    if !quiet {
        print_warnings(&import.warnings);
        if written > 0 {
            print_warnings(&choices(import));
        }
    }
    if written > 0 {
        for sample in &import.samples {
            if let Err(error) = &sample.result {
                print_error(error);
            }
        }
    }
    if let (Some(manifest), false) = (&import.manifest, json || quiet) {
        messages::print_text(&format!(
            "imported {written} of {} samples to {}\n\n  dragnext batch --manifest {} -o edited\n",
            import.samples.len(),
            crate::escape::one_line(&manifest.display().to_string()),
            shell_word(manifest)
        ))?;
    }
    Ok(())
}

/// Returns one warning for each choice that was made, with the number of samples and the first of them.
fn choices(import: &Import) -> Vec<Warning> {
    let mut counts: BTreeMap<(&str, &str), (WarningKind, usize, &str)> = BTreeMap::new();
    for sample in &import.samples {
        for choice in sample.result.iter().flat_map(|imported| &imported.choices) {
            let key = (choice.kind.name(), &*choice.message);
            counts.entry(key).or_insert((choice.kind, 0, &sample.id)).1 += 1;
        }
    }
    counts
        .into_iter()
        .map(|((_, message), (kind, count, first))| Warning {
            kind,
            message: if count == 1 {
                format!("`{first}`: {message}")
            } else {
                format!("{message} ({count} times, first in `{first}`)")
            },
        })
        .collect()
}
