//! Measures the edits one by one.

use std::path::{Path, PathBuf};

use super::{Edit, EditFailure, EditRow, Evaluation, Item, Items, Outcome, Row};
use crate::drag_file::DragFile;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::interrupt::Interrupt;
use crate::kernels::fault;
use crate::metrics::{Case, Figure, Metric, Reading, bilinear};
use crate::picture::{self, Picture};
use crate::plan::{self, Areas};

/// Largest relative difference of two aspect ratios that rounding the sides of a resized picture explains, with one pixel.
const ASPECT: f64 = 0.02;

/// Hears of each item that was measured.
pub(crate) trait EvalProgress {
    /// Called after `done` of `all` items.
    fn measured(&mut self, done: usize, all: usize);

    /// Called for each reason why figures of an item's edits, which themselves are there, could not be measured.
    fn not_measured(&mut self, id: &str, figures: &[&str], reason: &str);
}

/// An item's input.
struct Input {
    original: Picture,
    drag: DragFile,
    areas: Areas,
}

/// Measures every edit of every item with every metric.
///
/// # Errors
/// [`Error::Interrupted`], and [`Error::Device`] of a metric, except for a lack of memory. Whatever is wrong with an item or an edit becomes its failure.
pub(crate) fn evaluate(
    items: Items,
    metrics: &mut [Box<dyn Metric>],
    seed: u64,
    progress: &mut dyn EvalProgress,
    interrupt: &Interrupt,
) -> Result<Evaluation> {
    let figures: Vec<_> = metrics
        .iter()
        .flat_map(|metric| metric.figures().to_vec())
        .collect();
    let (all, sides) = (items.items.len(), items.sides);
    let mut rows = Vec::with_capacity(all);
    for (index, item) in items.items.into_iter().enumerate() {
        interrupt.check()?;
        let row = row(item, figures.len(), metrics, interrupt)?;
        report_failures(&row, &figures, progress);
        rows.push(row);
        progress.measured(index + 1, all);
    }
    Ok(Evaluation {
        figures,
        rows,
        sides,
        seed,
    })
}

/// Reports the figures of edits that could be read and not measured. Sides that share a reason, as those of a judge, are reported once.
fn report_failures(row: &Row, figures: &[Figure], progress: &mut dyn EvalProgress) {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    let readable = row.edits.iter().filter(|edit| edit.failure.is_none());
    for (outcome, figure) in readable.flat_map(|edit| edit.outcomes.iter().zip(figures)) {
        let Outcome::Failed(reason) = outcome else {
            continue;
        };
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, names)) if names.contains(&&*figure.name) => {}
            Some((_, names)) => names.push(&figure.name),
            None => reasons.push((reason, vec![&figure.name])),
        }
    }
    for (reason, figures) in reasons {
        progress.not_measured(&row.id, &figures, reason);
    }
}

fn row(
    item: Item,
    figures: usize,
    metrics: &mut [Box<dyn Metric>],
    interrupt: &Interrupt,
) -> Result<Row> {
    let failed_row = |path: Option<PathBuf>, failure: EditFailure| EditRow {
        path,
        resized_from: None,
        outcomes: vec![Outcome::Failed(failure.message.clone()); figures],
        failure: Some(failure),
    };
    let input = if item.edits.iter().any(|edit| matches!(edit, Edit::File(_))) {
        read_input(&item).map_err(|error| EditFailure::from(&error))
    } else {
        // Nothing can be measured; the edits have their own failures.
        Err(EditFailure {
            kind: crate::error::RecordedKind::Known(ErrorKind::ImageMissing),
            message: "no edit".into(),
        })
    };
    let paths: Vec<PathBuf> = item
        .edits
        .iter()
        .map(|edit| match edit {
            Edit::File(path) => path.clone(),
            Edit::Failed(_) => PathBuf::new(),
        })
        .collect();
    let mut edits = Vec::new();
    for (index, edit) in item.edits.iter().enumerate() {
        edits.push(match (edit, &input) {
            (Edit::Failed(failure), _) => failed_row(None, failure.clone()),
            (Edit::File(path), Err(failure)) => failed_row(Some(path.clone()), failure.clone()),
            (Edit::File(path), Ok(input)) => match read_edit(path, input.original.size()) {
                Err(error) => failed_row(Some(path.clone()), EditFailure::from(&error)),
                Ok((edited, resized_from)) => {
                    let case = Case {
                        id: &item.id,
                        original: &input.original,
                        edited: &edited,
                        original_path: &item.image,
                        edited_paths: &paths,
                        edit: index,
                        drag: &input.drag,
                        areas: &input.areas,
                    };
                    EditRow {
                        path: Some(path.clone()),
                        failure: None,
                        resized_from,
                        outcomes: outcomes(&case, metrics, interrupt)?,
                    }
                }
            },
        });
    }
    Ok(Row {
        id: item.id,
        category: item.category,
        image: item.image,
        edits,
    })
}

/// Reads the original and the drag.
fn read_input(item: &Item) -> Result<Input> {
    let original = picture::read_any(&item.image)?.picture;
    let drag = DragFile::read(&item.drag)?;
    let areas = plan::areas(&drag, original.size())?;
    Ok(Input {
        original,
        drag,
        areas,
    })
}

/// Reads an edit. One of another size is resized to the original's, as DragDiffusion's script does; its size is returned beside it.
fn read_edit(path: &Path, size: Size) -> Result<(Picture, Option<Size>)> {
    let edited = picture::read_any(path)?.picture;
    let found = edited.size();
    if found == size {
        return Ok((edited, None));
    }
    let fits = |a: Size, b: Size| {
        let expected = a.width as f64 * b.height as f64 / a.height as f64;
        (expected - b.width as f64).abs() <= 1.0 + ASPECT * expected
    };
    if !fits(size, found) {
        return Err(Error::Image {
            path: path.to_path_buf(),
            kind: ErrorKind::ImageSize,
            reason: format!("is {found} pixels, but its original is {size}"),
            hint: "an edit has the shape of its original".into(),
        });
    }
    Ok((bilinear(&edited, size), Some(found)))
}

/// Measures an edit with every metric.
fn outcomes(
    case: &Case,
    metrics: &mut [Box<dyn Metric>],
    interrupt: &Interrupt,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for metric in metrics {
        let count = metric.figures().len();
        match fault::catch(|| metric.measure(case, interrupt)) {
            Ok(readings) => outcomes.extend(readings.into_iter().map(outcome)),
            // A picture that is too large for the device says nothing about the next one.
            Err(error @ Error::Device { .. }) if error.kind() != ErrorKind::ComputeOutOfMemory => {
                return Err(error);
            }
            Err(error @ Error::Interrupted { .. }) => return Err(error),
            Err(error) => outcomes.extend(vec![Outcome::Failed(error.to_string()); count]),
        }
    }
    Ok(outcomes)
}

fn outcome(reading: Reading) -> Outcome {
    let samples = match reading {
        Reading::Undefined(reason) => return Outcome::Undefined(reason),
        Reading::Value(value) => vec![value],
        Reading::Samples(samples) => samples,
    };
    if samples.is_empty() {
        Outcome::Undefined("nothing was measured".into())
    } else if samples.iter().all(|sample| sample.is_finite()) {
        Outcome::Measured(samples)
    } else {
        Outcome::Failed("the value is not finite".into())
    }
}
