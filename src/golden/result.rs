//! How golden edits ended.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Case;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{Comparison, Difference, Excess};
use crate::warning::Warning;

/// How one golden edit ended.
#[derive(Debug)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// The case's drag file.
    pub drag: PathBuf,
    /// Whether the result is as expected.
    pub status: CaseStatus,
    /// The difference between result and expected picture.
    pub comparison: Option<Comparison>,
    /// The limits that the difference exceeds.
    pub excesses: Vec<Excess>,
    /// Why the pictures could not be compared.
    pub error: Option<Error>,
    /// Files that were written.
    pub written: Vec<PathBuf>,
    /// Seconds of the edit.
    pub seconds: f64,
    /// Warnings of the edit.
    pub warnings: Vec<Warning>,
}

/// Whether the result of a golden edit is as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseStatus {
    /// It is, within limits.
    Passed,
    /// It is not, or the pictures could not be compared.
    Failed,
    /// It was not, and replaced the expected picture.
    Blessed,
}

impl CaseResult {
    /// Returns the result of a case before its edit, which counts as failed.
    pub(super) fn new(case: &Case) -> Self {
        Self {
            name: case.name.clone(),
            drag: case.drag.clone(),
            status: CaseStatus::Failed,
            comparison: None,
            excesses: Vec::new(),
            error: None,
            written: Vec::new(),
            seconds: 0.0,
            warnings: Vec::new(),
        }
    }

    /// Describes what is not as expected; empty for a case that passed.
    pub fn reason(&self) -> String {
        match &self.error {
            Some(error) => error.to_string(),
            None => self
                .excesses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    /// Returns the difference inside the editable area, or in the whole picture if no area is editable.
    pub fn difference(&self) -> Option<&Difference> {
        let comparison = self.comparison.as_ref()?;
        comparison.inside.as_ref().or(Some(&comparison.all))
    }
}

/// Returns whether all cases passed. `output` is the folder with the pictures of the cases that failed.
///
/// # Errors
/// [`Error::Finding`]: `check.failed`, or `check.blessed` if expected pictures were replaced, so that a change is never accepted silently.
pub(crate) fn check_result(results: &[CaseResult], output: &Path) -> Result<()> {
    let count = |status| {
        results
            .iter()
            .filter(|result| result.status == status)
            .count()
    };
    let (failed, blessed) = (count(CaseStatus::Failed), count(CaseStatus::Blessed));
    let cases = if results.len() == 1 { "case" } else { "cases" };
    if failed > 0 {
        let has_pictures = results
            .iter()
            .any(|result| result.status == CaseStatus::Failed && !result.written.is_empty());
        let hint = if has_pictures {
            format!(
                "see the pictures in `{}`; `--bless` accepts the new results",
                output.display()
            )
        } else {
            String::new()
        };
        return Err(Error::Finding {
            kind: ErrorKind::CheckFailed,
            reason: format!("{failed} of {} {cases} failed", results.len()),
            hint,
        });
    }
    if blessed > 0 {
        return Err(Error::Finding {
            kind: ErrorKind::CheckBlessed,
            reason: format!("{blessed} of {} {cases} blessed", results.len()),
            hint: "review the changes, commit them, and run this again".into(),
        });
    }
    Ok(())
}
