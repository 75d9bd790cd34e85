//! Contact sheets of `--methods`: for each picture, and each seed, the results of all methods beside the original.
//!
//! A sheet is drawn from files and records, so that a run that continues another draws the same sheet, and so does the last of several
//! shards on one file system. It is drawn when the last item of its group ends, and again when one of them is edited anew. It replaces no file but a
//! sheet. Nothing is kept in memory but a line for each item.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{History, Item};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::panics;
use crate::picture;
use crate::preview::MethodSheet;
use crate::report::{Record, Status};
use crate::warning::{Warning, WarningKind};

/// How an item ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ItemEnd {
    /// With a result, after so many seconds without loading the model.
    Done(f64),
    /// With this message.
    Failed(String),
}

/// The sheets of a list.
#[derive(Debug)]
pub(super) struct Sheets<'a> {
    /// The items of each sheet, in the order of the list.
    groups: HashMap<&'a Path, Vec<&'a Item>>,
    /// How items ended, by id.
    ends: HashMap<&'a str, ItemEnd>,
    /// Sheets that were drawn or could not be.
    tried: HashSet<&'a Path>,
    /// Sheets that could not be drawn or written.
    warnings: Vec<Warning>,
}

impl<'a> Sheets<'a> {
    /// Takes how items ended from earlier runs, except those of `pending`, which this run edits.
    pub(super) fn new(list: &'a [Item], history: &History, pending: &[&Item]) -> Self {
        let mut sheets = Self {
            groups: HashMap::new(),
            ends: HashMap::new(),
            tried: HashSet::new(),
            warnings: Vec::new(),
        };
        for item in list {
            if let Some(sheet) = &item.sheet {
                sheets.groups.entry(sheet).or_default().push(item);
            }
        }
        sheets.add(history);
        for item in pending {
            sheets.ends.remove(item.id.as_str());
        }
        sheets
    }

    fn add(&mut self, history: &History) {
        for item in self.groups.values().flatten() {
            if let Some(end) = history.end(item) {
                self.ends.insert(&item.id, end);
            }
        }
    }

    /// Notes how an item of this run ended, and draws its sheet when it was the last.
    pub(super) fn end(&mut self, item: &'a Item, record: &Record) {
        let Some(sheet) = &item.sheet else {
            return;
        };
        let end = match record.status {
            Status::Done => ItemEnd::Done(record.edit_seconds()),
            Status::Failed => {
                let failure = record.error.as_ref();
                ItemEnd::Failed(failure.map_or_else(String::new, |error| error.message.clone()))
            }
            Status::Interrupted => return,
        };
        self.ends.insert(&item.id, end);
        self.draw(sheet);
    }

    /// Draws every complete sheet that is missing, with what runs of other shards recorded meanwhile. Returns what could not be drawn.
    pub(super) fn finish(mut self, history: &History) -> Vec<Warning> {
        self.add(history);
        let mut missing: Vec<&Path> = self
            .groups
            .keys()
            .copied()
            .filter(|sheet| !self.tried.contains(sheet) && !sheet.exists())
            .collect();
        missing.sort_unstable();
        for sheet in missing {
            self.draw(sheet);
        }
        self.warnings
    }

    /// Draws a sheet if all its items have ended.
    fn draw(&mut self, sheet: &'a Path) {
        let items = self
            .groups
            .get(sheet)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let ends = items
            .iter()
            .map(|item| self.ends.get(item.id.as_str()).map(|end| (*item, end)));
        let Some(ends) = ends.collect::<Option<Vec<_>>>() else {
            return;
        };
        // Without a result there is nothing to compare.
        if !ends.iter().any(|(_, end)| matches!(end, ItemEnd::Done(_))) {
            return;
        }
        self.tried.insert(sheet);
        if let Err(error) = panics::catch(|| write(sheet, &ends)) {
            self.warnings.push(Warning {
                kind: WarningKind::BatchSheet,
                message: format!("no contact sheet `{}`: {error}", sheet.display()),
            });
        }
    }
}

/// Draws and writes a sheet.
fn write(path: &Path, ends: &[(&Item, &ItemEnd)]) -> Result<()> {
    let Some((first, _)) = ends.first() else {
        return Ok(());
    };
    let original = picture::read_any(&first.image)?.picture;
    let mut sheet = MethodSheet::new(&original);
    for (item, end) in ends {
        let method = item.choice.as_ref().and_then(|choice| choice.method);
        let method = method.unwrap_or_default().name();
        match end {
            ItemEnd::Done(seconds) => {
                let result = picture::read_any(&item.out)?.picture;
                if result.size() != original.size() {
                    return Err(Error::Image {
                        path: item.out.clone(),
                        kind: ErrorKind::ImageSize,
                        reason: format!(
                            "is {} pixels, but the picture is {}",
                            result.size(),
                            original.size()
                        ),
                        hint: String::new(),
                    });
                }
                sheet.add_result(method, *seconds, &result);
            }
            ItemEnd::Failed(complaint) => sheet.add_failure(method, complaint),
        }
    }
    let drawn = sheet.drawn();
    let png = drawn
        .png(Some(MethodSheet::NOTE))
        .map_err(|error| files::cannot_encode(path, &error))?;
    files::write_verified(path, &png, is_sheet(path), |written| {
        drawn.check_png(written)
    })
}

/// Returns whether a file is a sheet, which may be replaced.
fn is_sheet(path: &Path) -> bool {
    picture::read_note(path).is_ok_and(|note| note == MethodSheet::NOTE)
}

/// Returns the path of the sheet beside a result of this name, such as `cat.methods.png` beside `cat.png`.
pub(super) fn sheet_of(out: &Path) -> PathBuf {
    let mut name = out.file_stem().unwrap_or_default().to_owned();
    name.push(".methods.png");
    out.with_file_name(name)
}
