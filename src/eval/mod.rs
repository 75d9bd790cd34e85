//! `dragnext eval`: the metrics of the papers over many edits.
//!
//! [`Items`] come from a manifest or a folder with the folder of their edits, or from records. [`evaluate`] measures every edit with every
//! [`Metric`](crate::metrics::Metric). [`Evaluation::summaries`] gives mean, median and interval for all edits and for each category,
//! [`Evaluation::comparisons`] the paired differences to other edits. Every item has one edit for each of the [`Sides`]. Tables are those of [`crate::report`].
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
mod records;
mod run;
mod sides;
mod statistics;
mod summary;

pub(crate) use comparison::Comparison;
pub(crate) use items::{Edit, EditFailure, Item, Items};
pub(crate) use records::{RecordSide, method_sides, of_records};
pub(crate) use run::{EvalProgress, evaluate};
pub(crate) use sides::Sides;
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
    /// Which edits each row has.
    pub sides: Sides,
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
    /// Its edits, one for each side.
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

    /// Returns the summary of each figure of a side over a category, or over everything.
    pub(crate) fn summaries(&self, category: Option<&str>, side: usize) -> Vec<Summary> {
        let summary = |(index, figure): (usize, &Figure)| {
            let outcomes = self
                .rows_of(category)
                .map(|row| &row.edits[side].outcomes[index]);
            Summary::new(figure, outcomes, self.seed)
        };
        self.figures.iter().enumerate().map(summary).collect()
    }

    /// Returns the comparison of a side with the reference by each figure, over a category or over everything; `None` for the reference itself,
    /// and without one.
    pub(crate) fn comparisons(
        &self,
        category: Option<&str>,
        side: usize,
    ) -> Option<Vec<Comparison>> {
        let reference = self.sides.reference.filter(|other| *other != side)?;
        let comparison = |(index, figure): (usize, &Figure)| {
            let pairs = self
                .rows_of(category)
                .map(|row| [side, reference].map(|side| &row.edits[side].outcomes[index]));
            Comparison::new(figure, pairs, self.seed)
        };
        Some(self.figures.iter().enumerate().map(comparison).collect())
    }

    /// Returns the rows of which this side's edit failed, or one of its figures could not be measured.
    pub(crate) fn failures(&self, side: usize) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| row.edits[side].reason().is_some())
    }

    /// Returns the edits of some sides from bad to good, each with its side: failed edits, then those with the worst value of the figure with
    /// this name, then those for which it is undefined.
    pub(crate) fn worst_first(
        &self,
        name: &str,
        sides: impl Iterator<Item = usize>,
    ) -> Vec<(usize, &Row)> {
        let figure = self.figures.iter().position(|figure| figure.name == name);
        let badness = |(side, row): (usize, &Row)| {
            let edit = &row.edits[side];
            match figure.map(|index| (&self.figures[index], &edit.outcomes[index])) {
                _ if edit.failure.is_some() => f64::INFINITY,
                Some((_, Outcome::Failed(_))) => f64::INFINITY,
                Some((figure, outcome)) => outcome
                    .value()
                    .map_or(f64::NEG_INFINITY, |value| figure.better.badness(value)),
                None => f64::NEG_INFINITY,
            }
        };
        let sides: Vec<usize> = sides.collect();
        let mut rows: Vec<(usize, &Row)> = self
            .rows
            .iter()
            .flat_map(|row| sides.iter().map(move |side| (*side, row)))
            .collect();
        // The sort is stable, so that equally bad rows keep their order.
        rows.sort_by(|a, b| badness(*b).total_cmp(&badness(*a)));
        rows
    }

    /// Returns whether every edit could be measured.
    ///
    /// # Errors
    /// [`Error::Finding`] `eval.failed`, with the number of failures of each side.
    pub(crate) fn result(&self) -> Result<()> {
        let failed: Vec<(usize, usize)> = self
            .sides
            .all()
            .map(|side| (side, self.failures(side).count()))
            .filter(|(_, failed)| *failed > 0)
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        let total: usize = failed.iter().map(|(_, failed)| failed).sum();
        let by_side: Vec<String> = failed
            .iter()
            .map(|(side, failed)| format!("{failed} of `{}`", self.sides.names[*side]))
            .collect();
        let by_side = if self.sides.names.len() > 1 {
            format!(" ({})", by_side.join(", "))
        } else {
            String::new()
        };
        Err(Error::Finding {
            kind: ErrorKind::EvalFailed,
            reason: format!(
                "{total} of {} edits are missing or cannot be measured{by_side}",
                self.sides.names.len() * self.rows.len()
            ),
            hint: "they count as failures; `--format json` lists them with their reasons".into(),
        })
    }
}

impl EditRow {
    /// Returns why the edit, or the first of its figures that could not be measured, failed.
    pub(crate) fn reason(&self) -> Option<&str> {
        let measurement = self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Failed(reason) => Some(reason.as_str()),
            Outcome::Measured(_) | Outcome::Undefined(_) => None,
        });
        let failure = self.failure.as_ref();
        failure
            .map(|failure| failure.message.as_str())
            .or(measurement)
    }
}
