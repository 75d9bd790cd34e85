//! Three threads for one batch: while the network is at one item, the next is read and decoded, and the one before is encoded, written and
//! recorded. No more items than the network is at wait on either side of it, so that few are in memory, however long the list is.
//!
//! What goes wrong with an item is that item's failure, a panic too; what goes wrong with the records ends the run, for without them
//! nothing would be known of what it does.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::group::{Made, Room, is_interrupt};
use super::limits::Reached;
use super::{History, Item, Limits, Log, Terms};
use crate::bug;
use crate::digest::sha256;
use crate::edit::{Identity, Prepared, Provenance};
use crate::error::{ErrorKind, Result};
use crate::failpoint;
use crate::files;
use crate::interrupt::Interrupt;
use crate::metrics;
use crate::picture::{self, Picture};
use crate::pipeline::{AnyPipeline, Outcome};
use crate::progress::{Items, Stage};
use crate::report::{self, Paths, Record, Status};

/// So many items in a row that find the disk full are the disk's matter, not theirs.
const FULL_IN_A_ROW: usize = 2;

/// Levels of 255 by which a sample may differ where nothing else tells that a picture is the result of a job.
const ROUNDING: f64 = 2.0;

/// How a batch is run.
#[derive(Debug)]
pub struct Run<'a> {
    /// What holds for all items.
    pub terms: &'a Terms,
    /// The device's name.
    pub device: &'a str,
    /// What earlier runs wrote.
    pub history: &'a History,
    /// Replace outputs that this program did not make.
    pub overwrite: bool,
    /// Write into each PNG how it was made.
    pub metadata: bool,
    /// Print each record to stdout.
    pub json: bool,
    /// How many items go through the network side by side.
    pub together: usize,
    /// When to stop before the end.
    pub limits: Limits,
    /// Where it is told what happens.
    pub shown: &'a Items,
    /// A stop that is asked for from outside.
    pub interrupt: &'a Interrupt,
}

/// How many items ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// With a picture.
    pub done: usize,
    /// With an error.
    pub failed: usize,
    /// Of these, because the disk is full.
    pub disk_full: usize,
    /// Begun, and to be done again.
    pub interrupted: usize,
    /// Why no further one was begun.
    pub stopped: Option<Reached>,
}

/// An item that was read.
struct Ready<'a> {
    item: &'a Item,
    record: Record,
    prepared: Result<PreparedItem>,
}

/// An edit with its name, and whether its result may take the place of what is there.
pub(super) struct PreparedItem {
    pub(super) prepared: Prepared,
    pub(super) identity: Identity,
    replaces: bool,
}

/// An item that the network is done with.
struct Computed<'a> {
    item: &'a Item,
    record: Record,
    made: Made,
    /// How many went through the network with it, if any.
    beside: usize,
}

impl Run<'_> {
    /// Does the items in their order, and records each of them.
    ///
    /// # Errors
    /// [`crate::Error::Output`] when a record cannot be written, or when the disk is full; together with what was done until then.
    ///
    /// # Panics
    /// When one of its threads does, which is a bug.
    pub fn all(
        &self,
        items: &[&Item],
        editor: &mut dyn AnyPipeline,
        means: Provenance,
        log: &mut Log,
    ) -> (Tally, Result<()>) {
        // Results that could not be written; other failures are known where the next item is begun.
        let unwritten = AtomicUsize::new(0);
        thread::scope(|scope| {
            // One at a time, nothing waits between two threads but what the one before holds in its hands.
            let (ready_to, ready) = sync_channel(self.together - 1);
            let (computed_to, computed) = sync_channel(self.together - 1);
            scope.spawn(move || self.read(items, means, &ready_to));
            let writer = scope.spawn(|| self.write(computed, log, &unwritten));
            let stopped = self.compute(items, ready, &computed_to, editor, means, &unwritten);
            drop(computed_to);
            let (mut tally, ended) = writer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            tally.stopped = stopped;
            (tally, ended)
        })
    }

    fn read<'a>(&self, items: &[&'a Item], means: Provenance, to: &SyncSender<Ready<'a>>) {
        for item in items {
            let drag = item
                .drag
                .clone()
                .or_else(|| self.terms.drag.as_ref().map(|(_, path)| path.clone()));
            let mut record = Record::new(Paths {
                image: item.image.clone(),
                drag,
                like: None,
                out: item.out.clone(),
            });
            record.id.clone_from(&item.id);
            let prepared = bug::caught(|| {
                let (prepared, inputs) = self.terms.prepare(item, means)?;
                record.inputs = Some(inputs);
                let identity = prepared.identity(means);
                let replaces = self.may_replace(item);
                // Before any work is done for it.
                if !replaces && self.metadata && !is_named(&item.out, &identity.job) {
                    return Err(files::exists_already(&item.out));
                }
                Ok(PreparedItem {
                    prepared,
                    identity,
                    replaces,
                })
            });
            if to
                .send(Ready {
                    item,
                    record,
                    prepared,
                })
                .is_err()
            {
                return; // no further item is begun
            }
        }
    }

    /// Is there nothing, or what an earlier run recorded? Anything else is not this program's to replace unless that is asked for: the same
    /// bytes stay, and others are refused.
    fn may_replace(&self, item: &Item) -> bool {
        self.overwrite
            || fs::symlink_metadata(&item.out).is_err()
            || fs::read(&item.out).is_ok_and(|bytes| self.history.made(item, &sha256(&bytes)))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "when no further item is begun, the one who reads is to know"
    )]
    fn compute<'a>(
        &self,
        items: &[&Item],
        ready: Receiver<Ready<'a>>,
        to: &SyncSender<Computed<'a>>,
        editor: &mut dyn AnyPipeline,
        means: Provenance,
        unwritten: &AtomicUsize,
    ) -> Option<Reached> {
        let (mut own_failures, mut together) = (0, self.together);
        let mut next = None;
        let mut is_first = true;
        let mut pictures: HashMap<&Path, usize> = HashMap::new();
        for item in items {
            *pictures.entry(&item.image).or_default() += 1;
        }
        loop {
            if let Some(reached) = self
                .limits
                .reached(own_failures + unwritten.load(Ordering::Relaxed))
            {
                // The last item may have been the last of all.
                return (next.is_some() || ready.recv().is_ok()).then_some(reached);
            }
            if self.interrupt.has_come() {
                return None;
            }
            let has_cache = editor.cache().is_some();
            let goes_alone = |ready: &Ready| {
                has_cache
                    && pictures
                        .get(ready.item.image.as_path())
                        .is_some_and(|count| *count > 1)
            };
            let mut group: Vec<Ready> = Vec::from_iter(next.take().or_else(|| ready.recv().ok()));
            let first = group.first()?;
            let alone = goes_alone(first);
            if let Some(cache) = editor.cache() {
                // A long list of pictures would push everything out of the cache, for nobody.
                cache.set_writable(alone);
            }
            self.shown.begin(&first.item.id);
            // What the list has several times goes one by one, because the later ones begin where the first one leaves the cache.
            while !alone && group.len() < together && next.is_none() {
                match ready.recv() {
                    Ok(more) if goes_alone(&more) => next = Some(more),
                    Ok(more) => group.push(more),
                    Err(_) => break,
                }
            }
            let (items, work): (Vec<_>, Vec<_>) = group
                .into_iter()
                .map(|ready| (ready.item, (ready.record, ready.prepared)))
                .unzip();
            let beside = items.len();
            let mut is_lost = false;
            let (made, room) = self.compute_all(work, editor, means);
            if room == Room::Short {
                together = (together / 2).max(1);
            }
            for (item, (mut record, made)) in items.into_iter().zip(made) {
                if !is_first {
                    // The weights were loaded for the first.
                    record.seconds.retain(|(stage, _)| *stage != Stage::Load);
                }
                is_first &= record.seconds.is_empty();
                is_lost |= matches!(&made, Err(error) if error.kind() == ErrorKind::DeviceLost);
                own_failures += usize::from(matches!(&made, Err(error) if !is_interrupt(error)));
                if to
                    .send(Computed {
                        item,
                        record,
                        made,
                        beside,
                    })
                    .is_err()
                {
                    return None; // the writer says why
                }
            }
            if is_lost {
                // Every further item would fail like this one; another run may find the device well.
                return Some(Reached::Device);
            }
        }
    }

    fn write(
        &self,
        computed: Receiver<Computed>,
        log: &mut Log,
        unwritten: &AtomicUsize,
    ) -> (Tally, Result<()>) {
        let mut tally = Tally::default();
        let mut full_in_a_row = 0;
        for Computed {
            item,
            mut record,
            made,
            beside,
        } in computed
        {
            let was_made = made.is_ok();
            let written = made.and_then(|(ours, outcome)| {
                bug::caught(|| self.write_one(item, &ours, outcome.as_ref()))
            });
            record.peak_bytes = record.peak_bytes.or_else(report::peak_bytes);
            match &written {
                Ok(hash) => record.done(hash.clone()),
                Err(error) => record.fail(error),
            }
            // Not told to be done before it is known to be: without its record it would be done again.
            if let Err(error) = log.append(&record) {
                return (tally, Err(error));
            }
            match record.status {
                Status::Done => tally.done += 1,
                Status::Failed => tally.failed += 1,
                Status::Interrupted => tally.interrupted += 1,
            }
            unwritten.fetch_add(usize::from(was_made && written.is_err()), Ordering::Relaxed);
            self.shown.end(&record, beside);
            if self.json {
                // The records on the disk say the same.
                let _ = report::print_json(&record);
            }
            if let Err(error) = written
                && error.kind() == ErrorKind::OutputDiskFull
            {
                tally.disk_full += 1;
                full_in_a_row += 1;
                if full_in_a_row == FULL_IN_A_ROW {
                    return (tally, Err(error));
                }
            } else {
                full_in_a_row = 0;
            }
        }
        (tally, Ok(()))
    }

    /// Writes the result; returns the hash of its file.
    fn write_one(
        &self,
        item: &Item,
        PreparedItem {
            prepared,
            identity,
            replaces,
        }: &PreparedItem,
        outcome: Option<&Outcome>,
    ) -> Result<String> {
        failpoint::panic("panic_in_writer");
        let edited = prepared.composite(outcome);
        let png = edited
            .png(self.metadata.then_some(identity.note.as_str()))
            .map_err(|error| files::cannot_encode(&item.out, &error))?;
        failpoint::kill("kill_before_picture");
        // The same picture is the same result: a run wrote it that did not come to record it.
        let job = self.metadata.then_some(identity.job.as_str());
        if !*replaces && let Some(hash) = written_before(&item.out, &edited, job) {
            return Ok(hash);
        }
        if *replaces || !holds(&item.out, &png) {
            files::write_verified(&item.out, &png, *replaces, |written| {
                edited.check_png(written)
            })?;
        }
        failpoint::kill("kill_after_picture");
        Ok(sha256(&png))
    }
}

/// Does the picture at `path` say that it is the result of this job?
fn is_named(path: &Path, job: &str) -> bool {
    report::Made::read(path).is_ok_and(|made| made.by.job == job)
}

/// The hash of the file at `path`, when it is the result that was computed again as `edited`. It says so itself; without a job that it
/// could name, it has the same pixels but for rounding. What is computed side by side rounds in another way than alone, and an edit
/// amplifies that.
fn written_before(path: &Path, edited: &Picture, job: Option<&str>) -> Option<String> {
    let is_file = fs::symlink_metadata(path).is_ok_and(|there| there.is_file());
    let there = if is_file {
        picture::read_any(path).ok()?
    } else {
        return None;
    };
    let is_equal = || metrics::compare(edited, &there.picture, None).all.max <= ROUNDING;
    let is_result = there.picture.size() == edited.size()
        && job.map_or_else(is_equal, |job| is_named(path, job));
    is_result.then_some(there.sha256)
}

fn holds(path: &Path, bytes: &[u8]) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|there| there.is_file() && there.len() == bytes.len() as u64)
        && fs::read(path).is_ok_and(|there| there == bytes)
}
