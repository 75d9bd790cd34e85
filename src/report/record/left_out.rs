//! What a result leaves out on request. Its pixels do not depend on this, its file does.

use serde::Serialize;

/// What the file of a result leaves out on request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// EXIF, XMP and text of the picture (`--strip-metadata`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stripped: bool,
    /// The report of how it was made (`--no-metadata`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unreported: bool,
}
