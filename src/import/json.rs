//! Reads JSON files of data sets, with a bound on their size.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::root::Root;
use crate::error::{Error, ErrorKind, Result};

/// Largest JSON or XML file in bytes; the annotations of COCO 2017 have 450 MB.
pub(super) const MAX_BYTES: u64 = 512 << 20;

/// Reads a JSON file inside the root.
///
/// # Errors
/// Those of [`Root::read`]; [`Error::Given`] `import.damaged` for JSON of another form.
pub(super) fn read<T: DeserializeOwned>(root: &Root, relative: &Path) -> Result<T> {
    let bytes = root.read(relative, MAX_BYTES)?;
    parse(&bytes, &root.folder().join(relative))
}

/// Parses JSON; `place` is its path in messages.
///
/// # Errors
/// As [`read`].
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], place: &Path) -> Result<T> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(text).map_err(|error| damaged(place, error.to_string()))
}

/// Returns the error of a file that cannot be parsed.
pub(super) fn damaged(place: &Path, reason: impl Into<String>) -> Error {
    Error::Given {
        path: place.to_path_buf(),
        kind: ErrorKind::ImportDamaged,
        reason: reason.into(),
        hint: String::new(),
    }
}
