//! What earlier runs wrote in the output folder, and what is left to do because of it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::list::Item;
use super::{RECORDS, Terms};
use crate::digest::sha256_of;
use crate::edit::Provenance;
use crate::error::{Error, ErrorKind, RecordedKind, Result};

/// What a record is asked for.
#[derive(Debug, Deserialize)]
struct Seen {
    id: String,
    status: String,
    job: Option<String>,
    inputs: Option<String>,
    out_sha256: Option<String>,
    error: Option<SeenFailure>,
    seconds: Option<HashMap<String, f64>>,
    together: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct SeenFailure {
    kind: RecordedKind,
}

/// What an item was, when it ended.
#[derive(Debug)]
struct Was {
    job: String,
    /// What the job was made from.
    inputs: Option<String>,
}

/// What is known of an item.
#[derive(Debug, Default)]
struct Past {
    /// With the hash of the output.
    done: Option<(Was, String)>,
    /// After it was last done, with the kind of the error.
    failed: Option<(Was, RecordedKind)>,
}

/// What earlier runs wrote.
#[derive(Debug, Default)]
pub struct History {
    items: HashMap<String, Past>,
    /// Seconds that items which are done took, and their number.
    taken: (f64, usize),
}

/// `--redo`: what is done again although nothing changed.
#[derive(Debug, Clone, Default)]
pub struct Redo {
    /// Everything.
    pub all: bool,
    /// What failed.
    pub failed: bool,
    /// Items of these names.
    pub ids: HashSet<String>,
}

impl Redo {
    /// `all`, `failed`, or names.
    pub fn new(words: &[String]) -> Self {
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
}

/// Where an item stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Done, and nothing of it changed.
    Done,
    /// Failed, and would fail again in the same way.
    Failed,
    /// To be done.
    Open,
}

impl History {
    /// Reads all records of an output folder, those of other shards too. What is no record is not counted.
    ///
    /// # Errors
    /// [`Error::File`] when there are records that cannot be read.
    pub fn read(outputs: &Path) -> Result<Self> {
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
                if let Ok(seen) = serde_json::from_slice::<Seen>(&line) {
                    history.add(seen);
                }
                line.clear();
            }
        }
        Ok(history)
    }

    fn add(&mut self, seen: Seen) {
        let past = self.items.entry(seen.id).or_default();
        let Some(job) = seen.job else {
            // It did not come so far that it could be known again.
            past.failed = None;
            return;
        };
        let was = Was {
            job,
            inputs: seen.inputs,
        };
        match (seen.status.as_str(), seen.out_sha256, seen.error) {
            ("done", Some(out), _) => {
                *past = Past {
                    done: Some((was, out)),
                    failed: None,
                };
                let load_apart = seen
                    .seconds
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|(stage, _)| stage != "load");
                self.taken.0 += load_apart.map(|(_, seconds)| seconds).sum::<f64>()
                    / seen.together.unwrap_or(1).max(1) as f64;
                self.taken.1 += 1;
            }
            ("failed", _, Some(failure)) => past.failed = Some((was, failure.kind)),
            _ => {}
        }
    }

    /// Is there anything about an item that could make it need no work?
    pub fn knows(&self, item: &Item) -> bool {
        self.items.contains_key(&item.id)
    }

    /// Seconds that an item takes, after what others took.
    pub fn pace(&self) -> Option<f64> {
        (self.taken.1 > 0 && self.taken.0 > 0.0).then(|| self.taken.0 / self.taken.1 as f64)
    }

    /// Was this item done with these bytes, whatever decided them then? Such an output is this program's to replace.
    pub fn made(&self, item: &Item, sha256: &str) -> bool {
        let past = self.items.get(&item.id).and_then(|past| past.done.as_ref());
        past.is_some_and(|(_, out)| out == sha256)
    }

    /// Where an item stands. A failure is kept where the same would fail again: with the same job, and not because of where it was to be written.
    pub fn state(&self, item: &Item, redo: &Redo, terms: &Terms, means: Provenance) -> State {
        let Some(past) = self.items.get(&item.id) else {
            return State::Open;
        };
        if redo.all || redo.ids.contains(&item.id) || item.fault.is_some() {
            return State::Open;
        }
        // What cannot be read now is for the item itself to say.
        let is_same = |was: &Was| {
            terms
                .is_job(item, &was.job, was.inputs.as_deref(), means)
                .unwrap_or(false)
        };
        if past
            .done
            .as_ref()
            .is_some_and(|(was, out)| output_is(&item.out, out) && is_same(was))
        {
            return State::Done;
        }
        let lasts = |kind: &RecordedKind| match kind {
            RecordedKind::Known(kind) => !kind.is_output() && *kind != ErrorKind::ItemGone,
            RecordedKind::Unknown(_) => true,
        };
        match &past.failed {
            Some((was, kind)) if lasts(kind) && !redo.failed && is_same(was) => State::Failed,
            _ => State::Open,
        }
    }
}

/// Does the file at `path` have these bytes? A link is no output of ours.
fn output_is(path: &Path, sha256: &str) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|there| there.is_file());
    is_file
        && File::open(path)
            .and_then(|mut file| sha256_of(&mut file))
            .is_ok_and(|found| found == sha256)
}
