//! Items that go through the network side by side.

use super::run::{PreparedItem, Run};
use crate::bug;
use crate::diffusion::Seeded;
use crate::edit::Provenance;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::pipeline::{AnyPipeline, EditRequest, Outcome};
use crate::progress::{Progress, Silent};
use crate::report::Record;
use crate::warning::{Warning, WarningKind};

/// What became of an item: without an outcome, nothing moves in it.
pub(super) type Made = Result<(PreparedItem, Option<Outcome>)>;

/// Was there memory for so many at a time?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    Short,
}

/// What the network made of an item, and how many went side by side.
struct Computed {
    outcome: Result<Outcome>,
    together: usize,
    warning: Option<Warning>,
}

impl Run<'_> {
    /// Asks the network for all of them; each is given back with its record and what came of it.
    pub(super) fn compute_all(
        &self,
        group: Vec<(Record, Result<PreparedItem>)>,
        editor: &mut dyn AnyPipeline,
        means: Provenance,
    ) -> (Vec<(Record, Made)>, Room) {
        let begun = group.into_iter().map(|(mut record, ours)| {
            let ours = ours.and_then(|ours| {
                bug::caught(|| {
                    self.begin(&ours, &mut record, means);
                    Ok(ours)
                })
            });
            (record, ours)
        });
        let mut begun: Vec<(Record, Result<PreparedItem>)> = begun.collect();
        let computed = self.outcomes(
            begun
                .iter_mut()
                .filter_map(|(_, ours)| moving(ours))
                .collect(),
            editor,
        );
        let room = if computed.iter().any(|computed| computed.warning.is_some()) {
            Room::Short
        } else {
            Room::Enough
        };
        let mut computed = computed.into_iter();
        let made = begun.into_iter().map(|(mut record, mut ours)| {
            let computed = if moving(&mut ours).is_some() {
                computed.next()
            } else {
                None
            };
            let made = ours.and_then(|ours| {
                let Some(Computed {
                    outcome,
                    together,
                    warning,
                }) = computed
                else {
                    return Ok((ours, None));
                };
                record.together = (together > 1).then_some(together);
                record.warnings.extend(warning);
                let outcome = outcome?;
                record.computed(&outcome);
                Ok((ours, Some(outcome)))
            });
            (record, made)
        });
        (made.collect(), room)
    }

    fn begin(&self, ours: &PreparedItem, record: &mut Record, means: Provenance) {
        let prepared = &ours.prepared;
        record
            .warnings
            .extend(prepared.original.warnings.iter().cloned());
        record.planned(
            &prepared.plan,
            [self.device, means.numerics[1]],
            means.model,
        );
        record.job = Some(ours.identity.job.clone());
        failpoint::panic("panic_in_item");
    }

    /// What the network makes of each.
    fn outcomes(
        &self,
        mut moving: Vec<&mut PreparedItem>,
        editor: &mut dyn AnyPipeline,
    ) -> Vec<Computed> {
        let together = moving.len();
        if together < 2 {
            return moving
                .into_iter()
                .map(|ours| self.alone(ours, editor, None))
                .collect();
        }
        let mut noise: Vec<Seeded> = moving
            .iter()
            .map(|ours| {
                Seeded::of(
                    &ours.prepared.plan.settings.diffusion,
                    &ours.prepared.plan.settings.lora,
                )
            })
            .collect();
        // They begin in step, so the first one's stages say where about all of them are.
        let mut first = self.shown.stages();
        let mut others = vec![Silent; together - 1];
        let progress = std::iter::once(&mut first as &mut dyn Progress)
            .chain(others.iter_mut().map(|silent| silent as &mut dyn Progress));
        let edits = moving.iter_mut().zip(&mut noise).zip(progress);
        let edits = edits
            .map(|((ours, noise), progress)| EditRequest {
                work: ours.prepared.work(),
                noise,
                progress,
            })
            .collect();
        let outcomes = editor.edit_many(edits, self.interrupt);
        let computed = outcomes
            .into_iter()
            .zip(moving)
            .map(|(outcome, ours)| match outcome {
                // What is too much for the device together may not be for each.
                Err(error)
                    if [ErrorKind::ComputeOutOfMemory, ErrorKind::DeviceRefused]
                        .contains(&error.kind()) =>
                {
                    self.alone(ours, editor, Some(one_by_one(together, &error)))
                }
                outcome => Computed {
                    outcome,
                    together,
                    warning: None,
                },
            });
        computed.collect()
    }

    fn alone(
        &self,
        ours: &mut PreparedItem,
        editor: &mut dyn AnyPipeline,
        warning: Option<Warning>,
    ) -> Computed {
        let outcome = bug::caught(|| {
            ours.prepared
                .compute(editor, &mut self.shown.stages(), self.interrupt)
        });
        Computed {
            outcome,
            together: 1,
            warning,
        }
    }
}

fn one_by_one(together: usize, error: &Error) -> Warning {
    let reason = error.to_string();
    let reason = reason.lines().next().unwrap_or_default();
    let message = format!(
        "{together} at a time are too many for the device, so it was done alone ({reason})"
    );
    Warning {
        kind: WarningKind::BatchOneByOne,
        message,
    }
}

fn moving(ours: &mut Result<PreparedItem>) -> Option<&mut PreparedItem> {
    ours.as_mut().ok().filter(|ours| ours.prepared.moves())
}

/// Did a signal end it?
pub(super) fn is_interrupt(error: &Error) -> bool {
    matches!(error, Error::Interrupted { .. })
}
