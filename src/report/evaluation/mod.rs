//! Prints an evaluation: as text, JSON, CSV, Markdown and LaTeX.

mod csv;
mod data;
mod tables;

use std::time::{Duration, Instant};

use super::messages::{print_json, print_line, print_text, warn};
use super::table::Table;
use crate::error::Error;
use crate::escape;
use crate::eval::{EvalProgress, Evaluation};

/// The output format of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EvalFormat {
    /// Tables for a terminal.
    Text,
    /// One object with everything.
    Json,
    /// A line for each figure of each edit, each category and all edits.
    Csv,
    /// Tables for a page.
    Markdown,
    /// Tables for a paper, with the package `booktabs`.
    Latex,
}

/// An evaluation with what a report says beside it.
#[derive(Debug)]
pub(crate) struct EvalReport<'a> {
    /// What was measured.
    pub evaluation: &'a Evaluation,
    /// Where the edits come from: their folder or their records.
    pub edits: String,
    /// The figure that edits are sorted by.
    pub sort: String,
    /// Figures that could not be measured.
    pub unavailable: &'a [Unavailable],
    /// The judge's command.
    pub judge: Option<String>,
    /// Whether tables list every edit.
    pub each: bool,
}

/// Figures that could not be measured, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Unavailable {
    /// Their names.
    pub figures: Vec<String>,
    /// What is missing.
    pub reason: String,
    /// How to get it.
    pub hint: String,
}

/// Prints an evaluation to stdout.
///
/// # Errors
/// As [`print_text`].
pub(crate) fn print_evaluation(report: &EvalReport, format: EvalFormat) -> Result<(), Error> {
    let joined = |draw: fn(&Table) -> String| {
        let tables: Vec<String> = tables::tables(report).iter().map(draw).collect();
        tables.join("\n")
    };
    match format {
        EvalFormat::Json => print_json(&data::data(report)),
        EvalFormat::Csv => print_text(&csv::csv(report)),
        EvalFormat::Text => {
            let notes: Vec<String> = tables::notes(report)
                .iter()
                .map(|note| escape::one_line(note) + "\n")
                .collect();
            print_text(&(joined(Table::text) + "\n" + &notes.concat()))
        }
        EvalFormat::Markdown => {
            let notes: Vec<String> = tables::notes(report)
                .iter()
                .map(|note| format!("- {}\n", super::markdown::literal(note)))
                .collect();
            print_text(&(joined(Table::markdown) + "\n" + &notes.concat()))
        }
        EvalFormat::Latex => {
            let notes: Vec<String> = tables::notes(report)
                .iter()
                .map(|note| format!("% {}\n", escape::one_line(note)))
                .collect();
            print_text(&(notes.concat() + &joined(Table::latex)))
        }
    }
}

/// Most warnings about figures that could not be measured.
const MOST_WARNINGS: usize = 20;
/// How often progress is printed.
const INTERVAL: Duration = Duration::from_secs(5);

/// Prints how many items were measured, from time to time, and what could not be measured, to stderr.
#[derive(Debug)]
pub(crate) struct EvalLines {
    last: Instant,
    quiet: bool,
    warnings: usize,
}

impl EvalLines {
    /// Creates the display; a quiet one prints nothing.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            last: Instant::now(),
            quiet,
            warnings: 0,
        }
    }
}

impl EvalProgress for EvalLines {
    fn measured(&mut self, done: usize, all: usize) {
        if !self.quiet && self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            print_line(&format!("measured {done} of {all}"));
        }
    }

    fn not_measured(&mut self, id: &str, figures: &[&str], reason: &str) {
        self.warnings += 1;
        if self.quiet || self.warnings > MOST_WARNINGS {
            return;
        }
        warn(&format!("{id}: {}: {reason}", figures.join(", ")));
        if self.warnings == MOST_WARNINGS {
            warn(
                "further figures that cannot be measured are only counted; `--format json` has their reasons",
            );
        }
    }
}
