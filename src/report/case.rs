//! Prints how golden edits ended: as text, as JSON, and as annotations and a summary of a GitHub Actions job.

use serde::Serialize;

use super::comparison::{Numbers, cells};
use super::messages::{print_error_text, print_json, print_text, warn};
use super::{Failure, github, markdown};
use crate::error::Error;
use crate::escape;
use crate::golden::{CaseResult, CaseStatus};
use crate::metrics::Excess;
use crate::warning::Warning;

/// The output format of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseFormat {
    /// A line of text.
    Text,
    /// A line of JSON.
    Json,
}

/// Returns a case as one line of text.
fn line(result: &CaseResult) -> String {
    let status = match result.status {
        CaseStatus::Passed => "ok",
        CaseStatus::Failed => "FAILED",
        CaseStatus::Blessed => "blessed",
    };
    let numbers = result.difference().map(|difference| {
        let [max, mean, psnr, ssim] = cells(difference);
        format!("PSNR {psnr}, SSIM {ssim}, mean {mean}, max {max}")
    });
    let details = if result.status == CaseStatus::Passed {
        numbers.unwrap_or_default()
    } else {
        result.reason()
    };
    let line = format!(
        "{status:<8} {:<20} {:>7.1} s  {details}",
        escape::one_line(&result.name),
        result.seconds
    );
    escape::one_line(line.trim_end()) + "\n"
}

/// Returns a case as the cells of a table.
fn row(result: &CaseResult) -> Vec<String> {
    let status = match result.status {
        CaseStatus::Passed => "as expected".to_owned(),
        CaseStatus::Failed => result.reason(),
        CaseStatus::Blessed => format!("blessed: {}", result.reason()),
    };
    let numbers = result
        .difference()
        .map_or_else(|| ["-"; 4].map(str::to_owned), cells);
    [vec![result.name.clone(), status], numbers.to_vec()].concat()
}

/// Returns the annotation that GitHub shows beside the drag file.
fn annotation(result: &CaseResult) -> String {
    let place = result
        .error
        .as_ref()
        .and_then(|error| Failure::from(error).place)
        .map(|place| [place.line, place.column]);
    let written: Vec<String> = result
        .written
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let written = if written.is_empty() {
        String::new()
    } else {
        format!("\nwrote {}", written.join(", "))
    };
    let title = format!("dragnext check: {}", result.name);
    let message = result.reason() + &written;
    github::annotation(Some((&result.drag, place)), &title, &message)
}

/// Prints how a case ended to stdout. In a GitHub Actions job, a case that did not pass is annotated as well.
///
/// # Errors
/// As [`print_text`].
pub fn print_case(result: &CaseResult, format: CaseFormat) -> Result<(), Error> {
    let annotation = if github::is_here() && result.status != CaseStatus::Passed {
        annotation(result)
    } else {
        String::new()
    };
    match format {
        CaseFormat::Text => print_text(&(line(result) + &annotation)),
        CaseFormat::Json => {
            // GitHub reads annotations from stderr too, so stdout has only JSON.
            print_error_text(&annotation);
            print_json(&Data::from(result))
        }
    }
}

/// Appends a table of all cases to the summary of a GitHub Actions job.
pub fn summarise_cases(results: &[CaseResult]) {
    if !github::is_here() || results.is_empty() {
        return;
    }
    if let Err((path, error)) = github::summarise(&page(results)) {
        warn(&format!(
            "{}: cannot write the summary: {error}",
            path.display()
        ));
    }
}

fn page(results: &[CaseResult]) -> String {
    let passed = results
        .iter()
        .filter(|result| result.status == CaseStatus::Passed)
        .count();
    let rows: Vec<Vec<String>> = results.iter().map(row).collect();
    let table = markdown::table(&["case", "result", "max", "mean", "PSNR", "SSIM"], &rows);
    format!(
        "### dragnext check: {passed} of {} as expected\n\n{table}\n",
        results.len()
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
    error: Option<Failure>,
}

impl<'a> From<&'a CaseResult> for Data<'a> {
    fn from(result: &'a CaseResult) -> Self {
        Self {
            v: 1,
            case: &result.name,
            status: result.status,
            seconds: (result.seconds * 1e3).round() / 1e3,
            numbers: result.comparison.as_ref().map(Numbers::from),
            over: &result.excesses,
            written: result
                .written
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect(),
            warnings: &result.warnings,
            error: result.error.as_ref().map(Failure::from),
        }
    }
}
