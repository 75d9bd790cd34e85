//! What the results of one `dragnext edit` with a single method differ in.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::Arguments;
use crate::error::{Error, Result};
use crate::plan::{Amount, Degree};
use crate::report::Record;

/// The results of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Series {
    /// One.
    Single,
    /// One for each amount of the drag.
    Amounts(Vec<Amount>),
    /// One for each degree of what one drag optimised.
    Degrees(Vec<Degree>),
}

impl Series {
    /// Returns the series that the command line asks for.
    ///
    /// # Errors
    /// [`Error::Setting`] for numbers that are no series, and for `--degree` beside `--degrees`.
    pub(super) fn of(arguments: &Arguments) -> Result<Self> {
        let Arguments {
            amounts,
            degrees,
            settings,
            ..
        } = arguments;
        if !amounts.is_empty() {
            return Amount::series(amounts).map(Self::Amounts);
        }
        if degrees.is_empty() {
            return Ok(Self::Single);
        }
        // That of the environment holds for edits without a list.
        if let Some(degree) = settings.choice.values.get("degree")
            && !settings.environment.contains(&"degree")
        {
            return Err(Error::Setting {
                name: "degree".into(),
                value: degree.to_string(),
                reason: "is given beside `--degrees`, which has all degrees; leave one of them out"
                    .into(),
            });
        }
        Degree::series(degrees).map(Self::Degrees)
    }

    /// Returns the amounts; empty unless the results differ in them.
    pub(super) fn amounts(&self) -> &[Amount] {
        match self {
            Self::Amounts(amounts) => amounts,
            Self::Single | Self::Degrees(_) => &[],
        }
    }

    /// Returns the degrees; empty unless the results differ in them.
    pub(super) fn degrees(&self) -> &[Degree] {
        match self {
            Self::Degrees(degrees) => degrees,
            Self::Single | Self::Amounts(_) => &[],
        }
    }

    /// Returns what is written below each result in a row.
    pub(super) fn captions(&self) -> Vec<String> {
        match self {
            Self::Single => vec![String::new()],
            Self::Amounts(amounts) => amounts.iter().map(|at| format!("amount {at}")).collect(),
            Self::Degrees(degrees) => degrees.iter().map(|at| format!("degree {at}")).collect(),
        }
    }

    /// Returns the name of each result in a folder, such as `cat.0.50.png` or `cat.degree-0.50.png`; none for a single one.
    pub(super) fn file_names(&self, stem: &OsStr) -> Vec<PathBuf> {
        let named = |label: String| {
            let mut name = stem.to_owned();
            name.push(format!(".{label}.png"));
            name.into()
        };
        match self {
            Self::Single => Vec::new(),
            Self::Amounts(amounts) => amounts.iter().map(|at| named(at.to_string())).collect(),
            Self::Degrees(degrees) => {
                let label = |at: &Degree| named(format!("degree-{at}"));
                degrees.iter().map(label).collect()
            }
        }
    }

    /// Returns the record of each result, with what `begun` has.
    pub(super) fn records(&self, begun: &Record) -> Vec<Record> {
        let with = |amount, degree| Record {
            amount,
            degree,
            ..begun.clone()
        };
        match self {
            Self::Single => vec![begun.clone()],
            Self::Amounts(amounts) => amounts
                .iter()
                .map(|amount| with(Some(amount.value()), None))
                .collect(),
            Self::Degrees(degrees) => degrees
                .iter()
                .map(|degree| with(None, Some(degree.value())))
                .collect(),
        }
    }
}
