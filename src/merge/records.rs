//! Record files, line by line: a file may have a hundred thousand of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Torn;
use super::items::{Fault, Item, State};
use crate::error::{Error, ErrorKind, NOT_FOUND, RecordedKind, Result};

/// No record is longer.
const MAX_LINE: u64 = 4 << 20;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The newest of each id, in the order of their first records.
    pub(super) items: Vec<Item>,
    places: HashMap<String, usize>,
    pub(super) read: usize,
    pub(super) torn: Vec<Torn>,
}

impl Records {
    /// Reads one more file.
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
                "give the files of records, one line of JSON for each item",
            ));
        }
        let (mut reader, mut line, mut number) =
            (BufReader::with_capacity(1 << 16, file), Vec::new(), 0);
        let (before, mut whole_lines) = (self.read, 0);
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
            whole_lines += usize::from(line.ends_with(b"\n"));
            match serde_json::from_slice::<Line>(&line) {
                Ok(record) => self.add(record),
                Err(_) => self.torn.push(Torn {
                    file: path.to_path_buf(),
                    line: number,
                }),
            }
        }
        // One line that was cut off is all that a run may have left; others are something else.
        if self.read == before && whole_lines > 0 {
            let hint = "records are what `dragnext batch` leaves in its folder `records`, and what `dragnext edit --json` prints";
            return Err(refuse("holds no records".into(), hint));
        }
        Ok(())
    }

    fn add(&mut self, record: Line) {
        self.read += 1;
        let item = Item::from(record);
        if let Some(place) = self.places.get(&item.id) {
            let known = &mut self.items[*place];
            if item.replaces(known) {
                *known = item;
            }
        } else {
            self.places.insert(item.id.clone(), self.items.len());
            self.items.push(item);
        }
    }
}

/// What is looked at of a record.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    image: Option<Cow<'a, str>>,
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

impl From<Line<'_>> for Item {
    fn from(line: Line) -> Self {
        let state = match &*line.status {
            "done" => State::Done,
            "interrupted" => State::Interrupted,
            _ => State::Failed,
        };
        let fault = line.error.map(|Failure { kind, message }| Fault {
            kind,
            message: message.into_owned(),
        });
        let path = |path: Option<Cow<str>>| path.map(|path| PathBuf::from(path.into_owned()));
        let loss_left = line
            .loss
            .map(|Loss { first, last }| last / first)
            .filter(|left| left.is_finite());
        Self {
            id: line.id.into_owned(),
            state,
            fault,
            image: path(line.image),
            out: path(line.out),
            ended: line.ended,
            warnings: line.warnings.len(),
            loss_left,
        }
    }
}
