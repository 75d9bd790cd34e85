//! One run over a list, as three threads joined by bounded channels.
//!
//! While the network edits a group of items, the reader thread reads and plans the items after it and the writer thread encodes, writes and
//! records those before it. Each channel buffers fewer items than a group has, so memory does not grow with the list.
//!
//! An error or a panic in an item fails that item only. An error in the record file ends the run, because an item without a record would be
//! edited again.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::network::NetworkStage;
use super::reader::Reader;
use super::sheets::Sheets;
use super::tally::Tally;
use super::writer::Writer;
use super::{History, Item, Log, Options, Resolver};
use crate::device::ComputedOn;
use crate::edit::Provenance;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::pipeline::AnyPipeline;
use crate::report::BatchProgress;

/// What a run needs beside its items.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// Reads and plans items.
    pub(super) resolver: &'a Resolver,
    /// What computes, as records name it.
    pub(super) computed_on: ComputedOn<'a>,
    /// Weights and number format, which decide pixels.
    pub(super) provenance: Provenance<'a>,
    /// The records of earlier runs.
    pub(super) history: &'a History,
    /// How items are edited and recorded.
    pub(super) options: Options,
    /// Shows which item is edited and how items ended.
    pub(super) progress: &'a BatchProgress,
    /// Stops the run on a signal.
    pub(super) interrupt: &'a Interrupt,
}

impl Run<'_> {
    /// Edits the items in order and appends a record for each to `log`. Returns the counts, also when the run ended with an error.
    ///
    /// # Errors
    /// [`crate::Error::Output`] when a record cannot be written, or when the disk is full.
    ///
    /// # Panics
    /// When one of the threads panics, which is a bug.
    pub(super) fn execute<'i>(
        &self,
        items: &[&'i Item],
        editor: &mut dyn AnyPipeline,
        log: &mut Log,
        sheets: &mut Sheets<'i>,
    ) -> (Tally, Result<()>) {
        // The network thread counts edits that failed; the writer counts results that it could not write here.
        let write_failures = AtomicUsize::new(0);
        let reader = Reader {
            resolver: self.resolver,
            history: self.history,
            provenance: self.provenance,
            overwrite: self.options.overwrite,
        };
        let writer = Writer {
            log,
            sheets,
            has_report: !self.resolver.left_out.unreported,
            json: self.options.json,
            progress: self.progress,
            write_failures: &write_failures,
        };
        thread::scope(|scope| {
            // With one item at a time, nothing waits in a channel: each thread holds the next item itself.
            let (to_network, from_reader) = sync_channel(self.options.group_size - 1);
            let (to_writer, from_network) = sync_channel(self.options.group_size - 1);
            scope.spawn(move || reader.read_all(items, &to_network));
            let writer = scope.spawn(move || writer.write_all(from_network));
            let network = NetworkStage {
                from_reader,
                to_writer,
                editor,
                computed_on: self.computed_on,
                provenance: self.provenance,
                group_size: self.options.group_size,
                limits: self.options.limits,
                progress: self.progress,
                interrupt: self.interrupt,
                write_failures: &write_failures,
            };
            let stopped = network.run(items);
            let (mut tally, ended) = writer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            tally.stopped = stopped;
            (tally, ended)
        })
    }
}
