//! Edits a group of items, whose requests to the network are computed in shared calls.

use super::handoff::{EditResult, EditedItem, PreparedItem, ReadItem};
use crate::device::ComputedOn;
use crate::diffusion::Seeded;
use crate::edit::Provenance;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::panics;
use crate::pipeline::{AnyPipeline, EditRequest, Outcome};
use crate::progress::{Progress, Silent};
use crate::report::{BatchProgress, Record};
use crate::warning::{Warning, WarningKind};

pub(super) struct GroupEditor<'a> {
    pub(super) editor: &'a mut dyn AnyPipeline,
    pub(super) computed_on: ComputedOn<'a>,
    pub(super) provenance: Provenance<'a>,
    pub(super) progress: &'a BatchProgress,
    pub(super) interrupt: &'a Interrupt,
}

/// A group after its edits were computed.
pub(super) struct EditedGroup<'a> {
    pub(super) items: Vec<EditedItem<'a>>,
    /// Whether the device could not hold the group, so that items were edited one by one.
    pub(super) out_of_memory: bool,
}

/// What the network computed for one item.
struct Computed {
    outcome: Result<Outcome>,
    /// Number of edits computed in the same passes; 1 if computed alone.
    shared_by: usize,
    warning: Option<Warning>,
}

impl GroupEditor<'_> {
    /// Edits all items of a group. Items that could not be read keep their error, and items in which nothing moves need no network.
    pub(super) fn edit<'a>(&mut self, group: Vec<ReadItem<'a>>) -> EditedGroup<'a> {
        let group_size = group.len();
        let mut group: Vec<ReadItem> = group.into_iter().map(|read| self.begin(read)).collect();
        let moving = group
            .iter_mut()
            .filter_map(|read| needs_network(&mut read.prepared))
            .collect();
        let computed = self.compute(moving);
        let out_of_memory = computed.iter().any(|computed| computed.warning.is_some());
        let mut computed = computed.into_iter();
        let items = group
            .into_iter()
            .map(|read| {
                let ReadItem {
                    item,
                    mut record,
                    mut prepared,
                } = read;
                let computed = needs_network(&mut prepared).and_then(|_| computed.next());
                let edit = prepared.and_then(|prepared| finish(prepared, computed, &mut record));
                EditedItem {
                    item,
                    record,
                    edit,
                    group_size,
                }
            })
            .collect();
        EditedGroup {
            items,
            out_of_memory,
        }
    }

    /// Adds the plan to an item's record.
    fn begin<'a>(&self, read: ReadItem<'a>) -> ReadItem<'a> {
        let ReadItem {
            item,
            mut record,
            prepared,
        } = read;
        let prepared = prepared.and_then(|prepared| {
            panics::catch(|| {
                let edit = &prepared.prepared;
                record
                    .warnings
                    .extend(edit.original.warnings.iter().cloned());
                let Provenance {
                    model, additions, ..
                } = self.provenance;
                record.planned(&edit.plan, self.computed_on, model, additions);
                record.warnings.extend(edit.warnings());
                record.job = Some(prepared.identity.job.clone());
                failpoint::panic("panic_in_item");
                Ok(prepared)
            })
        });
        ReadItem {
            item,
            record,
            prepared,
        }
    }

    /// Runs the network for several items. If the device cannot hold them together, the items that failed are edited again one by one.
    fn compute(&mut self, mut moving: Vec<&mut PreparedItem>) -> Vec<Computed> {
        let count = moving.len();
        if count < 2 {
            return moving
                .into_iter()
                .map(|prepared| self.compute_one(prepared, None))
                .collect();
        }
        let mut noise: Vec<Seeded> = moving
            .iter()
            .map(|prepared| {
                let settings = &prepared.prepared.plan.settings;
                Seeded::of(&settings.diffusion, &settings.lora)
            })
            .collect();
        // The edits start together, so the stages of the first represent all.
        let mut first = self.progress.stages();
        let mut others = vec![Silent; count - 1];
        let progress = std::iter::once(&mut first as &mut dyn Progress)
            .chain(others.iter_mut().map(|silent| silent as &mut dyn Progress));
        let requests = moving
            .iter_mut()
            .zip(&mut noise)
            .zip(progress)
            .map(|((prepared, noise), progress)| EditRequest {
                work: prepared.prepared.work(),
                noise,
                progress,
            })
            .collect();
        let outcomes = self.editor.edit_many(requests, self.interrupt);
        outcomes
            .into_iter()
            .zip(moving)
            .map(|(outcome, prepared)| match outcome {
                Err(error)
                    if [ErrorKind::ComputeOutOfMemory, ErrorKind::DeviceRefused]
                        .contains(&error.kind()) =>
                {
                    self.compute_one(prepared, Some(one_by_one(count, &error)))
                }
                outcome => Computed {
                    outcome,
                    shared_by: count,
                    warning: None,
                },
            })
            .collect()
    }

    fn compute_one(&mut self, prepared: &mut PreparedItem, warning: Option<Warning>) -> Computed {
        let outcome = panics::catch(|| {
            prepared
                .prepared
                .compute(self.editor, &mut self.progress.stages(), self.interrupt)
        });
        Computed {
            outcome,
            shared_by: 1,
            warning,
        }
    }
}

/// Adds what the network computed to an item's record.
fn finish(prepared: PreparedItem, computed: Option<Computed>, record: &mut Record) -> EditResult {
    let Some(Computed {
        outcome,
        shared_by,
        warning,
    }) = computed
    else {
        return Ok((prepared, None));
    };
    record.group_size = (shared_by > 1).then_some(shared_by);
    record.warnings.extend(warning);
    let outcome = outcome?;
    record.computed(&outcome);
    Ok((prepared, Some(outcome)))
}

fn one_by_one(count: usize, error: &Error) -> Warning {
    let reason = error.to_string();
    let reason = reason.lines().next().unwrap_or_default();
    let message = format!(
        "the device cannot edit {count} items at a time, so this one was edited alone ({reason})"
    );
    Warning {
        kind: WarningKind::BatchOneByOne,
        message,
    }
}

/// Returns the item if it was read and a region of it moves.
fn needs_network(prepared: &mut Result<PreparedItem>) -> Option<&mut PreparedItem> {
    prepared
        .as_mut()
        .ok()
        .filter(|prepared| prepared.prepared.moves())
}
