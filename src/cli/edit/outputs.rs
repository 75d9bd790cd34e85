//! The files that `dragnext edit` writes, checked before any work is done for them.

use std::path::{Path, PathBuf};

use super::Arguments;
use super::series::Series;
use crate::cli::planning::Inputs;
use crate::edit::DIAGNOSTICS;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::geometry::Size;
use crate::model::Model;
use crate::picture::{MAX_PIXELS, MAX_SIDE};
use crate::preview;
use crate::report::Record;

/// The paths that an edit writes to, with `--follow` after following links.
pub(super) struct Outputs {
    /// Where each result belongs: to a file of its own, or to the row.
    pub(super) each: Vec<PathBuf>,
    /// The picture with all results side by side.
    pub(super) row: Option<PathBuf>,
    pub(super) strip: Option<PathBuf>,
    pub(super) lora: Option<PathBuf>,
    /// The pictures of [`DIAGNOSTICS`], each with its name.
    pub(super) diagnostics: Vec<(&'static str, PathBuf)>,
}

impl Outputs {
    /// Returns the record of each result, with what `begun` has.
    pub(super) fn records(&self, begun: &Record, series: &Series) -> Vec<Record> {
        let mut records = series.records(begun);
        if *series != Series::Single {
            for (record, path) in records.iter_mut().zip(&self.each) {
                record.paths.out.clone_from(path);
            }
        }
        records
    }

    fn paths(&self) -> Vec<&PathBuf> {
        let results = match &self.row {
            Some(row) => std::slice::from_ref(row),
            None => &self.each,
        };
        let diagnostics = self.diagnostics.iter().map(|(_, path)| path);
        results
            .iter()
            .chain(&self.strip)
            .chain(diagnostics)
            .chain(&self.lora)
            .collect()
    }
}

impl Arguments {
    /// Returns the outputs.
    ///
    /// # Errors
    /// [`Error::Output`] for an output that is an input, another output, or cannot be written; [`Error::Image`] when the results are too large
    /// to be written side by side.
    pub(super) fn outputs(
        &self,
        output: &Path,
        series: &Series,
        inputs: &Inputs,
        model: Option<&Model>,
    ) -> Result<Outputs> {
        let mut files = inputs.files(model);
        files.extend(self.lora.clone());
        let target = |path: &Path| self.target(path);
        let is_folder = output.is_dir() || is_marked_as_folder(output);
        let (each, row) = if *series == Series::Single {
            (vec![target(output)?], None)
        } else if is_folder {
            let stem = self.inputs.image.file_stem().unwrap_or_default();
            let names = series.file_names(stem);
            let paths = names.iter().map(|name| target(&output.join(name)));
            (paths.collect::<Result<_>>()?, None)
        } else {
            let captions = series.captions();
            check_row(output, &captions, inputs.original.picture.size())?;
            (
                vec![output.to_path_buf(); captions.len()],
                Some(target(output)?),
            )
        };
        let diagnostics = self.diagnostics.iter().flat_map(|folder| {
            DIAGNOSTICS.map(|name| target(&folder.join(name)).map(|path| (name, path)))
        });
        let outputs = Outputs {
            each,
            row,
            strip: self.strip.as_deref().map(target).transpose()?,
            lora: self.save_lora.as_deref().map(target).transpose()?,
            diagnostics: diagnostics.collect::<Result<_>>()?,
        };
        let all = outputs.paths();
        if self.json && all.iter().any(|path| files::is_stdout(path)) {
            return Err(Error::Output {
                path: output.to_path_buf(),
                kind: ErrorKind::OutputNotDistinct,
                reason: "stands for stdout, which `--json` writes to".into(),
                hint: "give the path of a file, or leave out --json".into(),
            });
        }
        for (index, output) in all.iter().enumerate() {
            if outputs.lora.as_ref() != Some(output) {
                files::check_png_name(output)?;
            }
            self.check_output(&files, output)?;
            for other in &all[..index] {
                files::check_distinct(other, output)?;
            }
        }
        Ok(outputs)
    }

    /// As [`files::check_output`], with this command's flag for links in the hint.
    pub(super) fn check_output(&self, inputs: &[PathBuf], output: &Path) -> Result<()> {
        files::check_output(inputs, output, self.overwrite).map_err(|error| match error {
            Error::Output {
                path,
                kind: kind @ ErrorKind::OutputIsLink,
                reason,
                ..
            } => Error::Output {
                path,
                kind,
                reason,
                hint: "use --follow to write to the target of the link, or give its path".into(),
            },
            other => other,
        })
    }

    /// Returns where a path leads, with `--follow` after following links.
    pub(super) fn target(&self, path: &Path) -> Result<PathBuf> {
        if self.follow {
            files::follow(path)
        } else {
            Ok(path.to_path_buf())
        }
    }
}

fn is_marked_as_folder(path: &Path) -> bool {
    path.to_string_lossy().ends_with(std::path::is_separator)
}

/// Checks that the row is no larger than the pictures that programs read.
fn check_row(output: &Path, captions: &[String], picture: Size) -> Result<()> {
    let size = preview::row_size(captions.iter().map(String::as_str), picture);
    let (side, area) = (size.width.max(size.height), size.area());
    if side <= MAX_SIDE as usize && area as u64 <= MAX_PIXELS {
        return Ok(());
    }
    Err(Error::Image {
        path: output.to_path_buf(),
        kind: ErrorKind::ImageTooLarge,
        reason: format!("the results side by side would be {size} pixels"),
        hint: "give a folder with -o, so that each result has a file of its own".into(),
    })
}
