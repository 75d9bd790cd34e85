//! An evaluation as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{EvalReport, Unavailable};
use crate::eval::{EditRow, Evaluation, Outcome};
use crate::metrics::Figure;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    v: u8,
    edits: &'a str,
    /// What the edits, or those of each method, are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<&'a str>,
    items: usize,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<&'a str>,
    figures: &'a [Figure],
    unavailable: &'a [Unavailable],
    #[serde(flatten)]
    measured: Measured<'a>,
}

/// The edits, or those of each method.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Measured<'a> {
    Edits(Side<'a>),
    Methods {
        methods: BTreeMap<&'a str, Side<'a>>,
    },
}

/// The edits of one side.
#[derive(Debug, Serialize)]
struct Side<'a> {
    failed: usize,
    all: Map<String, Value>,
    categories: BTreeMap<&'a str, Map<String, Value>>,
    results: Vec<Value>,
}

pub(super) fn data<'a>(report: &'a EvalReport<'a>) -> Data<'a> {
    let evaluation = report.evaluation;
    let sides = &evaluation.sides;
    let measured = if sides.are_methods() {
        let methods = sides.names.iter().take(sides.methods).enumerate();
        Measured::Methods {
            methods: methods
                .map(|(index, name)| (name.as_str(), side(evaluation, index)))
                .collect(),
        }
    } else {
        Measured::Edits(side(evaluation, 0))
    };
    Data {
        v: 1,
        edits: &report.edits,
        other: sides.reference.map(|other| sides.names[other].as_str()),
        items: evaluation.rows.len(),
        seed: evaluation.seed,
        judge: report.judge.as_deref(),
        figures: &evaluation.figures,
        unavailable: report.unavailable,
        measured,
    }
}

fn side(evaluation: &Evaluation, side: usize) -> Side<'_> {
    let other = evaluation.sides.reference.filter(|other| *other != side);
    let results = evaluation.rows.iter().map(|row| {
        let mut result = edit(evaluation, &row.edits[side]);
        result.insert("id".into(), json!(row.id));
        result.insert("category".into(), json!(row.category));
        result.insert("image".into(), json!(row.image));
        if let Some(other) = other {
            let other = edit(evaluation, &row.edits[other]);
            result.insert("other".into(), Value::Object(other));
        }
        Value::Object(result)
    });
    let categories = evaluation.categories().into_iter();
    Side {
        failed: evaluation.failures(side).count(),
        all: group(evaluation, None, side),
        categories: categories
            .map(|category| (category, group(evaluation, Some(category), side)))
            .collect(),
        results: results.collect(),
    }
}

/// Returns the summaries of a side over a category, or over everything, by the figures' names.
fn group(evaluation: &Evaluation, category: Option<&str>, side: usize) -> Map<String, Value> {
    let this = evaluation.summaries(category, side);
    let others = evaluation
        .sides
        .reference
        .map(|other| evaluation.summaries(category, other));
    let pair = others.zip(evaluation.comparisons(category, side));
    let entry = |(index, figure): (usize, &Figure)| {
        let mut entry = json!(this[index]);
        if let (Some((others, comparisons)), Value::Object(entry)) = (&pair, &mut entry) {
            entry.insert("other".into(), json!(others[index]));
            entry.insert("comparison".into(), json!(comparisons[index]));
        }
        (figure.name.clone(), entry)
    };
    evaluation.figures.iter().enumerate().map(entry).collect()
}

fn edit(evaluation: &Evaluation, edit: &EditRow) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("edit".into(), json!(edit.path));
    let status = if edit.failure.is_some() {
        "failed"
    } else {
        "measured"
    };
    map.insert("status".into(), json!(status));
    if let Some(failure) = &edit.failure {
        let failure = json!({"kind": failure.kind, "message": failure.message});
        map.insert("error".into(), failure);
        return map;
    }
    if let Some(size) = edit.resized_from {
        map.insert("resized_from".into(), json!([size.width, size.height]));
    }
    let (mut values, mut samples, mut reasons) = (Map::new(), Map::new(), Map::new());
    for (figure, outcome) in evaluation.figures.iter().zip(&edit.outcomes) {
        values.insert(figure.name.clone(), json!(outcome.value()));
        match outcome {
            Outcome::Measured(all) if all.len() > 1 => {
                samples.insert(figure.name.clone(), json!(all));
            }
            Outcome::Measured(_) => {}
            Outcome::Undefined(reason) | Outcome::Failed(reason) => {
                reasons.insert(figure.name.clone(), json!(reason));
            }
        }
    }
    map.insert("figures".into(), Value::Object(values));
    for (key, entries) in [("samples", samples), ("reasons", reasons)] {
        if !entries.is_empty() {
            map.insert(key.into(), Value::Object(entries));
        }
    }
    map
}
