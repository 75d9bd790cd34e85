//! One item of a batch, as its newest record describes it.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::RecordedKind;

/// An item of merged records.
#[derive(Debug, Clone, PartialEq)]
pub struct MergedItem {
    /// Its id.
    pub id: String,
    /// How it ended.
    pub state: MergedState,
    /// The method, if the record names one.
    pub method: Option<String>,
    /// The error, if it failed.
    pub error: Option<RecordedError>,
    /// The picture, as the record names it.
    pub image: Option<PathBuf>,
    /// The drag file, as the record names it.
    pub drag: Option<PathBuf>,
    /// The result, as the record names it.
    pub out: Option<PathBuf>,
    /// When it ended, in seconds since 1970.
    pub ended: Option<f64>,
    /// Number of warnings.
    pub warnings: usize,
    /// Last loss of the drag divided by the first; smaller is better.
    pub loss_ratio: Option<f64>,
}

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MergedState {
    /// Its result was written.
    Done,
    /// It failed.
    Failed,
    /// A signal stopped it.
    Interrupted,
    /// It has no record.
    Missing,
}

impl MergedState {
    /// Returns the name in records and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Missing => "missing",
        }
    }
}

/// The error in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedError {
    /// The stable name.
    pub kind: RecordedKind,
    /// The message.
    pub message: String,
}

impl MergedItem {
    /// Returns an item without a record.
    pub(crate) fn missing(id: String) -> Self {
        Self {
            id,
            state: MergedState::Missing,
            method: None,
            error: None,
            image: None,
            drag: None,
            out: None,
            ended: None,
            warnings: 0,
            loss_ratio: None,
        }
    }

    /// Returns whether this record, which was read after `other`, replaces it. An older record does not.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        !matches!((self.ended, other.ended), (Some(this), Some(other)) if this < other)
    }

    /// Returns a key that sorts items from good to bad: failed items are worst, then items with warnings, then those with a high loss.
    pub(super) fn badness(&self) -> (bool, bool, f64) {
        (
            self.state != MergedState::Done,
            self.warnings > 0,
            self.loss_ratio.unwrap_or(0.0),
        )
    }
}
