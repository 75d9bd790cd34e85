//! One batch: finds the pending items, loads the weights if there are any, and edits them.

use std::path::Path;

use rayon::prelude::*;

use super::existing::is_file;
use super::result::batch_result;
use super::run::Run;
use super::sheets::Sheets;
use super::tally::Tally;
use super::weights::{cache_hash, cached_hash};
use super::{History, Item, ItemState, Log, Options, Redo, Resolver};
use crate::device::ComputedOn;
use crate::edit::Provenance;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::model::{AdditionNotes, Model};
use crate::pipeline::AnyPipeline;
use crate::report::{self, BatchProgress, Summary};
use crate::warning::Warning;

/// Everything that is known of a batch before its weights are loaded.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// Reads and plans items.
    pub resolver: Resolver,
    /// All items, also those of other shards.
    pub list: &'a [Item],
    /// The records of earlier runs.
    pub history: History,
    /// Items that are edited again although nothing changed.
    pub redo: Redo,
    /// The output folder.
    pub outputs: &'a Path,
    /// The model's name.
    pub model: String,
    /// What was added to the model.
    pub additions: AdditionNotes,
    /// Hash of the CLIP; empty where no item's method needs one.
    pub clip: String,
    /// What computes, as records name it.
    pub computed_on: ComputedOn<'a>,
    /// Kind of device and number format.
    pub numerics: [&'a str; 2],
    /// How items are edited and recorded.
    pub options: Options,
    /// Show no progress.
    pub quiet: bool,
}

impl Batch<'_> {
    /// Edits the pending items and appends their records to `log`. Returns the counts, and the result of the batch as a whole.
    ///
    /// `load` loads the weights. It is called only if an item is pending, or if the hash of the weights is needed and not cached.
    ///
    /// # Errors
    /// The errors of `load`. All later errors are the inner result: [`crate::Error::Batch`] unless all items are done,
    /// [`crate::Error::Output`] when records cannot be written.
    pub(crate) fn run<'i>(
        &'i self,
        items: Vec<&'i Item>,
        model: Model,
        load: impl FnOnce(Model) -> Result<Box<dyn AnyPipeline>>,
        log: &mut Log,
        interrupt: &Interrupt,
    ) -> Result<(Summary, Result<()>)> {
        let mut summary = Summary {
            items: items.len(),
            ..Summary::default()
        };
        let (tally, ended) = self.run_pending(items, model, load, log, &mut summary, interrupt)?;
        summary.done = tally.done;
        summary.replaced = tally.replaced;
        summary.failed = tally.failed;
        summary.left =
            summary.items - summary.done_before - summary.failed_before - tally.done - tally.failed;
        let result = ended.and_then(|()| batch_result(&summary, &tally, interrupt));
        Ok((summary, result))
    }

    fn run_pending<'i>(
        &'i self,
        mut items: Vec<&'i Item>,
        model: Model,
        load: impl FnOnce(Model) -> Result<Box<dyn AnyPipeline>>,
        log: &mut Log,
        summary: &mut Summary,
        interrupt: &Interrupt,
    ) -> Result<(Tally, Result<()>)> {
        let cached = cached_hash(self.outputs, &model);
        let has_history = items.iter().any(|item| self.history.knows(item));
        if has_history && let Some(weights) = &cached {
            items = self.pending(items, weights, summary);
            if items.is_empty() {
                let sheets = Sheets::new(self.list, &self.history, &items);
                self.print(&sheets.finish(&self.history));
                return Ok((Tally::default(), Ok(())));
            }
        }
        let stamp = model.fingerprint();
        let mut editor = load(model)?;
        let weights = editor.digest();
        cache_hash(self.outputs, stamp, &weights);
        if has_history && cached.is_none() {
            items = self.pending(items, &weights, summary);
        }
        self.announce_replacements(&items);
        let progress = BatchProgress::for_terminal(items.len(), self.quiet);
        let run = Run {
            resolver: &self.resolver,
            computed_on: self.computed_on,
            provenance: self.provenance(&weights),
            history: &self.history,
            options: self.options,
            progress: &progress,
            interrupt,
        };
        let mut sheets = Sheets::new(self.list, &self.history, &items);
        let ended = run.execute(&items, &mut *editor, log, &mut sheets);
        progress.close();
        // Other shards may have ended meanwhile.
        let history = History::read(self.outputs)?;
        self.print(&sheets.finish(&history));
        Ok(ended)
    }

    /// Says how many results of earlier runs the pending items replace, while the run can still be stopped.
    fn announce_replacements(&self, items: &[&Item]) {
        let replaces = |item: &&&Item| self.history.is_done(item) && is_file(&item.out);
        let count = items.iter().filter(replaces).count();
        if count > 0 && !self.quiet {
            report::print_line(&format!(
                "{} of earlier runs {} replaced: something that decides {} changed since, or `--redo` names {}",
                if count == 1 {
                    "1 result".to_owned()
                } else {
                    format!("{count} results")
                },
                if count == 1 { "is" } else { "are" },
                if count == 1 { "it" } else { "them" },
                if count == 1 { "it" } else { "them" },
            ));
        }
    }

    fn print(&self, warnings: &[Warning]) {
        if !self.quiet {
            report::print_warnings(warnings);
        }
    }

    /// Returns the items that need to be edited, and counts the others in `summary`.
    fn pending<'i>(
        &self,
        items: Vec<&'i Item>,
        weights: &str,
        summary: &mut Summary,
    ) -> Vec<&'i Item> {
        let provenance = self.provenance(weights);
        let states: Vec<ItemState> = items
            .par_iter()
            .map(|item| {
                self.history
                    .state(item, &self.redo, &self.resolver, provenance)
            })
            .collect();
        let count = |wanted| states.iter().filter(|state| **state == wanted).count();
        summary.done_before = count(ItemState::Done);
        summary.failed_before = count(ItemState::Failed);
        items
            .into_iter()
            .zip(states)
            .filter(|(_, state)| *state == ItemState::Pending)
            .map(|(item, _)| item)
            .collect()
    }

    fn provenance<'p>(&'p self, weights: &'p str) -> Provenance<'p> {
        Provenance {
            weights,
            clip: &self.clip,
            model: &self.model,
            additions: &self.additions,
            numerics: self.numerics,
        }
    }
}
