//! The writer thread of a run: encodes and writes results, and appends a record for each item.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use super::existing::{existing_result, has_bytes, is_file};
use super::handoff::{EditedItem, PreparedItem};
use super::sheets::Sheets;
use super::tally::Tally;
use super::{Item, Log};
use crate::digest::sha256;
use crate::error::{ErrorKind, Result};
use crate::failpoint;
use crate::files;
use crate::panics;
use crate::pipeline::Outcome;
use crate::report::{self, BatchProgress, Status};

/// Number of consecutive items failing on a full disk after which the run ends.
const MAX_DISK_FULL_IN_A_ROW: usize = 2;

pub(super) struct Writer<'a, 'i> {
    pub(super) log: &'a mut Log,
    pub(super) sheets: &'a mut Sheets<'i>,
    /// Whether results say how they were made.
    pub(super) has_report: bool,
    pub(super) json: bool,
    pub(super) progress: &'a BatchProgress,
    /// Counts the results that could not be written.
    pub(super) write_failures: &'a AtomicUsize,
}

impl<'i> Writer<'_, 'i> {
    /// Writes and records items until the network thread hangs up, the log fails, or the disk stays full.
    pub(super) fn write_all(self, from_network: Receiver<EditedItem<'i>>) -> (Tally, Result<()>) {
        let mut tally = Tally::default();
        let mut full_in_a_row = 0;
        for EditedItem {
            item,
            mut record,
            edit,
            group_size,
        } in from_network
        {
            let was_edited = edit.is_ok();
            let written = edit.and_then(|(prepared, outcome)| {
                panics::catch(|| self.write(item, &prepared, outcome.as_ref()))
            });
            record.peak_bytes = record.peak_bytes.or_else(report::peak_bytes);
            match &written {
                Ok(written) => {
                    record.done(written.sha256.clone(), written.kept.clone());
                    tally.replaced += usize::from(written.has_replaced);
                }
                Err(error) => record.fail(error),
            }
            // The log comes first: an item that was reported as done but has no record would be edited again.
            if let Err(error) = self.log.append(&record) {
                return (tally, Err(error));
            }
            match record.status {
                Status::Done => tally.done += 1,
                Status::Failed => tally.failed += 1,
                Status::Interrupted => tally.interrupted += 1,
            }
            self.write_failures.fetch_add(
                usize::from(was_edited && written.is_err()),
                Ordering::Relaxed,
            );
            self.sheets.end(item, &record);
            self.progress.end(&record, group_size);
            if self.json {
                // A closed stdout loses nothing: the log has the same record.
                let _ = report::print_json(&record);
            }
            if let Err(error) = written
                && error.kind() == ErrorKind::OutputDiskFull
            {
                tally.disk_full += 1;
                full_in_a_row += 1;
                if full_in_a_row == MAX_DISK_FULL_IN_A_ROW {
                    return (tally, Err(error));
                }
            } else {
                full_in_a_row = 0;
            }
        }
        (tally, Ok(()))
    }

    /// Writes the result of one item.
    fn write(
        &self,
        item: &Item,
        PreparedItem {
            prepared,
            identity,
            may_replace,
        }: &PreparedItem,
        outcome: Option<&Outcome>,
    ) -> Result<WrittenResult> {
        failpoint::panic("panic_in_writer");
        let edited = prepared.composite(outcome);
        let png = edited
            .png(self.has_report.then_some(identity.note.as_str()))
            .map_err(|error| files::cannot_encode(&item.out, &error))?;
        failpoint::kill("kill_before_picture");
        // A killed run may have written the same result without recording it.
        let job = self.has_report.then_some(identity.job.as_str());
        if !*may_replace && let Some(hash) = existing_result(&item.out, &edited, job) {
            return Ok(WrittenResult {
                sha256: hash,
                kept: edited.kept(),
                has_replaced: false,
            });
        }
        let is_there = has_bytes(&item.out, &png);
        let has_replaced = *may_replace && !is_there && is_file(&item.out);
        if *may_replace || !is_there {
            files::write_verified(&item.out, &png, *may_replace, |written| {
                edited.check_png(written)
            })?;
        }
        failpoint::kill("kill_after_picture");
        Ok(WrittenResult {
            sha256: sha256(&png),
            kept: edited.kept(),
            has_replaced,
        })
    }
}

/// A result that is at its path.
struct WrittenResult {
    sha256: String,
    /// What it keeps of the picture's file.
    kept: Vec<&'static str>,
    /// Whether another file was there before.
    has_replaced: bool,
}
