//! `dragnext report merge`: merges the records of several runs.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::preview::write as write_drawing;
use crate::error::Result;
use crate::files;
use crate::merge::{self, Manifest, Merged};
use crate::preview::contact_sheet;
use crate::report::{self, MergeFormat};

/// Summarises the records of batch runs.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Merge(MergeArguments),
}

/// Merges the records of several runs: which items are done, failed or missing.
///
/// FILES contain one JSON record per line. If an item has several records, the newest counts. A truncated line from a killed run is skipped
/// with a warning.
///
/// The exit status is 0 when every item is done, 1 when one is not, and 2 when a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n\n  dragnext report merge OUT/records/*.jsonl --manifest items.jsonl --todo rest.jsonl"
)]
struct MergeArguments {
    /// Record files.
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,

    /// The manifest of the batch. Its items without a record are reported as missing.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Write the manifest lines of all unfinished items to this file, in the folder of the manifest.
    #[arg(long, value_name = "FILE", requires = "manifest")]
    todo: Option<PathBuf>,

    /// Write a picture of the items before and after, worst first: failed items, then items with warnings, then those whose loss decreased
    /// least.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,

    /// Replace the files of `--todo` and `--sheet` when they exist.
    #[arg(long)]
    overwrite: bool,

    /// Output format; `github` prints annotations and appends to the summary of the job.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
    Github,
}

impl From<Format> for MergeFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
            Format::Markdown => Self::Markdown,
            Format::Github => Self::Github,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Command::Merge(arguments) = &arguments.command;
    let manifest = arguments
        .manifest
        .as_deref()
        .map(Manifest::read)
        .transpose()?;
    arguments.check_outputs(manifest.as_ref())?;
    let merged = Merged::read(&arguments.files, manifest.as_ref())?;
    report::print_merge_warnings(&merged);
    report::print_merged(&merged, arguments.format.into())?;
    if let (Some(todo), Some(manifest)) = (&arguments.todo, &manifest) {
        let lines = manifest.lines(merged.unfinished());
        files::write_verified(todo, &lines, arguments.overwrite, |_| Ok(()))?;
        report::print_written(todo);
    }
    if let Some(sheet) = &arguments.sheet {
        let exhibits = merge::exhibits(&merged, arguments.manifest.as_deref(), &arguments.files);
        write_drawing(sheet, &contact_sheet(&exhibits), arguments.overwrite)?;
        report::print_written(sheet);
    }
    merge::merge_result(
        merged.counts(),
        arguments.todo.as_deref(),
        manifest.is_some(),
    )
}

impl MergeArguments {
    fn check_outputs(&self, manifest: Option<&Manifest>) -> Result<()> {
        let inputs: Vec<PathBuf> = self.files.iter().chain(&self.manifest).cloned().collect();
        for output in self.todo.iter().chain(&self.sheet) {
            files::check_output(&inputs, output, self.overwrite)?;
        }
        if let (Some(todo), Some(sheet)) = (&self.todo, &self.sheet) {
            files::check_distinct(todo, sheet)?;
        }
        if let Some(sheet) = &self.sheet {
            files::check_png_name(sheet)?;
        }
        match (&self.todo, manifest) {
            (Some(todo), Some(manifest)) => manifest.check_beside(todo),
            _ => Ok(()),
        }
    }
}
