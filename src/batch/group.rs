//! Items that go through the network side by side.

use super::run::{Ours, Run};
use crate::bug;
use crate::diffusion::Seeded;
use crate::edit::Means;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::pipeline::{Asked, Edits, Outcome};
use crate::progress::{Progress, Silent};
use crate::report::Record;

/// What became of an item: without an outcome, nothing moves in it.
pub(super) type Made = Result<(Ours, Option<Outcome>)>;

impl Run<'_> {
    /// Asks the network for all of them; each is given back with what it was asked for and what came of it.
    pub(super) fn compute_all(&self, group: Vec<(Record, Result<Ours>)>, editor: &mut dyn Edits, means: Means) -> Vec<(Record, Made)> {
        let begun = group.into_iter().map(|(mut record, ours)| {
            let ours = ours.and_then(|ours| {
                bug::caught(|| {
                    self.begin(&ours, &mut record, means);
                    Ok(ours)
                })
            });
            (record, ours)
        });
        let mut begun: Vec<(Record, Result<Ours>)> = begun.collect();
        let mut outcomes = self.outcomes(begun.iter_mut().filter_map(|(_, ours)| moving(ours)).collect(), editor).into_iter();
        let made = begun.into_iter().map(|(mut record, mut ours)| {
            let outcome = if moving(&mut ours).is_some() { outcomes.next() } else { None };
            let made = ours.and_then(|ours| Ok((ours, outcome.transpose()?)));
            if let Ok((_, Some(outcome))) = &made {
                record.computed(outcome);
            }
            (record, made)
        });
        made.collect()
    }

    fn begin(&self, ours: &Ours, record: &mut Record, means: Means) {
        let prepared = &ours.prepared;
        record.warnings.extend(prepared.original.warnings.iter().cloned());
        record.planned(&prepared.plan, [self.device, means.numerics[1]], means.model);
        record.job = Some(ours.identity.job.clone());
        failpoint::panic("panic_in_item");
    }

    /// What the network makes of each.
    fn outcomes(&self, mut moving: Vec<&mut Ours>, editor: &mut dyn Edits) -> Vec<Result<Outcome>> {
        if moving.len() < 2 {
            return moving.into_iter().map(|ours| self.outcome(ours, editor)).collect();
        }
        let mut noise: Vec<Seeded> = moving.iter().map(|ours| Seeded::of(&ours.prepared.plan.settings)).collect();
        // They go in step, so the first one's stages are those of all.
        let mut first = self.shown.stages();
        let mut others = vec![Silent; moving.len() - 1];
        let progress = std::iter::once(&mut first as &mut dyn Progress).chain(others.iter_mut().map(|silent| silent as &mut dyn Progress));
        let edits = moving.iter_mut().zip(&mut noise).zip(progress);
        let edits = edits.map(|((ours, noise), progress)| Asked { work: ours.prepared.work(), noise, progress }).collect();
        let Ok(mut outcomes) = bug::caught(|| Ok(editor.edit_together(edits, self.interrupt))) else {
            return moving.into_iter().map(|ours| self.outcome(ours, editor)).collect();
        };
        for (outcome, ours) in outcomes.iter_mut().zip(moving) {
            // For all of them there is no room: then for one after the other.
            if matches!(outcome, Err(error) if error.kind() == "compute.out_of_memory") {
                *outcome = self.outcome(ours, editor);
            }
        }
        outcomes
    }

    fn outcome(&self, ours: &mut Ours, editor: &mut dyn Edits) -> Result<Outcome> {
        bug::caught(|| ours.prepared.compute(editor, &mut self.shown.stages(), self.interrupt))
    }
}

fn moving(ours: &mut Result<Ours>) -> Option<&mut Ours> {
    ours.as_mut().ok().filter(|ours| ours.prepared.moves())
}

/// Did a signal end it?
pub(super) fn is_interrupt(error: &Error) -> bool {
    matches!(error, Error::Interrupted { .. })
}
