//! `dragnext report merge`: what many runs left behind, as one.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::preview::write as write_drawing;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::merge::{self, Item, Manifest, Merged, State};
use crate::picture;
use crate::preview::{Exhibit, MOST_EXHIBITS, contact_sheet};
use crate::report::{self, MergedForm};

/// Looks at the records that runs leave behind.
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

/// Merges the records of many runs: what is done, what failed, what is missing.
///
/// FILES are records, one line of JSON for each item that was ended. Of an item with several records the newest holds. Half a
/// line, as a run leaves that was killed, is left out with a warning.
///
/// The exit status is 0 when every item is done, 1 when one is not, and 2 when a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n\n  dragnext report merge OUT/records/*.jsonl --manifest items.jsonl --todo rest.jsonl"
)]
struct MergeArguments {
    /// Files of records.
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,

    /// The list of all items; with it, items without a record are told as missing.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Write the manifest's lines of everything that is not done, as a manifest beside it.
    #[arg(long, value_name = "FILE", requires = "manifest")]
    todo: Option<PathBuf>,

    /// Write a picture of items before and after, worst first: what failed, what has warnings, then what the drag achieved least on.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,

    /// Replace the files of --todo and --sheet when they exist.
    #[arg(long)]
    overwrite: bool,

    /// How the summary is printed; `github` annotates the job and writes its summary.
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
    Markdown,
    Github,
}

impl From<Form> for MergedForm {
    fn from(form: Form) -> Self {
        match form {
            Form::Text => Self::Text,
            Form::Json => Self::Json,
            Form::Markdown => Self::Markdown,
            Form::Github => Self::Github,
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
        files::write_verified(
            todo,
            &manifest.lines(merged.rest()),
            arguments.overwrite,
            |_| Ok(()),
        )?;
        report::print_written(todo);
    }
    if let Some(sheet) = &arguments.sheet {
        write_drawing(
            sheet,
            &contact_sheet(&arguments.exhibits(&merged)),
            arguments.overwrite,
        )?;
        report::print_written(sheet);
    }
    arguments.judge(&merged)
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
            (Some(todo), Some(manifest)) if !same_folder(todo, manifest.path()) => {
                let reason = format!("is not beside the manifest `{}`", manifest.path().display());
                let hint =
                    "paths in a manifest start at its folder, so the rest of it belongs there too"
                        .into();
                Err(Error::Given {
                    path: todo.clone(),
                    kind: ErrorKind::ManifestElsewhere,
                    reason,
                    hint,
                })
            }
            _ => Ok(()),
        }
    }

    /// The worst items with their pictures, as far as these can be read.
    fn exhibits(&self, merged: &Merged) -> Vec<Exhibit> {
        merged
            .worst_first()
            .into_iter()
            .take(MOST_EXHIBITS)
            .map(|item| self.exhibit(item))
            .collect()
    }

    fn exhibit(&self, item: &Item) -> Exhibit {
        let read = |path: Option<&PathBuf>| {
            let path = merge::places(path?, self.manifest.as_deref(), &self.files)?;
            picture::read_any(&path)
                .ok()
                .map(|original| original.picture)
        };
        let before = read(item.image.as_ref());
        let after = if item.state == State::Done {
            read(item.out.as_ref())
        } else {
            None
        };
        let complaint = match (&item.fault, item.state, &after) {
            (Some(fault), ..) => Some(fault.kind.name().to_owned()),
            (None, State::Done, Some(_)) => None,
            (None, State::Done, None) => Some("not there".into()),
            (None, state, _) => Some(state.name().to_owned()),
        };
        Exhibit::new(item.id.clone(), complaint, before.as_ref(), after.as_ref())
    }

    fn judge(&self, merged: &Merged) -> Result<()> {
        let counts = merged.counts();
        if counts.done == counts.items {
            return Ok(());
        }
        let reason = format!(
            "{} of {} items are not done",
            counts.items - counts.done,
            counts.items
        );
        let hint = match (&self.todo, &self.manifest) {
            (Some(todo), _) => format!("`{}` lists them for another run", todo.display()),
            (None, Some(_)) => "`--todo FILE` lists them for another run".into(),
            (None, None) => String::new(),
        };
        Err(Error::Finding {
            kind: ErrorKind::MergeIncomplete,
            reason,
            hint,
        })
    }
}

fn same_folder(first: &Path, second: &Path) -> bool {
    let folder = |path: &Path| {
        path.parent()
            .map(|folder| {
                if folder == Path::new("") {
                    Path::new(".")
                } else {
                    folder
                }
            })?
            .canonicalize()
            .ok()
    };
    folder(first).is_some() && folder(first) == folder(second)
}
