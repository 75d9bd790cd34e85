//! Repeats golden edits and compares the results with the expected pictures.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::reader::ReadCase;
use super::{Case, CaseReader, CaseResult, CaseStatus, Thresholds};
use crate::edit::{Prepared, Provenance};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::interrupt::Interrupt;
use crate::mask::Mask;
use crate::metrics;
use crate::model::Model;
use crate::panics;
use crate::picture::{self, Picture};
use crate::pipeline::AnyPipeline;
use crate::preview;
use crate::progress::Progress;

/// Everything that the cases of a run share.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    /// Reads and plans cases.
    pub reader: CaseReader<'a>,
    /// Limits that take precedence over those of the cases.
    pub thresholds: Thresholds,
    /// The model, for planning.
    pub model: Model,
    /// The loaded model; `None` when no region of any case moves.
    pub editor: Option<Box<dyn AnyPipeline>>,
    /// Kind of device and number format.
    pub numerics: [&'a str; 2],
    /// Folder for the pictures of cases that differ.
    pub output: &'a Path,
    /// Replace the expected pictures of cases that differ.
    pub bless: bool,
    /// Stops the run on a signal.
    pub interrupt: &'a Interrupt,
}

/// The result of an edit.
struct Edited {
    picture: Picture,
    note: String,
    editable: Option<Mask>,
}

impl Checker<'_> {
    /// Edits a case and compares the result. A failed edit is a failed case.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(crate) fn check(&mut self, case: &Case, progress: &mut dyn Progress) -> Result<CaseResult> {
        let mut result = CaseResult::new(case);
        match self.compare(case, &mut result, progress) {
            Err(error @ Error::Interrupted { .. }) => Err(error),
            Err(error) => {
                let mut failed = CaseResult::new(case);
                failed.error = Some(error);
                Ok(failed)
            }
            Ok(()) => Ok(result),
        }
    }

    fn compare(
        &mut self,
        case: &Case,
        result: &mut CaseResult,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let started = Instant::now();
        let Edited {
            picture,
            note,
            editable,
        } = panics::catch(|| self.edit(case, result, progress))?;
        result.seconds = started.elapsed().as_secs_f64();
        match read_expected(case, &picture) {
            Ok(expected) => {
                let comparison = metrics::compare(&expected, &picture, editable.as_ref());
                let thresholds = self
                    .thresholds
                    .over(&case.thresholds)
                    .over(&Thresholds::DEFAULT);
                result.excesses = comparison.excesses(&thresholds.inside, &thresholds.outside());
                result.comparison = Some(comparison);
                if result.excesses.is_empty() {
                    result.status = CaseStatus::Passed;
                    return Ok(());
                }
                let triptych = preview::triptych(&expected, &picture, editable.as_ref());
                result
                    .written
                    .push(write(case.triptych(self.output), &triptych, None)?);
            }
            Err(error) => result.error = Some(error),
        }
        let path = if self.bless {
            result.status = CaseStatus::Blessed;
            case.expected.clone()
        } else {
            case.actual(self.output)
        };
        result.written.push(write(path, &picture, Some(&note))?);
        Ok(())
    }

    /// Edits a case as `dragnext edit` does.
    fn edit(
        &mut self,
        case: &Case,
        result: &mut CaseResult,
        progress: &mut dyn Progress,
    ) -> Result<Edited> {
        let ReadCase {
            drag,
            original,
            plan,
        } = self.reader.read(case, Some(&self.model))?;
        result.warnings = original
            .warnings
            .iter()
            .chain(&plan.warnings)
            .cloned()
            .collect();
        let mut prepared = Prepared::new(drag, original, plan, true, None);
        let weights = self.editor.as_ref().map(|editor| editor.digest());
        let clip = if prepared.plan.settings.method.needs().clip {
            self.model.clip()?.sha256()?
        } else {
            String::new()
        };
        let provenance = Provenance {
            weights: weights.as_deref().unwrap_or_default(),
            clip: &clip,
            model: &self.model.name(),
            additions: &self.model.additions(),
            numerics: self.numerics,
        };
        let note = prepared.identity(provenance).note;
        let outcome = match &mut self.editor {
            Some(editor) if prepared.moves() => {
                Some(prepared.compute(&mut **editor, progress, self.interrupt)?)
            }
            _ => None,
        };
        self.interrupt.check()?;
        Ok(Edited {
            picture: prepared.composite(outcome.as_ref()),
            note,
            editable: prepared.plan.editable_source,
        })
    }
}

/// Reads the expected picture of a case, which must have the size of the result.
fn read_expected(case: &Case, actual: &Picture) -> Result<Picture> {
    if !case.expected.exists() {
        return Err(Error::Given {
            path: case.expected.clone(),
            kind: ErrorKind::CheckNoExpected,
            reason: "does not exist yet".into(),
            hint: "look at the result of the edit; `--bless` accepts it".into(),
        });
    }
    let expected = picture::read_any(&case.expected)?.picture;
    metrics::check_same_size(&case.image, actual, &case.expected, &expected)?;
    Ok(expected)
}

/// Writes a picture, replacing that of an earlier run, but never through a link. Returns its path.
fn write(path: PathBuf, picture: &Picture, note: Option<&str>) -> Result<PathBuf> {
    files::check_output(&[], &path, true)?;
    let png = picture
        .png(note)
        .map_err(|error| files::cannot_encode(&path, &error))?;
    files::write_verified(&path, &png, true, |written| picture.check_png(written))?;
    Ok(path)
}
