//! What many runs left behind, as one: the newest record of every item, and what is still to do.
//!
//! Runs append a line of JSON for each item that they end, to a file of their own ([`crate::report::Record`]); an item that was done again has
//! several, of which the newest holds by the time in it; of records without a time, the one that is read last. A run that was killed may have left
//! half a line: it is left out, and said.

mod items;
mod manifest;
mod records;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Result;

pub use items::{Fault, Item, State};
pub use manifest::Manifest;

use records::Records;

/// All items with what is known of them.
#[derive(Debug)]
pub struct Merged {
    /// One for each id: in the manifest's order, or without one in the order of their first records.
    pub items: Vec<Item>,
    /// Records that were read.
    pub records: usize,
    /// Ids with records that the manifest does not name; they are left out.
    pub strangers: Vec<String>,
    /// Lines that are no records.
    pub torn: Vec<Torn>,
}

/// A line that is no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// Its file.
    pub file: PathBuf,
    /// Its number, from 1.
    pub line: usize,
}

/// Items by their states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub items: usize,
    /// Their results were written.
    pub done: usize,
    /// Something was wrong.
    pub failed: usize,
    /// A signal asked for a stop.
    pub interrupted: usize,
    /// No record says anything of them.
    pub missing: usize,
}

impl Merged {
    /// Reads record files, in this order, and looks for the manifest's items in them.
    ///
    /// # Errors
    /// [`crate::Error::Given`] `records.unreadable` for a file that cannot be read or holds no record but other lines.
    pub fn read(files: &[PathBuf], manifest: Option<&Manifest>) -> Result<Self> {
        let mut records = Records::default();
        for file in files {
            records.read(file)?;
        }
        let Records {
            items, read, torn, ..
        } = records;
        let Some(manifest) = manifest else {
            return Ok(Self {
                items,
                records: read,
                strangers: Vec::new(),
                torn,
            });
        };
        let (items, strangers) = manifest.order(items);
        Ok(Self {
            items,
            records: read,
            strangers,
            torn,
        })
    }

    /// How many items are in which state.
    pub fn counts(&self) -> Counts {
        let count = |state| self.items.iter().filter(|item| item.state == state).count();
        let [done, failed, interrupted, missing] = [
            State::Done,
            State::Failed,
            State::Interrupted,
            State::Missing,
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

    /// Those that are not done.
    pub fn rest(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.state != State::Done)
    }

    /// All items, worst first: what failed, then what is doubtful, then those whose drag achieved least.
    pub fn worst_first(&self) -> Vec<&Item> {
        let mut items: Vec<&Item> = self
            .items
            .iter()
            .filter(|item| item.state != State::Missing)
            .collect();
        // The sort is stable: items that are equally bad keep their order.
        items.sort_by(|a, b| {
            b.badness()
                .partial_cmp(&a.badness())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        items
    }
}

/// Where a path of a record may be meant from: the current folder, the folder of the manifest, and the folder that holds the records' folder.
pub fn places(path: &Path, manifest: Option<&Path>, records: &[PathBuf]) -> Option<PathBuf> {
    let manifest = manifest.and_then(Path::parent).map(Path::to_path_buf);
    let above = |file: &PathBuf| Some(file.parent()?.parent()?.to_path_buf());
    let folders = std::iter::once(PathBuf::new())
        .chain(manifest)
        .chain(records.iter().filter_map(above));
    folders
        .map(|folder| folder.join(path))
        .find(|path| path.is_file())
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
            Manifest::read(&path).expect("it is right")
        });
        Merged::read(&files, manifest.as_ref()).expect("the records can be read")
    }

    fn states(merged: &Merged) -> Vec<(&str, State)> {
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
    fn the_last_record_of_an_id_holds() {
        assert_eq!(
            states(&merged(&[&format!("{FAILED_A}{DONE_A}")], None)),
            [("a", State::Done)]
        );
        assert_eq!(
            states(&merged(&[&format!("{DONE_A}{FAILED_A}")], None)),
            [("a", State::Failed)]
        );
        let both = merged(&[&format!("{FAILED_A}{FAILED_B}"), DONE_A], None);
        assert_eq!(states(&both), [("a", State::Done), ("b", State::Failed)]);
        assert_eq!(
            (both.records, both.counts().done, both.counts().failed),
            (3, 1, 1)
        );
    }

    /// A folder's files are given in the order of their names, which is not the order of the runs.
    #[test]
    fn the_clock_decides_between_files() {
        let at = |line: &str, seconds: f64| {
            line.replace("{\"v\":1", &format!("{{\"v\":1,\"ended\":{seconds}"))
        };
        assert_eq!(
            states(&merged(&[&at(DONE_A, 20.5), &at(FAILED_A, 10.25)], None)),
            [("a", State::Done)]
        );
        assert_eq!(
            states(&merged(&[&at(DONE_A, 10.0), &at(FAILED_A, 20.0)], None)),
            [("a", State::Failed)]
        );
        assert_eq!(
            states(&merged(&[&at(DONE_A, 10.0), &at(FAILED_A, 10.0)], None)),
            [("a", State::Failed)]
        );
    }

    #[test]
    fn half_a_line_is_left_out_and_said() {
        let torn = merged(&[&format!("{DONE_A}{}", &FAILED_B[..20])], None);
        assert_eq!(states(&torn), [("a", State::Done)]);
        assert_eq!(
            torn.torn.iter().map(|torn| torn.line).collect::<Vec<_>>(),
            [2]
        );
        let healed = merged(&[&format!("{}\n{DONE_A}", &FAILED_B[..20])], None);
        assert_eq!(
            (states(&healed), healed.torn.len()),
            (vec![("a", State::Done)], 1)
        );
        let lonely = merged(&[&FAILED_B[..20]], None);
        assert_eq!((lonely.items.len(), lonely.torn.len()), (0, 1));
    }

    #[test]
    fn a_manifest_knows_what_is_missing() {
        let manifest = "{\"id\":\"c\"}\n\n{\"id\":\"a\"}\n";
        let merged = merged(&[DONE_A, FAILED_B], Some(manifest));
        assert_eq!(states(&merged), [("c", State::Missing), ("a", State::Done)]);
        assert_eq!(merged.strangers, ["b"]);
        assert_eq!(
            merged
                .rest()
                .map(|item| item.id.as_str())
                .collect::<Vec<_>>(),
            ["c"]
        );
    }

    #[test]
    fn the_worst_comes_first() {
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
