//! What a user should know although it stops nothing.

use serde::Serialize;

/// Something doubtful that does not stop an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Stable name, such as `region.no_motion`.
    pub kind: &'static str,
    /// What was noticed.
    pub message: String,
}
