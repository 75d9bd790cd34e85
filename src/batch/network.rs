//! The network thread of a run: edits groups of items until the list ends or a limit is reached.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::group::{EditedGroup, GroupEditor};
use super::groups::Groups;
use super::handoff::{EditedItem, ReadItem};
use super::limits::StopReason;
use super::{Item, Limits};
use crate::device::ComputedOn;
use crate::edit::Provenance;
use crate::error::{Error, ErrorKind};
use crate::interrupt::Interrupt;
use crate::pipeline::AnyPipeline;
use crate::progress::Stage;
use crate::report::BatchProgress;

pub(super) struct NetworkStage<'a, 'i> {
    pub(super) from_reader: Receiver<ReadItem<'i>>,
    pub(super) to_writer: SyncSender<EditedItem<'i>>,
    pub(super) editor: &'a mut dyn AnyPipeline,
    pub(super) computed_on: ComputedOn<'a>,
    pub(super) provenance: Provenance<'a>,
    pub(super) group_size: usize,
    pub(super) limits: Limits,
    pub(super) progress: &'a BatchProgress,
    pub(super) interrupt: &'a Interrupt,
    /// Results that the writer could not write.
    pub(super) write_failures: &'a AtomicUsize,
}

impl<'i> NetworkStage<'_, 'i> {
    /// Edits the items that the reader sends, and sends them to the writer. Dropping both channels at the end stops the other threads.
    ///
    /// Returns why items of the list remain; `None` at the end of the list, after a signal, or when the writer stopped.
    pub(super) fn run(self, items: &[&'i Item]) -> Option<StopReason> {
        let mut groups = Groups::new(items, self.from_reader);
        let mut group_size = self.group_size;
        let mut edit_failures = 0;
        let mut is_first = true;
        let mut group_editor = GroupEditor {
            editor: self.editor,
            computed_on: self.computed_on,
            provenance: self.provenance,
            progress: self.progress,
            interrupt: self.interrupt,
        };
        loop {
            let failures = edit_failures + self.write_failures.load(Ordering::Relaxed);
            if let Some(reason) = self.limits.reached(failures) {
                // The run is complete if the last item was also the last of the list.
                return groups.has_next().then_some(reason);
            }
            if self.interrupt.has_come() {
                return None;
            }
            let group = groups.next(group_size, group_editor.editor.cache())?;
            if let Some(first) = group.first() {
                self.progress.begin(&first.item.id);
            }
            let EditedGroup {
                items,
                out_of_memory,
            } = group_editor.edit(group);
            if out_of_memory {
                group_size = (group_size / 2).max(1);
            }
            let mut device_lost = false;
            for mut edited in items {
                let seconds = &mut edited.record.seconds;
                if !is_first {
                    // The weights were loaded once, for the first item.
                    seconds.retain(|(stage, _)| *stage != Stage::Load);
                }
                is_first &= seconds.is_empty();
                if let Err(error) = &edited.edit {
                    device_lost |= error.kind() == ErrorKind::DeviceLost;
                    edit_failures += usize::from(!matches!(error, Error::Interrupted { .. }));
                }
                if self.to_writer.send(edited).is_err() {
                    return None; // the writer returns the error
                }
            }
            if device_lost {
                // Every further item would fail; a later run may succeed.
                return Some(StopReason::DeviceLost);
            }
        }
    }
}
