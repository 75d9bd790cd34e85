//! What a check found.

use serde::{Deserialize, Serialize};

use crate::kernels::Format;
use crate::kernels::comparison::{Difference, Findings};

/// The most differences that a report keeps for each format. One wrong operation makes many.
const MAX_DIFFERENCES: usize = 20;

/// What a check found, by format.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The formats in the order of the check.
    pub formats: Vec<FormatReport>,
    /// How long the check took.
    pub seconds: f64,
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
    /// The first of those that differ, at most 20, in the order of the check.
    pub differences: Vec<Difference>,
    /// Why the device does not have the format. Only bf16 may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
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
            unsupported: None,
        });
        Self {
            formats: formats.collect(),
            seconds: 0.0,
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
        self.differences.truncate(MAX_DIFFERENCES);
    }
}

/// Returns a share that JSON can hold.
fn in_json(share: f64) -> f64 {
    if share.is_finite() { share } else { f64::MAX }
}
