//! What a check found.

use std::collections::BTreeMap;
use std::mem;

use serde::{Deserialize, Serialize};

use crate::kernels::comparison::{Difference, Findings};
use crate::kernels::{Format, GraphFigures};

/// The most differences of an operation that a report keeps for each format. A wrong operation makes many, and must not hide the next.
const MAX_OF_OPERATION: usize = 3;

/// What a check found, by format.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The formats in the order of the check.
    pub formats: Vec<FormatReport>,
    /// How long the check took.
    pub seconds: f64,
    /// Graphs of repeated passes, if the device was requested to make any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphs: Option<GraphFigures>,
}

/// What a check found in one format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FormatReport {
    /// The format: `f32`, `f16` or `bf16`.
    pub format: String,
    /// Number of results that were compared.
    pub compared: usize,
    /// Number of results that differ.
    pub differing: usize,
    /// The largest share of its bound that the error of an operation reached, and that of a network; above 1 they differ.
    pub closest: [f64; 2],
    /// The first of those that differ, at most 3 of each operation, in the order of the check.
    pub differences: Vec<Difference>,
    /// How many more results of an operation differ, for those with more than 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<MoreDifferences>,
    /// Why the device does not have the format. Only bf16 may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
}

/// Differences of an operation that a report does not keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoreDifferences {
    /// The operation.
    pub operation: String,
    /// Number of results that differ, without those that are kept.
    pub count: usize,
}

/// An operation of which results differ.
#[derive(Debug, Clone, PartialEq)]
pub struct DifferingOperation<'a> {
    /// Its name.
    pub name: &'a str,
    /// The differences that the report keeps.
    pub kept: Vec<&'a Difference>,
    /// Number of those that it does not keep.
    pub more: usize,
}

impl CheckReport {
    /// Returns an empty report.
    pub(super) fn of(formats: impl Iterator<Item = Format>) -> Self {
        let formats = formats.map(|format| FormatReport {
            format: format.name().into(),
            compared: 0,
            differing: 0,
            closest: [0.0; 2],
            differences: Vec::new(),
            more: Vec::new(),
            unsupported: None,
        });
        Self {
            formats: formats.collect(),
            seconds: 0.0,
            graphs: None,
        }
    }

    /// Returns whether no result differs, in any format that the device has.
    pub fn passes(&self) -> bool {
        let has = |found: &&FormatReport| found.unsupported.is_none();
        self.formats.iter().filter(has).all(FormatReport::passes)
    }

    /// Returns whether a device may compute edits in this format. Their pictures are encoded and decoded in f32.
    pub fn passes_in(&self, format: Format) -> bool {
        let agrees = |format: Format| {
            let found = self.of_format(format);
            found.is_some_and(FormatReport::passes)
        };
        agrees(Format::F32) && agrees(format)
    }

    /// Returns what was found in a format; `None` if it was not checked.
    pub fn of_format(&self, format: Format) -> Option<&FormatReport> {
        self.formats
            .iter()
            .find(|found| found.format == format.name())
    }

    /// Returns the differences that were kept.
    pub fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.formats.iter().flat_map(|found| &found.differences)
    }

    /// Returns why the device is not used for edits in a format, in one line.
    pub fn summary(&self, format: Format) -> String {
        let needed = [Format::F32.name(), format.name()];
        let of_formats = || {
            let formats = self.formats.iter();
            formats.filter(|found| needed.contains(&&*found.format))
        };
        let first = of_formats().find_map(|found| found.differences.first());
        let count: usize = of_formats().map(|found| found.differing).sum();
        match (first, count) {
            (Some(first), 1) => first.to_string(),
            (Some(first), count) => format!("{first} (and {} more)", count - 1),
            (None, _) => of_formats()
                .find_map(|found| found.unsupported.clone())
                .unwrap_or_else(|| format!("{} was not checked", format.name())),
        }
    }

    /// Adds what comparisons of operations found.
    pub(super) fn add(&mut self, findings: Vec<Findings>) {
        for findings in findings {
            if let Some(found) = self.of_format_mut(findings.format) {
                found.unsupported = found.unsupported.take().or(findings.unsupported.clone());
                found.add_operations(findings, false);
            }
        }
    }

    /// As [`CheckReport::add`], with the differences before those that are there.
    pub(super) fn add_first(&mut self, findings: Vec<Findings>) {
        for findings in findings {
            if let Some(found) = self.of_format_mut(findings.format) {
                found.add_operations(findings, true);
            }
        }
    }

    /// Adds results of a network, of which some differ. `closest` is the largest share of the bound.
    pub(super) fn add_network(
        &mut self,
        format: Format,
        compared: usize,
        closest: f64,
        differences: Vec<Difference>,
    ) {
        if let Some(found) = self.of_format_mut(format) {
            found.compared += compared;
            found.closest[1] = found.closest[1].max(in_json(closest));
            found.insert(differences, false);
        }
    }

    fn of_format_mut(&mut self, format: Format) -> Option<&mut FormatReport> {
        self.formats
            .iter_mut()
            .find(|found| found.format == format.name())
    }
}

impl FormatReport {
    /// Returns whether the format was checked and no result differs.
    pub fn passes(&self) -> bool {
        self.differing == 0 && self.compared > 0 && self.unsupported.is_none()
    }

    fn add_operations(&mut self, findings: Findings, are_first: bool) {
        self.compared += findings.compared;
        let closest = findings.closest.map_or(0.0, |(share, _)| share);
        self.closest[0] = self.closest[0].max(in_json(closest));
        self.insert(findings.differences, are_first);
    }

    fn insert(&mut self, differences: Vec<Difference>, are_first: bool) {
        self.differing += differences.len();
        let at = if are_first { 0 } else { self.differences.len() };
        self.differences.splice(at..at, differences);
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        for difference in mem::take(&mut self.differences) {
            let of_operation = kept.entry(difference.operation.clone()).or_default();
            if *of_operation < MAX_OF_OPERATION {
                *of_operation += 1;
                self.differences.push(difference);
            } else {
                self.count_one_more(difference.operation);
            }
        }
    }

    fn count_one_more(&mut self, operation: String) {
        match self
            .more
            .iter_mut()
            .find(|more| more.operation == operation)
        {
            Some(more) => more.count += 1,
            None => self.more.push(MoreDifferences {
                operation,
                count: 1,
            }),
        }
    }

    /// Returns the operations that differ, in the order of the check.
    pub fn by_operation(&self) -> Vec<DifferingOperation<'_>> {
        let mut operations: Vec<DifferingOperation> = Vec::new();
        for difference in &self.differences {
            let name = &*difference.operation;
            if let Some(operation) = operations.iter_mut().find(|known| known.name == name) {
                operation.kept.push(difference);
                continue;
            }
            let more = self.more.iter().find(|more| more.operation == name);
            operations.push(DifferingOperation {
                name,
                kept: vec![difference],
                more: more.map_or(0, |more| more.count),
            });
        }
        operations
    }
}

/// Returns a share that JSON can hold.
fn in_json(share: f64) -> f64 {
    if share.is_finite() { share } else { f64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(operation: &str, shapes: std::ops::Range<usize>) -> Vec<Difference> {
        shapes
            .map(|shape| Difference {
                operation: operation.into(),
                shape: shape.to_string(),
                format: Format::F32.name().into(),
                error: Some(0.5),
                bound: 2e-5,
                reason: None,
            })
            .collect()
    }

    #[test]
    fn one_broken_operation_does_not_hide_the_next() {
        let mut report = CheckReport::of([Format::F32].into_iter());
        let all = [
            differences("convolution", 0..40),
            differences("layer norm", 0..2),
            differences("attention", 0..4),
        ];
        let found = report.of_format_mut(Format::F32).expect("it is checked");
        found.insert(all.concat(), false);
        // The shapes of Stable Diffusion come first, and no difference is counted twice.
        found.insert(differences("layer norm", 7..9), true);
        assert_eq!(found.differing, 48);
        let found = found.clone();
        let by_operation = found.by_operation();
        let shapes = by_operation.iter().map(|operation| {
            let kept: Vec<&str> = operation.kept.iter().map(|kept| &*kept.shape).collect();
            (operation.name, kept, operation.more)
        });
        let shapes: Vec<_> = shapes.collect();
        assert_eq!(
            shapes,
            [
                ("layer norm", vec!["7", "8", "0"], 1),
                ("convolution", vec!["0", "1", "2"], 37),
                ("attention", vec!["0", "1", "2"], 1),
            ]
        );
        let kept = found.differences.len();
        let more: usize = found.more.iter().map(|more| more.count).sum();
        assert_eq!(kept + more, found.differing);
        assert_eq!(
            report.summary(Format::F32),
            format!("{} (and 47 more)", found.differences[0])
        );
    }

    #[test]
    fn a_report_without_counts_is_read() {
        let mut report = CheckReport::of([Format::F32].into_iter());
        let found = report.of_format_mut(Format::F32).expect("it is checked");
        found.insert(differences("convolution", 0..2), false);
        let text = serde_json::to_string(&report).expect("it is text and numbers");
        assert!(!text.contains("more"), "{text}");
        let read: CheckReport = serde_json::from_str(&text).expect("it was written so");
        assert_eq!(read, report);
    }
}
