//! `dragnext eval`: the metrics of the papers over many edits.
//!
//! [`Items`] come from a manifest or a folder with the folder of their edits, or from records. [`evaluate`] measures every edit with every
//! [`Metric`](crate::metrics::Metric). [`Evaluation::summaries`] gives mean, median and interval for all edits and for each category,
//! [`Evaluation::comparisons`] the paired differences to the edits of another method. Tables are those of [`crate::report`].
//!
//! # Failed edits
//!
//! An edit that is missing, unreadable, of another shape than its original, or that failed according to its record, is a failure and never an
//! absence. There is no value to average for it, so the mean and its interval are those of the measured edits, and the number of failures
//! stands beside them. The median counts a failure as worse than every measured edit. In a comparison, the side that failed loses the pair.
//!
//! A figure can be undefined for a case, whatever the edit is: nothing lies outside an editable area that covers the picture. Such cases are
//! counted apart from failures.

mod category;
mod comparison;
mod items;
mod run;
mod statistics;
mod summary;

pub(crate) use comparison::Comparison;
pub(crate) use items::{Edit, EditFailure, Item, Items, read_records};
pub(crate) use run::{EvalProgress, evaluate};
pub(crate) use summary::Summary;

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::metrics::Figure;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// All figures of all metrics.
    pub figures: Vec<Figure>,
    /// One for each item, in their order.
    pub rows: Vec<Row>,
    /// Whether each item has the edit of another method beside its own.
    pub has_other: bool,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// The edits of one item.
#[derive(Debug)]
pub(crate) struct Row {
    /// The item's id.
    pub id: String,
    /// Its category.
    pub category: Option<String>,
    /// The original.
    pub image: PathBuf,
    /// The item's edit; in a comparison, that of the other method follows.
    pub edits: Vec<EditRow>,
}

/// One edit.
#[derive(Debug)]
pub(crate) struct EditRow {
    /// Its file, if there is one.
    pub path: Option<PathBuf>,
    /// Why it could not be measured.
    pub failure: Option<EditFailure>,
    /// The size that it had before it was resized to the original's.
    pub resized_from: Option<Size>,
    /// One for each figure.
    pub outcomes: Vec<Outcome>,
}

/// What was found of one figure for one edit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// The samples; not empty, all finite.
    Measured(Vec<f64>),
    /// The figure is not defined for this case: why.
    Undefined(String),
    /// The edit failed, or its measurement did: why.
    Failed(String),
}

impl Outcome {
    /// Returns the edit's value: the mean of its samples.
    pub(crate) fn value(&self) -> Option<f64> {
        match self {
            Self::Measured(samples) => Some(samples.iter().sum::<f64>() / samples.len() as f64),
            Self::Undefined(_) | Self::Failed(_) => None,
        }
    }
}

impl Evaluation {
    /// Returns the categories, sorted.
    pub(crate) fn categories(&self) -> Vec<&str> {
        let categories: BTreeSet<&str> = self
            .rows
            .iter()
            .filter_map(|row| row.category.as_deref())
            .collect();
        categories.into_iter().collect()
    }

    /// Returns the rows of a category; all for `None`.
    fn rows_of<'a>(&'a self, category: Option<&'a str>) -> impl Iterator<Item = &'a Row> {
        self.rows
            .iter()
            .filter(move |row| category.is_none() || row.category.as_deref() == category)
    }

    /// Returns the summary of each figure over a category, or over everything. `edit` is 0, or 1 for the other method.
    pub(crate) fn summaries(&self, category: Option<&str>, edit: usize) -> Vec<Summary> {
        let summary = |(index, figure): (usize, &Figure)| {
            let outcomes = self
                .rows_of(category)
                .map(|row| &row.edits[edit].outcomes[index]);
            Summary::new(figure, outcomes, self.seed)
        };
        self.figures.iter().enumerate().map(summary).collect()
    }

    /// Returns the comparison of both methods by each figure over a category, or over everything.
    pub(crate) fn comparisons(&self, category: Option<&str>) -> Vec<Comparison> {
        let comparison = |(index, figure): (usize, &Figure)| {
            let pairs = self.rows_of(category).filter_map(|row| {
                let [edit, other] = &row.edits[..] else {
                    return None;
                };
                Some([&edit.outcomes[index], &other.outcomes[index]])
            });
            Comparison::new(figure, pairs, self.seed)
        };
        self.figures.iter().enumerate().map(comparison).collect()
    }

    /// Returns the number of edits that failed, of this method or the other.
    pub(crate) fn failures(&self, edit: usize) -> usize {
        let failed = |row: &&Row| {
            let edit = &row.edits[edit];
            edit.failure.is_some()
        };
        self.rows.iter().filter(failed).count()
    }

    /// Returns the rows from bad to good: failed edits, then those with the worst value of the figure with this name, then those for which it
    /// is undefined.
    pub(crate) fn worst_first(&self, name: &str) -> Vec<&Row> {
        let figure = self.figures.iter().position(|figure| figure.name == name);
        let badness = |row: &Row| {
            let edit = &row.edits[0];
            let value = figure.and_then(|index| {
                let value = edit.outcomes[index].value()?;
                Some(self.figures[index].better.badness(value))
            });
            match (edit.failure.is_some(), value) {
                (true, _) => f64::INFINITY,
                (false, Some(value)) => value,
                (false, None) => f64::NEG_INFINITY,
            }
        };
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        // The sort is stable, so that equally bad rows keep their order.
        rows.sort_by(|a, b| badness(b).total_cmp(&badness(a)));
        rows
    }

    /// Returns whether every edit could be measured.
    ///
    /// # Errors
    /// [`Error::Finding`] `eval.failed`.
    pub(crate) fn result(&self) -> Result<()> {
        let sides = if self.has_other { 2 } else { 1 };
        let failed: usize = (0..sides).map(|edit| self.failures(edit)).sum();
        if failed == 0 {
            return Ok(());
        }
        Err(Error::Finding {
            kind: ErrorKind::EvalFailed,
            reason: format!(
                "{failed} of {} edits are missing or cannot be measured",
                sides * self.rows.len()
            ),
            hint: "they count as failures; `--format json` lists them with their reasons".into(),
        })
    }
}
