//! Reads record files line by line, and keeps the newest record of each item.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TruncatedLine;
use super::item::{MergedItem, MergedState, RecordedError};
use crate::error::{Error, ErrorKind, NOT_FOUND, RecordedKind, Result};

/// A longer line is split and rejected.
const MAX_LINE: u64 = 4 << 20;

/// The records that were read so far.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The newest record of each id, in the order of their first records.
    pub(super) items: Vec<MergedItem>,
    /// Index of each id in `items`.
    indices: HashMap<String, usize>,
    /// Number of records.
    pub(super) count: usize,
    pub(super) truncated: Vec<TruncatedLine>,
}

impl Records {
    /// Reads a file.
    pub(super) fn read(&mut self, path: &Path) -> Result<()> {
        let refuse = |reason: String, hint: &str| Error::Given {
            path: path.to_path_buf(),
            kind: ErrorKind::RecordsUnreadable,
            reason,
            hint: hint.into(),
        };
        let failed = |error: std::io::Error| {
            let hint = if error.kind() == std::io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                ""
            };
            refuse(error.to_string(), hint)
        };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(refuse(
                "is not a file".into(),
                "give record files, with one JSON object per line",
            ));
        }
        let (mut reader, mut line, mut number) =
            (BufReader::with_capacity(1 << 16, file), Vec::new(), 0);
        let (before, mut complete_lines) = (self.count, 0);
        loop {
            line.clear();
            if reader
                .by_ref()
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)
                .map_err(failed)?
                == 0
            {
                break;
            }
            number += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            complete_lines += usize::from(line.ends_with(b"\n"));
            match serde_json::from_slice::<Line>(&line) {
                Ok(record) => self.add(record),
                Err(_) => self.truncated.push(TruncatedLine {
                    file: path.to_path_buf(),
                    line: number,
                }),
            }
        }
        // A killed run can leave a single truncated line. A file of complete lines without any record is not a record file.
        if self.count == before && complete_lines > 0 {
            let hint = "`dragnext batch` writes records to the folder `records` of its output folder, and `dragnext edit --json` prints one";
            return Err(refuse("contains no records".into(), hint));
        }
        Ok(())
    }

    fn add(&mut self, record: Line) {
        self.count += 1;
        let item = MergedItem::from(record);
        if let Some(index) = self.indices.get(&item.id) {
            let known = &mut self.items[*index];
            if item.replaces(known) {
                *known = item;
            }
        } else {
            self.indices.insert(item.id.clone(), self.items.len());
            self.items.push(item);
        }
    }
}

/// The fields of a record that are read.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image: Option<Cow<'a, str>>,
    #[serde(borrow)]
    drag: Option<Cow<'a, str>>,
    #[serde(borrow)]
    out: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
    loss: Option<Loss>,
    ended: Option<f64>,
    #[serde(default)]
    warnings: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    kind: RecordedKind,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Loss {
    first: f64,
    last: f64,
}

impl From<Line<'_>> for MergedItem {
    fn from(line: Line) -> Self {
        let state = match &*line.status {
            "done" => MergedState::Done,
            "interrupted" => MergedState::Interrupted,
            _ => MergedState::Failed,
        };
        let error = line.error.map(|Failure { kind, message }| RecordedError {
            kind,
            message: message.into_owned(),
        });
        let path = |path: Option<Cow<str>>| path.map(|path| PathBuf::from(path.into_owned()));
        let loss_ratio = line
            .loss
            .map(|Loss { first, last }| last / first)
            .filter(|left| left.is_finite());
        Self {
            id: line.id.into_owned(),
            state,
            method: line.method.map(Cow::into_owned),
            error,
            image: path(line.image),
            drag: path(line.drag),
            out: path(line.out),
            ended: line.ended,
            warnings: line.warnings.len(),
            loss_ratio,
        }
    }
}
