//! Merges the records of several runs: the newest record of each item, and which items are not done.
//!
//! Each run appends one line of JSON for each item that ends ([`crate::report::Record`]) to its own file. If an item has several records, the
//! one with the latest time counts; without times, the one that was read last. A truncated line, left by a killed run, is skipped with a
//! warning.

mod exhibits;
mod item;
mod manifest;
mod records;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

pub(crate) use exhibits::{exhibits, folders, found};
pub(crate) use item::{MergedItem, MergedState, RecordedError};
pub(crate) use manifest::Manifest;

use records::Records;

/// All items of a batch with their newest records.
#[derive(Debug)]
pub struct Merged {
    /// One item for each id, in the order of the manifest; without a manifest, in the order of their first records.
    pub items: Vec<MergedItem>,
    /// Number of records that were read.
    pub records: usize,
    /// Ids that have records but are not in the manifest; their items are skipped.
    pub unknown_ids: Vec<String>,
    /// Lines that are not records.
    pub truncated: Vec<TruncatedLine>,
}

/// A line that is not a record, usually because the run that wrote it was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TruncatedLine {
    /// The record file.
    pub file: PathBuf,
    /// Line number, from 1.
    pub line: usize,
}

/// Numbers of items by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All items.
    pub items: usize,
    /// Their results were written.
    pub done: usize,
    /// They failed.
    pub failed: usize,
    /// A signal stopped them.
    pub interrupted: usize,
    /// They have no record.
    pub missing: usize,
}

impl Merged {
    /// Reads record files in this order. With a manifest, its items without a record are missing.
    ///
    /// # Errors
    /// [`crate::Error::Given`] `records.unreadable` for a file that cannot be read or contains other lines but no record.
    pub fn read(files: &[PathBuf], manifest: Option<&Manifest>) -> Result<Self> {
        let mut records = Records::default();
        for file in files {
            records.read(file)?;
        }
        let Records {
            items,
            count,
            truncated,
            ..
        } = records;
        let Some(manifest) = manifest else {
            return Ok(Self {
                items,
                records: count,
                unknown_ids: Vec::new(),
                truncated,
            });
        };
        let (items, unknown_ids) = manifest.order(items);
        Ok(Self {
            items,
            records: count,
            unknown_ids,
            truncated,
        })
    }

    /// Counts the items in each state.
    pub fn counts(&self) -> Counts {
        let count = |state| self.items.iter().filter(|item| item.state == state).count();
        let [done, failed, interrupted, missing] = [
            MergedState::Done,
            MergedState::Failed,
            MergedState::Interrupted,
            MergedState::Missing,
        ]
        .map(count);
        Counts {
            items: self.items.len(),
            done,
            failed,
            interrupted,
            missing,
        }
    }

    /// Returns the items that are not done.
    pub fn unfinished(&self) -> impl Iterator<Item = &MergedItem> {
        self.items
            .iter()
            .filter(|item| item.state != MergedState::Done)
    }

    /// Returns the items with a record, worst first: failed items, then items with warnings, then those whose loss decreased least.
    pub fn worst_first(&self) -> Vec<&MergedItem> {
        let mut items: Vec<&MergedItem> = self
            .items
            .iter()
            .filter(|item| item.state != MergedState::Missing)
            .collect();
        // The sort is stable, so that equally bad items keep their order.
        items.sort_by(|a, b| {
            b.badness()
                .partial_cmp(&a.badness())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        items
    }
}

/// Returns whether all items are done. `todo` is the file that lists the others; `has_manifest` decides whether it could be written.
///
/// # Errors
/// [`Error::Finding`] `merge.incomplete`.
pub(crate) fn merge_result(counts: Counts, todo: Option<&Path>, has_manifest: bool) -> Result<()> {
    let unfinished = counts.items - counts.done;
    if unfinished == 0 {
        return Ok(());
    }
    let hint = match todo {
        Some(todo) => format!("`{}` lists them for another run", todo.display()),
        None if has_manifest => "`--todo FILE` lists them for another run".into(),
        None => String::new(),
    };
    Err(Error::Finding {
        kind: ErrorKind::MergeIncomplete,
        reason: format!("{unfinished} of {} items are not done", counts.items),
        hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(files: &[&str], manifest: Option<&str>) -> Merged {
        let folder = tempfile::tempdir().expect("a folder for the records");
        let write = |(index, text): (usize, &&str)| {
            let path = folder.path().join(format!("{index}.jsonl"));
            std::fs::write(&path, text).expect("records");
            path
        };
        let files: Vec<PathBuf> = files.iter().enumerate().map(write).collect();
        let manifest = manifest.map(|text| {
            let path = folder.path().join("manifest.jsonl");
            std::fs::write(&path, text).expect("a manifest");
            Manifest::read(&path).expect("a valid manifest")
        });
        Merged::read(&files, manifest.as_ref()).expect("the records can be read")
    }

    fn states(merged: &Merged) -> Vec<(&str, MergedState)> {
        merged
            .items
            .iter()
            .map(|item| (item.id.as_str(), item.state))
            .collect()
    }

    const DONE_A: &str = "{\"v\":1,\"id\":\"a\",\"status\":\"done\"}\n";
    const FAILED_A: &str = "{\"v\":1,\"id\":\"a\",\"status\":\"failed\",\"error\":{\"kind\":\"bug\",\"message\":\"no\"}}\n";
    const FAILED_B: &str = "{\"v\":1,\"id\":\"b\",\"status\":\"failed\",\"error\":{\"kind\":\"bug\",\"message\":\"no\"}}\n";

    #[test]
    fn the_last_record_of_an_id_counts() {
        assert_eq!(
            states(&merged(&[&format!("{FAILED_A}{DONE_A}")], None)),
            [("a", MergedState::Done)]
        );
        assert_eq!(
            states(&merged(&[&format!("{DONE_A}{FAILED_A}")], None)),
            [("a", MergedState::Failed)]
        );
        let both = merged(&[&format!("{FAILED_A}{FAILED_B}"), DONE_A], None);
        assert_eq!(
            states(&both),
            [("a", MergedState::Done), ("b", MergedState::Failed)]
        );
        assert_eq!(
            (both.records, both.counts().done, both.counts().failed),
            (3, 1, 1)
        );
    }

    /// A shell sorts file names, which is not the order of the runs.
    #[test]
    fn the_record_with_the_latest_time_counts() {
        let at = |line: &str, seconds: f64| {
            line.replace("{\"v\":1", &format!("{{\"v\":1,\"ended\":{seconds}"))
        };
        assert_eq!(
            states(&merged(&[&at(DONE_A, 20.5), &at(FAILED_A, 10.25)], None)),
            [("a", MergedState::Done)]
        );
        assert_eq!(
            states(&merged(&[&at(DONE_A, 10.0), &at(FAILED_A, 20.0)], None)),
            [("a", MergedState::Failed)]
        );
        assert_eq!(
            states(&merged(&[&at(DONE_A, 10.0), &at(FAILED_A, 10.0)], None)),
            [("a", MergedState::Failed)]
        );
    }

    #[test]
    fn a_truncated_line_is_skipped_and_reported() {
        let truncated = merged(&[&format!("{DONE_A}{}", &FAILED_B[..20])], None);
        assert_eq!(states(&truncated), [("a", MergedState::Done)]);
        assert_eq!(
            truncated
                .truncated
                .iter()
                .map(|line| line.line)
                .collect::<Vec<_>>(),
            [2]
        );
        let continued = merged(&[&format!("{}\n{DONE_A}", &FAILED_B[..20])], None);
        assert_eq!(
            (states(&continued), continued.truncated.len()),
            (vec![("a", MergedState::Done)], 1)
        );
        let alone = merged(&[&FAILED_B[..20]], None);
        assert_eq!((alone.items.len(), alone.truncated.len()), (0, 1));
    }

    #[test]
    fn items_without_a_record_are_missing() {
        let manifest = "{\"id\":\"c\"}\n\n{\"id\":\"a\"}\n";
        let merged = merged(&[DONE_A, FAILED_B], Some(manifest));
        assert_eq!(
            states(&merged),
            [("c", MergedState::Missing), ("a", MergedState::Done)]
        );
        assert_eq!(merged.unknown_ids, ["b"]);
        assert_eq!(
            merged
                .unfinished()
                .map(|item| item.id.as_str())
                .collect::<Vec<_>>(),
            ["c"]
        );
    }

    #[test]
    fn the_worst_items_come_first() {
        let done = |id: &str, last: f64, warnings: &str| {
            format!(
                "{{\"id\":\"{id}\",\"status\":\"done\",\"loss\":{{\"first\":1.0,\"last\":{last}}},\"warnings\":[{warnings}]}}\n"
            )
        };
        let warned = "{\"kind\":\"drag.diverged\",\"message\":\"\"}";
        let text = [
            done("good", 0.1, ""),
            done("poor", 0.8, ""),
            done("doubtful", 0.2, warned),
            FAILED_B.to_owned(),
        ]
        .concat();
        let merged = merged(&[&text], None);
        let order: Vec<&str> = merged
            .worst_first()
            .iter()
            .map(|item| item.id.as_str())
            .collect();
        assert_eq!(order, ["b", "doubtful", "poor", "good"]);
    }
}
