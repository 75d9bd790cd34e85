//! The tables of an evaluation.

use std::fmt::Write;

use super::EvalReport;
use crate::eval::{Comparison, EditRow, Evaluation, Row, Summary};
use crate::metrics::{Better, Figure, MeanOver};
use crate::report::table::Table;

/// Number of edits that are listed unless all are.
const WORST: usize = 10;
/// Figures beside each other in a table of edits.
const FIGURES_ACROSS: usize = 8;

/// Returns the tables of a report: the figures of each side, several sides beside each other, the means by category, the comparisons, and the edits.
pub(super) fn tables(report: &EvalReport) -> Vec<Table> {
    let evaluation = report.evaluation;
    let shown = shown(evaluation);
    let sides = &evaluation.sides;
    let mut tables = Vec::new();
    if sides.are_methods() && sides.names.len() > 1 {
        tables.push(beside_each_other(evaluation, &shown));
    }
    tables.extend(sides.all().map(|side| figures(evaluation, &shown, side)));
    if !evaluation.categories().is_empty() {
        tables.extend(sides.all().map(|side| categories(evaluation, &shown, side)));
    }
    tables.extend(
        sides
            .judged()
            .filter_map(|side| comparison(evaluation, &shown, side)),
    );
    for side in sides.judged() {
        if report.each {
            tables.extend(edits(evaluation, &shown, &report.sort, side));
        } else {
            tables.push(worst(evaluation, &report.sort, side));
        }
    }
    tables.extend(
        sides
            .reference
            .and_then(|side| failures(evaluation, side, report.each)),
    );
    tables
}

/// Returns the positions of the figures that tables show: a figure `X/n` that equals `X` for every edit, because every drag has one point, would
/// repeat it.
fn shown(evaluation: &Evaluation) -> Vec<usize> {
    let repeats = |index: usize| {
        let name = &evaluation.figures[index].name;
        let original = name.strip_suffix("/n").and_then(|original| {
            let mut figures = evaluation.figures.iter();
            figures.position(|figure| figure.name == original)
        });
        original.is_some_and(|original| {
            let mut edits = evaluation.rows.iter().flat_map(|row| &row.edits);
            edits.all(|edit| edit.outcomes[index] == edit.outcomes[original])
        })
    };
    let all = 0..evaluation.figures.len();
    all.filter(|index| !repeats(*index)).collect()
}

/// Returns what explains the tables: the meaning of each figure with its weights, failures, and what was not measured.
pub(super) fn notes(report: &EvalReport) -> Vec<String> {
    let evaluation = report.evaluation;
    let shown = shown(evaluation);
    let mut notes = meanings(shown.iter().map(|index| &evaluation.figures[*index]));
    if shown.len() < evaluation.figures.len() {
        notes.push("figures that are divided by the number of points once more (/n) are left out: every drag has one point".into());
    }
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

/// Returns a line for each meaning, with the figures that share it.
fn meanings<'a>(figures: impl Iterator<Item = &'a Figure>) -> Vec<String> {
    let mut groups: Vec<(&Figure, Vec<&str>)> = Vec::new();
    for figure in figures {
        let is_alike = |other: &Figure| {
            let of = |figure: &Figure| (figure.meaning, figure.better, figure.mean_over);
            of(other) == of(figure) && other.weights == figure.weights
        };
        match groups.iter_mut().find(|(first, _)| is_alike(first)) {
            Some((_, names)) => names.push(&figure.name),
            None => groups.push((figure, vec![&figure.name])),
        }
    }
    let line = |(figure, names): (&Figure, Vec<&str>)| {
        let weights = figure.weights.as_ref().map_or(String::new(), |sha256| {
            format!("; weights {}", &sha256[..sha256.len().min(12)])
        });
        let pooled = match figure.mean_over {
            MeanOver::Edits => "",
            MeanOver::Samples => "; mean over all points, not over edits",
        };
        let better = word(figure.better);
        format!(
            "{}: {}; {better} is better{pooled}{weights}",
            names.join(", "),
            figure.meaning
        )
    };
    groups.into_iter().map(line).collect()
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

fn title(evaluation: &Evaluation, side: usize) -> String {
    let name = &evaluation.sides.names[side];
    let (count, failed) = (evaluation.rows.len(), evaluation.failures(side).count());
    let edits = if count == 1 { "edit" } else { "edits" };
    match failed {
        0 => format!("{name}: {count} {edits}"),
        _ => format!("{name}: {count} {edits}, {failed} failed"),
    }
}

fn figures(evaluation: &Evaluation, shown: &[usize], side: usize) -> Table {
    let summaries = evaluation.summaries(None, side);
    let line = |index: &usize| {
        let (figure, summary) = (&evaluation.figures[*index], &summaries[*index]);
        let mut count = summary.n.to_string();
        for (further, word) in [(summary.failed, "failed"), (summary.undefined, "undefined")] {
            if further > 0 {
                let _ = write!(count, ", {further} {word}");
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
        title: title(evaluation, side),
        head: row(["figure", "edits", "mean", "median", "interval", "better"]),
        rows: shown.iter().map(line).collect(),
    }
}

/// Returns means in columns, each with the number of failed edits.
fn columns(
    evaluation: &Evaluation,
    shown: &[usize],
    title: String,
    columns: &[(&str, Vec<Summary>)],
) -> Table {
    let line = |index: &usize| {
        let figure = &evaluation.figures[*index];
        let means = columns.iter().map(|(_, summaries)| {
            let Summary { mean, failed, .. } = &summaries[*index];
            let mean = number(figure, *mean);
            match failed {
                0 => mean,
                _ => format!("{mean} ({failed} failed)"),
            }
        });
        std::iter::once(figure.name.clone()).chain(means).collect()
    };
    Table {
        title,
        head: std::iter::once("figure")
            .chain(columns.iter().map(|(name, _)| *name))
            .map(str::to_owned)
            .collect(),
        rows: shown.iter().map(line).collect(),
    }
}

fn beside_each_other(evaluation: &Evaluation, shown: &[usize]) -> Table {
    let names = evaluation.sides.names.iter().enumerate();
    let sides = names.map(|(side, name)| (name.as_str(), evaluation.summaries(None, side)));
    let sides: Vec<(&str, Vec<Summary>)> = sides.collect();
    columns(evaluation, shown, "means".into(), &sides)
}

fn categories(evaluation: &Evaluation, shown: &[usize], side: usize) -> Table {
    let categories = evaluation.categories().into_iter();
    let groups = categories
        .map(|category| (category, evaluation.summaries(Some(category), side)))
        .chain([("all", evaluation.summaries(None, side))]);
    let title = format!("{}: means by category", evaluation.sides.names[side]);
    let groups: Vec<(&str, Vec<Summary>)> = groups.collect();
    columns(evaluation, shown, title, &groups)
}

/// Returns the comparison of a side with the reference; `None` without one.
fn comparison(evaluation: &Evaluation, shown: &[usize], side: usize) -> Option<Table> {
    let sides = &evaluation.sides;
    let other = &sides.names[sides.reference?];
    let compared = evaluation.comparisons(None, side)?;
    let line = |index: &usize| {
        let (figure, compared): (&Figure, &Comparison) =
            (&evaluation.figures[*index], &compared[*index]);
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
    Some(Table {
        title: format!("{} minus {other}, by pairs", sides.names[side]),
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
        rows: shown.iter().map(line).collect(),
    })
}

/// Returns what precedes a title where tables of several sides follow each other.
fn prefix(evaluation: &Evaluation, side: usize) -> String {
    let sides = &evaluation.sides;
    if sides.judged().count() > 1 {
        format!("{}: ", sides.names[side])
    } else {
        String::new()
    }
}

fn worst(evaluation: &Evaluation, sort: &str, side: usize) -> Table {
    let figures = evaluation.figures.iter().enumerate();
    let Some((index, figure)) = figures.into_iter().find(|(_, figure)| figure.name == sort) else {
        return Table::default();
    };
    let rows = evaluation.worst_first(sort, std::iter::once(side));
    let line = |(side, item): (usize, &Row)| {
        let edit = &item.edits[side];
        let value = number(figure, edit.outcomes[index].value());
        let failure = edit.failure.as_ref();
        row([
            item.id.clone(),
            item.category.clone().unwrap_or_else(|| "-".into()),
            failure.map_or(value, |failure| failure.kind.name().to_owned()),
        ])
    };
    let prefix = prefix(evaluation, side);
    Table {
        title: format!("{prefix}worst edits by {sort} (--each lists all)"),
        head: row(["edit", "category", &figure.name]),
        rows: rows.into_iter().take(WORST).map(line).collect(),
    }
}

/// Returns all edits of a side, worst first, in tables of some figures each.
fn edits(evaluation: &Evaluation, shown: &[usize], sort: &str, side: usize) -> Vec<Table> {
    let rows = evaluation.worst_first(sort, std::iter::once(side));
    let table = |indices: &[usize]| {
        let figures = indices.iter().map(|index| &evaluation.figures[*index]);
        let line = |(side, item): &(usize, &Row)| {
            let EditRow {
                outcomes, failure, ..
            } = &item.edits[*side];
            let cells = indices.iter().map(|index| match failure {
                Some(failure) => failure.kind.name().to_owned(),
                None => number(&evaluation.figures[*index], outcomes[*index].value()),
            });
            std::iter::once(item.id.clone()).chain(cells).collect()
        };
        let prefix = prefix(evaluation, side);
        Table {
            title: format!("{prefix}edits, worst first by {sort}"),
            head: std::iter::once("edit".to_owned())
                .chain(figures.map(|figure| figure.name.clone()))
                .collect(),
            rows: rows.iter().map(line).collect(),
        }
    };
    shown.chunks(FIGURES_ACROSS).map(table).collect()
}

/// Returns the failed edits of the reference, which no other table names; `None` without any.
fn failures(evaluation: &Evaluation, side: usize, each: bool) -> Option<Table> {
    let failed: Vec<&Row> = evaluation.failures(side).collect();
    let most = if each { failed.len() } else { WORST };
    let line = |item: &&Row| {
        let edit = &item.edits[side];
        let kind = edit.failure.as_ref();
        row([
            item.id.as_str(),
            kind.map_or("not measured", |failure| failure.kind.name()),
            edit.reason().unwrap_or_default(),
        ])
    };
    let more = if failed.len() > most {
        format!(", {most} of {} (--each lists all)", failed.len())
    } else {
        String::new()
    };
    (!failed.is_empty()).then(|| Table {
        title: format!("{}: failed edits{more}", evaluation.sides.names[side]),
        head: row(["edit", "failure", "reason"]),
        rows: failed.iter().take(most).map(line).collect(),
    })
}
