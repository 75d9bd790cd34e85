//! The records of earlier runs in an output folder, and which items need to be edited because of them.
//!
//! An item is done if a record says so, the hash of everything that decides its pixels is unchanged, and its output has the recorded
//! hash. The mere existence of an output and its modification time count for nothing.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::sheets::ItemEnd;
use super::{Item, RECORDS, Resolver};
use crate::digest::sha256_of;
use crate::edit::Provenance;
use crate::error::{Error, ErrorKind, RecordedKind, Result};
use crate::report::LeftOut;

/// The fields of a record that are read.
#[derive(Debug, Deserialize)]
struct RecordLine {
    id: String,
    status: String,
    job: Option<String>,
    inputs: Option<String>,
    out_sha256: Option<String>,
    #[serde(default)]
    stripped: bool,
    #[serde(default)]
    unreported: bool,
    error: Option<RecordedError>,
    seconds: Option<HashMap<String, f64>>,
    together: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct RecordedError {
    kind: RecordedKind,
    #[serde(default)]
    message: String,
}

/// The job that a record describes.
#[derive(Debug)]
struct RecordedJob {
    /// Hash of everything that decides the pixels.
    hash: String,
    /// Hash of what the job was made from.
    inputs: Option<String>,
}

/// A success that a record describes.
#[derive(Debug)]
struct RecordedOutput {
    job: RecordedJob,
    /// Hash of the output.
    sha256: String,
    /// What it leaves out.
    left_out: LeftOut,
}

/// What the records say about one item.
#[derive(Debug, Default)]
struct ItemHistory {
    /// The latest success.
    done: Option<RecordedOutput>,
    /// The latest failure after that, with the kind of its error.
    failed: Option<(RecordedJob, RecordedKind)>,
    /// How it ended last.
    end: Option<ItemEnd>,
}

/// The records of earlier runs.
#[derive(Debug, Default)]
pub(crate) struct History {
    items: HashMap<String, ItemHistory>,
    /// Seconds of all items that are done.
    seconds: f64,
    /// Number of items that are done.
    timed: usize,
}

/// `--redo`: items that are edited again although nothing changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redo {
    /// All items.
    pub all: bool,
    /// Failed items.
    pub failed: bool,
    /// Items with these ids.
    pub ids: HashSet<String>,
}

impl Redo {
    /// Interprets words that are `all`, `failed` or ids.
    pub(crate) fn new(words: &[String]) -> Self {
        let has = |word: &str| words.iter().any(|given| given == word);
        let ids = words
            .iter()
            .filter(|word| !["all", "failed"].contains(&word.as_str()))
            .cloned()
            .collect();
        Self {
            all: has("all"),
            failed: has("failed"),
            ids,
        }
    }

    /// Checks that each id is that of an item.
    ///
    /// # Errors
    /// [`Error::Batch`] `batch.unknown_id`.
    pub(crate) fn check(&self, items: &[Item]) -> Result<()> {
        let is_unknown = |id: &&String| !items.iter().any(|item| item.id == **id);
        self.ids.iter().find(is_unknown).map_or(Ok(()), |id| {
            Err(Error::Batch {
                kind: ErrorKind::BatchUnknownId,
                reason: format!("--redo: no item has the id `{id}`"),
                hint: "ids are those of the manifest, or paths in the folder without extension; `--dry-run` lists them".into(),
            })
        })
    }
}

/// Whether an item needs to be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemState {
    /// It is done, and nothing changed.
    Done,
    /// It failed, and would fail again with the same error.
    Failed,
    /// It needs to be edited.
    Pending,
}

impl History {
    /// Reads all records in an output folder, also those of other shards. Lines that are not records are ignored.
    ///
    /// # Errors
    /// [`Error::File`] when a record file cannot be read.
    pub(crate) fn read(outputs: &Path) -> Result<Self> {
        let mut history = Self::default();
        let Ok(entries) = fs::read_dir(outputs.join(RECORDS)) else {
            return Ok(history);
        };
        let mut paths: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some("jsonl".as_ref()))
            .collect();
        paths.sort();
        for path in paths {
            let failed = |source| Error::File {
                path: path.clone(),
                source,
            };
            let mut reader = BufReader::new(File::open(&path).map_err(failed)?);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
                if let Ok(record) = serde_json::from_slice::<RecordLine>(&line) {
                    history.add(record);
                }
                line.clear();
            }
        }
        Ok(history)
    }

    fn add(&mut self, record: RecordLine) {
        let item = self.items.entry(record.id).or_default();
        let seconds: f64 = record
            .seconds
            .unwrap_or_default()
            .into_iter()
            .filter(|(stage, _)| stage != "load")
            .map(|(_, seconds)| seconds)
            .sum();
        item.end = match (record.status.as_str(), &record.error) {
            ("done", _) => Some(ItemEnd::Done(seconds)),
            ("failed", Some(error)) => Some(ItemEnd::Failed(error.message.clone())),
            _ => item.end.take(),
        };
        let Some(hash) = record.job else {
            // The item failed before its job was known, so the failure cannot be recognised again.
            item.failed = None;
            return;
        };
        let job = RecordedJob {
            hash,
            inputs: record.inputs,
        };
        match (record.status.as_str(), record.out_sha256, record.error) {
            ("done", Some(sha256), _) => {
                item.done = Some(RecordedOutput {
                    job,
                    sha256,
                    left_out: LeftOut {
                        stripped: record.stripped,
                        unreported: record.unreported,
                    },
                });
                item.failed = None;
                self.seconds += seconds / record.together.unwrap_or(1).max(1) as f64;
                self.timed += 1;
            }
            ("failed", _, Some(error)) => item.failed = Some((job, error.kind)),
            _ => {}
        }
    }

    /// Returns how an item ended last.
    pub(super) fn end(&self, item: &Item) -> Option<ItemEnd> {
        self.items.get(&item.id)?.end.clone()
    }

    /// Returns whether any record names this item. Without one it is pending.
    pub(crate) fn knows(&self, item: &Item) -> bool {
        self.items.contains_key(&item.id)
    }

    /// Returns whether a record says that an earlier run edited this item.
    pub(crate) fn is_done(&self, item: &Item) -> bool {
        let found = self.items.get(&item.id);
        found.is_some_and(|found| found.done.is_some())
    }

    /// Returns the mean number of seconds of the items that are done.
    pub(crate) fn seconds_per_item(&self) -> Option<f64> {
        (self.timed > 0 && self.seconds > 0.0).then(|| self.seconds / self.timed as f64)
    }

    /// Returns whether an earlier run wrote these bytes for this item. Such an output may be replaced.
    pub(crate) fn wrote(&self, item: &Item, sha256: &str) -> bool {
        let done = self.items.get(&item.id).and_then(|item| item.done.as_ref());
        done.is_some_and(|done| done.sha256 == sha256)
    }

    /// Returns whether an item needs to be edited. A recorded failure counts only if the job is the same and the cause was not its output.
    pub(crate) fn state(
        &self,
        item: &Item,
        redo: &Redo,
        resolver: &Resolver,
        provenance: Provenance,
    ) -> ItemState {
        let Some(recorded) = self.items.get(&item.id) else {
            return ItemState::Pending;
        };
        if redo.all || redo.ids.contains(&item.id) || item.fault.is_some() {
            return ItemState::Pending;
        }
        // Inputs that cannot be read now are reported when the item is edited.
        let is_same = |job: &RecordedJob| {
            resolver
                .is_job(item, &job.hash, job.inputs.as_deref(), provenance)
                .unwrap_or(false)
        };
        if recorded.done.as_ref().is_some_and(|done| {
            done.left_out == resolver.left_out
                && has_sha256(&item.out, &done.sha256)
                && is_same(&done.job)
        }) {
            return ItemState::Done;
        }
        let is_permanent = |kind: &RecordedKind| match kind {
            RecordedKind::Known(kind) => !kind.is_output() && *kind != ErrorKind::ItemGone,
            RecordedKind::Unknown(_) => true,
        };
        match &recorded.failed {
            Some((job, kind)) if is_permanent(kind) && !redo.failed && is_same(job) => {
                ItemState::Failed
            }
            _ => ItemState::Pending,
        }
    }
}

/// Returns whether `path` is a regular file with this hash. A link does not count, because results are never written through links.
fn has_sha256(path: &Path, sha256: &str) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    is_file
        && File::open(path)
            .and_then(|mut file| sha256_of(&mut file))
            .is_ok_and(|found| found == sha256)
}
