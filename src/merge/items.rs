//! One item of a run over many.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::RecordedKind;

/// What is known of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its name.
    pub id: String,
    /// How it ended.
    pub state: State,
    /// What was wrong, when it failed.
    pub fault: Option<Fault>,
    /// The picture, as its record names it.
    pub image: Option<PathBuf>,
    /// The result, as its record names it.
    pub out: Option<PathBuf>,
    /// When it ended, in seconds since 1970.
    pub ended: Option<f64>,
    /// Doubts that the run had.
    pub warnings: usize,
    /// Last loss of the drag by its first: what it did not achieve.
    pub loss_left: Option<f64>,
}

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its result was written.
    Done,
    /// Something was wrong.
    Failed,
    /// A signal asked for a stop.
    Interrupted,
    /// No record says anything of it.
    Missing,
}

impl State {
    /// Its name in records and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Missing => "missing",
        }
    }
}

/// What was wrong with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The stable name.
    pub kind: RecordedKind,
    /// What went wrong.
    pub message: String,
}

impl Item {
    /// An item without any record.
    pub(super) fn missing(id: String) -> Self {
        Self {
            id,
            state: State::Missing,
            fault: None,
            image: None,
            out: None,
            ended: None,
            warnings: 0,
            loss_left: None,
        }
    }

    /// Whether this record takes the place of `other`: the newer one does, and where no clock tells, the one that was read later.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        !matches!((self.ended, other.ended), (Some(ours), Some(theirs)) if ours < theirs)
    }

    /// More is worse: first whether it failed, then whether there are doubts, then what the drag left undone.
    pub(super) fn badness(&self) -> (bool, bool, f64) {
        (
            self.state != State::Done,
            self.warnings > 0,
            self.loss_left.unwrap_or(0.0),
        )
    }
}
