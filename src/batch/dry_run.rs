//! `--dry-run`: plans the items of a batch without editing them.

use std::fmt::Write;

use rayon::prelude::*;

use super::{History, Item, Resolver};
use crate::error::{Error, ErrorKind, Result};
use crate::escape;
use crate::pipeline;
use crate::plan::Plan;
use crate::progress::clock;
use crate::report::counted;

/// Number of items that are planned and listed; the estimate for the rest is extrapolated from them.
const MAX_LISTED: usize = 200;

/// What a batch would do.
#[derive(Debug)]
pub(crate) struct DryRun {
    /// A line for each listed item, and an estimate for all of them.
    pub text: String,
    items: usize,
    failed: usize,
}

impl DryRun {
    /// Plans the items. The pace of the items that are done already gives the estimated time.
    pub(crate) fn new(items: &[&Item], resolver: &Resolver, history: &History) -> Self {
        let listed = &items[..items.len().min(MAX_LISTED)];
        let plans: Vec<Result<Plan>> = listed.par_iter().map(|item| resolver.plan(item)).collect();
        let mut text = String::new();
        let (mut passes, mut planned, mut failed) = (0.0, 0, 0);
        for (item, plan) in listed.iter().zip(&plans) {
            let line = match plan {
                Ok(plan) => {
                    planned += 1;
                    passes += passes_of(plan);
                    describe(item, plan)
                }
                Err(error) => {
                    failed += 1;
                    let message = error.to_string();
                    let reason = message.lines().next().unwrap_or_default();
                    format!("{}: cannot be edited: {reason}", item.id)
                }
            };
            text += &escape::one_line(&line);
            text.push('\n');
        }
        if items.len() > listed.len() {
            let _ = writeln!(text, "and {} more", items.len() - listed.len());
        }
        let scale = items.len() as f64 / listed.len().max(1) as f64;
        let _ = write!(
            text,
            "{}, about {:.0} passes through the network",
            counted(items.len()),
            passes * scale
        );
        if let Some(seconds) = history.seconds_per_item() {
            let time = clock(seconds * f64::from(planned) * scale);
            let _ = write!(
                text,
                ", about {time} at the pace of the items that are done"
            );
        }
        text.push('\n');
        Self {
            text,
            items: items.len(),
            failed,
        }
    }

    /// Returns whether all listed items can be edited.
    ///
    /// # Errors
    /// [`Error::Batch`] `batch.failed`.
    pub(crate) fn result(&self) -> Result<()> {
        if self.failed == 0 {
            return Ok(());
        }
        Err(Error::Batch {
            kind: ErrorKind::BatchFailed,
            reason: format!(
                "{} of {} cannot be edited",
                self.failed,
                counted(self.items)
            ),
            hint: "`dragnext validate` reports every fault of a drag file".into(),
        })
    }
}

fn passes_of(plan: &Plan) -> f64 {
    if plan.regions.is_empty() {
        0.0
    } else {
        pipeline::passes_of(&plan.settings)
    }
}

fn describe(item: &Item, plan: &Plan) -> String {
    let frame = &plan.frame;
    let what = if plan.regions.is_empty() {
        "nothing moves, copied".to_owned()
    } else {
        format!("works at {}, {:.0} passes", frame.content, passes_of(plan))
    };
    format!(
        "{}: {} {}, {what}, to {}",
        item.id,
        item.image.display(),
        frame.source,
        item.out.display()
    )
}
