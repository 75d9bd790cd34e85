//! An evaluation as CSV (RFC 4180): a line for each figure of each edit, of each category, and of all edits.

use super::EvalReport;
use crate::eval::{EditRow, Outcome, Row, Summary};
use crate::metrics::Figure;

const HEAD: &str = "edits,level,name,category,figure,weights,status,n,samples,failed,undefined,mean,median,low,high\n";

/// Returns all lines with a header.
pub(super) fn csv(report: &EvalReport) -> String {
    let evaluation = report.evaluation;
    let mut text = HEAD.to_owned();
    for (side, edits) in evaluation.sides.names.iter().enumerate() {
        for row in &evaluation.rows {
            for (figure, outcome) in evaluation.figures.iter().zip(&row.edits[side].outcomes) {
                text += &edit_line(edits, row, &row.edits[side], figure, outcome);
            }
        }
        let categories = evaluation.categories().into_iter().map(Some);
        for category in categories.chain([None]) {
            let summaries = evaluation.summaries(category, side);
            for (figure, summary) in evaluation.figures.iter().zip(&summaries) {
                text += &summary_line(edits, category, figure, summary);
            }
        }
    }
    text
}

fn edit_line(edits: &str, row: &Row, edit: &EditRow, figure: &Figure, outcome: &Outcome) -> String {
    let (status, samples) = match (outcome, &edit.failure) {
        (Outcome::Measured(samples), _) => ("measured", samples.len()),
        (Outcome::Undefined(_), _) => ("undefined", 0),
        (Outcome::Failed(_), Some(failure)) => (failure.kind.name(), 0),
        (Outcome::Failed(_), None) => ("failed", 0),
    };
    let value = number(outcome.value());
    let count = |is: bool| u8::from(is).to_string();
    line(&[
        edits,
        "edit",
        &row.id,
        row.category.as_deref().unwrap_or_default(),
        &figure.name,
        figure.weights.as_deref().unwrap_or_default(),
        status,
        &count(matches!(outcome, Outcome::Measured(_))),
        &samples.to_string(),
        &count(matches!(outcome, Outcome::Failed(_))),
        &count(matches!(outcome, Outcome::Undefined(_))),
        &value,
        &value,
        "",
        "",
    ])
}

fn summary_line(edits: &str, category: Option<&str>, figure: &Figure, summary: &Summary) -> String {
    let [low, high] = [0, 1].map(|side| number(summary.interval.map(|ends| ends[side])));
    let [n, samples, failed, undefined] = [
        summary.n,
        summary.samples,
        summary.failed,
        summary.undefined,
    ]
    .map(|count| count.to_string());
    line(&[
        edits,
        if category.is_some() {
            "category"
        } else {
            "all"
        },
        category.unwrap_or("all"),
        category.unwrap_or_default(),
        &figure.name,
        figure.weights.as_deref().unwrap_or_default(),
        "",
        &n,
        &samples,
        &failed,
        &undefined,
        &number(summary.mean),
        &number(summary.median),
        &low,
        &high,
    ])
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn line(cells: &[&str]) -> String {
    let quoted = |cell: &&str| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            (*cell).to_owned()
        }
    };
    let cells: Vec<String> = cells.iter().map(quoted).collect();
    cells.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_needed() {
        assert_eq!(
            line(&["a,b", "c\"d", "e\nf", "g"]),
            "\"a,b\",\"c\"\"d\",\"e\nf\",g\n"
        );
        assert_eq!(number(None), "");
        assert_eq!(HEAD.matches(',').count(), 14);
    }
}
