//! How a golden edit ended, for people, for scripts, and for GitHub.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::comparison::{Numbers, cells};
use super::messages::{print_error_text, print_json, print_text, warn};
use super::record::Failure;
use super::{github, markdown};
use crate::error::Error;
use crate::escape;
use crate::golden::Case;
use crate::metrics::{Comparison, Difference, Excess};
use crate::warning::Warning;

/// How a golden edit ended.
#[derive(Debug)]
pub struct Checked {
    name: String,
    drag: PathBuf,
    /// Whether it is as expected.
    pub status: CaseStatus,
    /// How far what came is from what was expected.
    pub comparison: Option<Comparison>,
    /// The limits that it breaks.
    pub excesses: Vec<Excess>,
    /// Why there is no comparison.
    failure: Option<Failure>,
    /// Files that were written because of it.
    pub written: Vec<PathBuf>,
    /// What the edit took.
    pub seconds: f64,
    /// What is doubtful about the edit.
    pub warnings: Vec<Warning>,
}

/// Whether a golden edit is as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseStatus {
    /// It is, within limits.
    Passed,
    /// It is not, or there is nothing to compare.
    Failed,
    /// It was not, and is now what is expected.
    Blessed,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckedForm {
    /// A line for people.
    Text,
    /// A line of JSON.
    Json,
}

impl Checked {
    /// Of a case that was not edited yet. It counts as failed until it is found to be as expected.
    pub fn new(case: &Case) -> Self {
        Self {
            name: case.name.clone(),
            drag: case.drag.clone(),
            status: CaseStatus::Failed,
            comparison: None,
            excesses: Vec::new(),
            failure: None,
            written: Vec::new(),
            seconds: 0.0,
            warnings: Vec::new(),
        }
    }

    /// Of a case whose edit ended with `error`.
    pub fn failed(case: &Case, error: &Error) -> Self {
        let mut checked = Self::new(case);
        checked.fail(error);
        checked
    }

    /// There is nothing to compare, because of `error`.
    pub fn fail(&mut self, error: &Error) {
        self.failure = Some(Failure::from(error));
    }

    /// What is not as expected, in words.
    fn reason(&self) -> String {
        match &self.failure {
            Some(failure) => failure.message.clone(),
            None => self
                .excesses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    /// The difference where the picture may change.
    fn difference(&self) -> Option<&Difference> {
        let comparison = self.comparison.as_ref()?;
        comparison.inside.as_ref().or(Some(&comparison.all))
    }

    fn line(&self) -> String {
        let word = match self.status {
            CaseStatus::Passed => "ok",
            CaseStatus::Failed => "FAILED",
            CaseStatus::Blessed => "blessed",
        };
        let numbers = self.difference().map(|difference| {
            let [max, mean, psnr, ssim] = cells(difference);
            format!("PSNR {psnr}, SSIM {ssim}, mean {mean}, max {max}")
        });
        let about = if self.status == CaseStatus::Passed {
            numbers.unwrap_or_default()
        } else {
            self.reason()
        };
        let line = format!(
            "{word:<8} {:<20} {:>7.1} s  {about}",
            escape::one_line(&self.name),
            self.seconds
        );
        escape::one_line(line.trim_end()) + "\n"
    }

    fn row(&self) -> Vec<String> {
        let result = match self.status {
            CaseStatus::Passed => "as expected".to_owned(),
            CaseStatus::Failed => self.reason(),
            CaseStatus::Blessed => format!("blessed: {}", self.reason()),
        };
        let numbers = self
            .difference()
            .map_or_else(|| ["-"; 4].map(str::to_owned), cells);
        [vec![self.name.clone(), result], numbers.to_vec()].concat()
    }

    /// What GitHub shows beside the drag file.
    fn annotation(&self) -> String {
        let place = self
            .failure
            .as_ref()
            .and_then(|failure| failure.place.as_ref())
            .map(|place| [place.line, place.column]);
        let files: Vec<String> = self
            .written
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let written = if files.is_empty() {
            String::new()
        } else {
            format!("\nwrote {}", files.join(", "))
        };
        let title = format!("dragnext check: {}", self.name);
        github::annotation(
            Some((&self.drag, place)),
            &title,
            &(self.reason() + &written),
        )
    }
}

/// Prints how a case ended to stdout; in a job of GitHub Actions it is annotated as well.
///
/// # Errors
/// As [`print_text`].
pub fn print_checked(checked: &Checked, form: CheckedForm) -> Result<(), Error> {
    let annotation =
        (github::is_here() && checked.status != CaseStatus::Passed).then(|| checked.annotation());
    match form {
        CheckedForm::Text => print_text(&(checked.line() + &annotation.unwrap_or_default())),
        CheckedForm::Json => {
            // Stdout is for the lines of JSON; commands are found on stderr as well.
            print_error_text(&annotation.unwrap_or_default());
            print_json(&Data::from(checked))
        }
    }
}

/// Adds a table of all cases to the summary of a job of GitHub Actions.
pub fn summarise_checked(all: &[Checked]) {
    if !github::is_here() || all.is_empty() {
        return;
    }
    if let Err((path, error)) = github::summarise(&page(all)) {
        warn(&format!(
            "{}: the summary was not written: {error}",
            path.display()
        ));
    }
}

fn page(all: &[Checked]) -> String {
    let passed = all
        .iter()
        .filter(|checked| checked.status == CaseStatus::Passed)
        .count();
    let rows: Vec<Vec<String>> = all.iter().map(Checked::row).collect();
    let table = markdown::table(&["case", "result", "max", "mean", "PSNR", "SSIM"], &rows);
    format!(
        "### dragnext check: {passed} of {} as expected\n\n{table}\n",
        all.len()
    )
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    v: u8,
    case: &'a str,
    status: CaseStatus,
    seconds: f64,
    #[serde(flatten)]
    numbers: Option<Numbers>,
    over: &'a [Excess],
    written: Vec<String>,
    warnings: &'a [Warning],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

impl<'a> From<&'a Checked> for Data<'a> {
    fn from(checked: &'a Checked) -> Self {
        Self {
            v: 1,
            case: &checked.name,
            status: checked.status,
            seconds: (checked.seconds * 1e3).round() / 1e3,
            numbers: checked.comparison.as_ref().map(Numbers::from),
            over: &checked.excesses,
            written: checked
                .written
                .iter()
                .map(|path: &PathBuf| path_text(path))
                .collect(),
            warnings: &checked.warnings,
            error: checked.failure.as_ref(),
        }
    }
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
