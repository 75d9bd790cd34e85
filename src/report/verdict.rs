//! What `validate` says about one drag file, as data.

use std::path::Path;

use serde::Serialize;

use super::record::{Failure, Moved};
use crate::error::Error;
use crate::warning::Warning;

/// What is known of one drag file.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Version of this format.
    pub v: u8,
    /// The drag file, as given.
    pub file: String,
    /// Whether an edit can start from it.
    pub status: VerdictStatus,
    /// Number of regions, when the file could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Width and height of the picture at which the network would work, when there was a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working: Option<[usize; 2]>,
    /// How far each region would move, when there was a picture.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Moved>,
    /// Everything that is wrong.
    pub faults: Vec<Failure>,
    /// What is doubtful.
    pub warnings: Vec<Warning>,
}

/// Whether an edit can start from a drag file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictStatus {
    /// It can.
    Ok,
    /// Something is wrong; see `faults`.
    Wrong,
}

impl Verdict {
    /// Of a file with nothing wrong so far.
    pub fn new(file: &Path) -> Self {
        Self {
            v: 1,
            file: file.to_string_lossy().into_owned(),
            status: VerdictStatus::Ok,
            count: None,
            working: None,
            regions: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The file cannot be used, because of `error`.
    pub fn fail(&mut self, error: &Error) {
        self.status = VerdictStatus::Wrong;
        self.faults = match error {
            Error::Instruction { faults, .. } => faults.iter().map(Failure::from).collect(),
            error => vec![Failure::from(error)],
        };
    }

    /// The verdict for people, in one line.
    pub fn line(&self) -> String {
        let regions = match self.count {
            Some(1) => "1 region".to_owned(),
            count => format!("{} regions", count.unwrap_or_default()),
        };
        let doubts = match self.warnings.len() {
            0 => String::new(),
            1 => ", 1 warning".to_owned(),
            count => format!(", {count} warnings"),
        };
        let size = self
            .working
            .map(|[width, height]| format!(", works at {width} x {height}"))
            .unwrap_or_default();
        format!("{}: ok, {regions}{size}{doubts}", self.file)
    }
}
