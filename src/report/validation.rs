//! The result of `validate` for one drag file.

use std::path::Path;

use serde::Serialize;

use super::{Failure, RegionMotion};
use crate::error::Error;
use crate::warning::Warning;

/// The result of checking one drag file.
#[derive(Debug, Serialize)]
pub struct Validation {
    /// Version of this format.
    pub v: u8,
    /// The drag file, as given.
    pub file: String,
    /// Whether an edit can use it.
    pub status: ValidationStatus,
    /// Number of regions, if the file could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Width and height at which the network would see the picture, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working: Option<[usize; 2]>,
    /// How far each region would move, if a picture was given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionMotion>,
    /// All faults.
    pub faults: Vec<Failure>,
    /// All warnings.
    pub warnings: Vec<Warning>,
}

/// Whether an edit can use a drag file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidationStatus {
    /// It can.
    Ok,
    /// It cannot; see `faults`.
    Wrong,
}

impl Validation {
    /// Returns the result for a file without faults so far.
    pub fn new(file: &Path) -> Self {
        Self {
            v: 1,
            file: file.to_string_lossy().into_owned(),
            status: ValidationStatus::Ok,
            count: None,
            working: None,
            regions: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds the error that makes the file unusable.
    pub fn fail(&mut self, error: &Error) {
        self.status = ValidationStatus::Wrong;
        self.faults = match error {
            Error::Instruction { faults, .. } => faults.iter().map(Failure::from).collect(),
            error => vec![Failure::from(error)],
        };
    }

    /// Returns the result for a valid file as one line of text.
    pub fn line(&self) -> String {
        let regions = match self.count {
            Some(1) => "1 region".to_owned(),
            count => format!("{} regions", count.unwrap_or_default()),
        };
        let warnings = match self.warnings.len() {
            0 => String::new(),
            1 => ", 1 warning".to_owned(),
            count => format!(", {count} warnings"),
        };
        let size = self
            .working
            .map(|[width, height]| format!(", works at {width} x {height}"))
            .unwrap_or_default();
        format!("{}: ok, {regions}{size}{warnings}", self.file)
    }
}
