//! Errors as data, for records and `--json` output.

use serde::Serialize;

use crate::error::{DragFileFault, Error, ErrorKind};

/// An error as data. Scripts may rely on `kind`; `message` may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The stable name.
    pub kind: ErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The place in a drag file; that of the first fault if there are several.
    #[serde(flatten)]
    pub place: Option<DragFilePlace>,
    /// The faults of a drag file, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Failure>,
}

/// A place in a drag file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DragFilePlace {
    /// JSON pointer to the value; empty for the whole file.
    pub pointer: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The `id` of the region, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let faults = match error {
            Error::Instruction { faults, .. } => faults.as_slice(),
            _ => &[],
        };
        let place = faults.first().map(DragFilePlace::from);
        let faults = if faults.len() > 1 {
            faults.iter().map(Self::from).collect()
        } else {
            Vec::new()
        };
        Self {
            kind: error.kind(),
            message: error.to_string(),
            hint: error.hint(),
            place,
            faults,
        }
    }
}

impl From<&DragFileFault> for Failure {
    /// Leaves the place out of the message, because it has its own fields.
    fn from(fault: &DragFileFault) -> Self {
        Self {
            kind: fault.kind,
            message: fault.message.clone(),
            hint: fault.hint.clone(),
            place: Some(DragFilePlace::from(fault)),
            faults: Vec::new(),
        }
    }
}

impl From<&DragFileFault> for DragFilePlace {
    fn from(fault: &DragFileFault) -> Self {
        Self {
            pointer: fault.pointer.clone(),
            line: fault.line,
            column: fault.column,
            region: fault.region.clone(),
        }
    }
}
