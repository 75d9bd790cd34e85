//! The tables of an evaluation.

use super::EvalReport;
use crate::eval::{Comparison, EditRow, Evaluation, Row, Summary};
use crate::metrics::{Better, Figure, MeanOver};
use crate::report::table::Table;

/// Number of edits that are listed unless all are.
const WORST: usize = 10;
/// Figures beside each other in a table of edits.
const FIGURES_ACROSS: usize = 8;

/// Returns the tables of a report: the figures, their means by category, the comparison, and the edits.
pub(super) fn tables(report: &EvalReport) -> Vec<Table> {
    let evaluation = report.evaluation;
    let mut tables = vec![figures(evaluation, report.edits.clone(), 0)];
    if let Some(other) = &report.other {
        tables.push(figures(evaluation, other.clone(), 1));
    }
    if !evaluation.categories().is_empty() {
        tables.push(categories(evaluation));
    }
    if let Some(other) = &report.other {
        tables.push(comparison(evaluation, &report.edits, other));
    }
    if report.each {
        tables.extend(edits(evaluation, &report.sort));
    } else {
        tables.push(worst(evaluation, &report.sort));
    }
    tables
}

/// Returns what explains the tables: the meaning of each figure with its weights, failures, and what was not measured.
pub(super) fn notes(report: &EvalReport) -> Vec<String> {
    let evaluation = report.evaluation;
    let mut notes: Vec<String> = evaluation
        .figures
        .iter()
        .map(|figure| {
            let weights = figure.weights.as_ref().map_or(String::new(), |sha256| {
                format!("; weights {}", &sha256[..sha256.len().min(12)])
            });
            let pooled = match figure.mean_over {
                MeanOver::Edits => "",
                MeanOver::Samples => "; mean over all points, not over edits",
            };
            format!(
                "{}: {}; {} is better{pooled}{weights}",
                figure.name,
                figure.meaning,
                word(figure.better)
            )
        })
        .collect();
    notes.push(format!(
        "interval: 95 % of the mean, percentile bootstrap over edits, seed {}; a failed edit is in no mean, worst in the median, and loses its pair",
        evaluation.seed
    ));
    let resized = evaluation.rows.iter().flat_map(|row| &row.edits);
    let resized = resized.filter(|edit| edit.resized_from.is_some()).count();
    if resized > 0 {
        notes.push(format!(
            "{resized} edits had another size and were resized to their originals', bilinear"
        ));
    }
    if let Some(judge) = &report.judge {
        notes.push(format!("GScore: judged by `{judge}`"));
    }
    notes.extend(report.unavailable.iter().map(|missing| {
        format!(
            "not measured: {}: {}; {}",
            missing.figures.join(", "),
            missing.reason,
            missing.hint
        )
    }));
    notes
}

fn word(better: Better) -> &'static str {
    match better {
        Better::Higher => "higher",
        Better::Lower => "lower",
    }
}

fn row(cells: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    cells.into_iter().map(Into::into).collect()
}

fn number(figure: &Figure, value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.*}", figure.digits))
}

fn interval(figure: &Figure, interval: Option<[f64; 2]>) -> String {
    interval.map_or("-".into(), |[low, high]| {
        format!("{low:.*} to {high:.*}", figure.digits, figure.digits)
    })
}

fn title(evaluation: &Evaluation, name: &str, edit: usize) -> String {
    let (count, failed) = (evaluation.rows.len(), evaluation.failures(edit));
    let edits = if count == 1 { "edit" } else { "edits" };
    match failed {
        0 => format!("{name}: {count} {edits}"),
        _ => format!("{name}: {count} {edits}, {failed} failed"),
    }
}

fn figures(evaluation: &Evaluation, name: String, edit: usize) -> Table {
    let summaries = evaluation.summaries(None, edit);
    let line = |(figure, summary): (&Figure, &Summary)| {
        let mut count = summary.n.to_string();
        for (further, word) in [(summary.failed, "failed"), (summary.undefined, "undefined")] {
            if further > 0 {
                count += &format!(", {further} {word}");
            }
        }
        row([
            figure.name.clone(),
            count,
            number(figure, summary.mean),
            number(figure, summary.median),
            interval(figure, summary.interval),
            word(figure.better).into(),
        ])
    };
    Table {
        title: title(evaluation, &name, edit),
        head: row(["figure", "edits", "mean", "median", "interval", "better"]),
        rows: evaluation
            .figures
            .iter()
            .zip(&summaries)
            .map(line)
            .collect(),
    }
}

fn categories(evaluation: &Evaluation) -> Table {
    let categories = evaluation.categories();
    let columns: Vec<(String, Vec<Summary>)> = categories
        .iter()
        .map(|category| {
            let summaries = evaluation.summaries(Some(category), 0);
            ((*category).to_owned(), summaries)
        })
        .chain([("all".to_owned(), evaluation.summaries(None, 0))])
        .collect();
    let rows = evaluation
        .figures
        .iter()
        .enumerate()
        .map(|(index, figure)| {
            let means = columns.iter().map(|(_, summaries)| {
                let Summary { mean, failed, .. } = &summaries[index];
                let mean = number(figure, *mean);
                match failed {
                    0 => mean,
                    _ => format!("{mean} ({failed} failed)"),
                }
            });
            std::iter::once(figure.name.clone()).chain(means).collect()
        });
    let rows = rows.collect();
    let names = columns.into_iter().map(|(name, _)| name);
    Table {
        title: "means by category".into(),
        head: std::iter::once("figure".to_owned()).chain(names).collect(),
        rows,
    }
}

fn comparison(evaluation: &Evaluation, name: &str, other: &str) -> Table {
    let compared = evaluation.comparisons(None);
    let line = |(figure, compared): (&Figure, &Comparison)| {
        let p = if compared.p < 0.001 {
            format!("{:.1e}", compared.p)
        } else {
            format!("{:.3}", compared.p)
        };
        row([
            figure.name.clone(),
            compared.n.to_string(),
            number(figure, compared.mean_difference),
            interval(figure, compared.interval),
            compared.wins.to_string(),
            compared.losses.to_string(),
            compared.ties.to_string(),
            p,
        ])
    };
    Table {
        title: format!("{name} minus {other}, by pairs"),
        head: row([
            "figure",
            "pairs",
            "difference",
            "interval",
            "better",
            "worse",
            "equal",
            "p (sign test)",
        ]),
        rows: evaluation.figures.iter().zip(&compared).map(line).collect(),
    }
}

/// Returns an edit's name, its category and why it failed.
fn names(row: &Row) -> [String; 2] {
    let failure = row.edits[0].failure.as_ref();
    [
        row.id.clone(),
        failure.map_or(String::new(), |failure| failure.kind.name().to_owned()),
    ]
}

fn worst(evaluation: &Evaluation, sort: &str) -> Table {
    let Some((index, figure)) = position(evaluation, sort) else {
        return Table::default();
    };
    let rows = evaluation.worst_first(sort).into_iter().take(WORST);
    let rows = rows.map(|edit| {
        let [id, failure] = names(edit);
        let value = number(figure, edit.edits[0].outcomes[index].value());
        row([
            id,
            edit.category.clone().unwrap_or_else(|| "-".into()),
            if failure.is_empty() { value } else { failure },
        ])
    });
    Table {
        title: format!("worst edits by {sort}; --each lists all"),
        head: row(["edit", "category", &figure.name]),
        rows: rows.collect(),
    }
}

fn position<'a>(evaluation: &'a Evaluation, name: &str) -> Option<(usize, &'a Figure)> {
    let mut figures = evaluation.figures.iter().enumerate();
    figures.find(|(_, figure)| figure.name == name)
}

/// Returns all edits, worst first, in tables of some figures each.
fn edits(evaluation: &Evaluation, sort: &str) -> Vec<Table> {
    let rows = evaluation.worst_first(sort);
    let indices: Vec<usize> = (0..evaluation.figures.len()).collect();
    let table = |indices: &[usize]| {
        let figures = indices.iter().map(|index| &evaluation.figures[*index]);
        let line = |edit: &&Row| {
            let EditRow {
                outcomes, failure, ..
            } = &edit.edits[0];
            let cells = indices.iter().map(|index| match failure {
                Some(failure) => failure.kind.name().to_owned(),
                None => number(&evaluation.figures[*index], outcomes[*index].value()),
            });
            std::iter::once(edit.id.clone()).chain(cells).collect()
        };
        Table {
            title: format!("edits, worst first by {sort}"),
            head: std::iter::once("edit".to_owned())
                .chain(figures.map(|figure| figure.name.clone()))
                .collect(),
            rows: rows.iter().map(line).collect(),
        }
    };
    indices.chunks(FIGURES_ACROSS).map(table).collect()
}
