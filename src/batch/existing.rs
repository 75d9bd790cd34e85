//! Files that already exist at the path of a result.

use std::fs;
use std::path::Path;

use crate::edit::ParsedNote;
use crate::metrics;
use crate::picture::{self, Picture};

/// Levels of 255 by which samples of the same result may differ, where the file does not name its job.
const ROUNDING: f64 = 2.0;

/// Returns whether the picture at `path` names `job` in its note.
pub(super) fn names_job(path: &Path, job: &str) -> bool {
    ParsedNote::read(path).is_ok_and(|note| note.header.job == job)
}

/// Returns the SHA-256 of the file at `path` if it already is the result that was computed again as `edited`.
///
/// It must keep the same of the picture's file. With a `job`, the file must name it. Without one, it must have no report, and its samples must match except for
/// rounding. The bytes are not compared: edits in a
/// group round differently from single edits, and the drag amplifies the difference.
pub(super) fn existing_result(path: &Path, edited: &Picture, job: Option<&str>) -> Option<String> {
    if !is_file(path) {
        return None;
    }
    let found = picture::read_any(path).ok()?;
    let has_samples = || {
        picture::read_note(path).is_err()
            && metrics::compare(edited, &found.picture, None).all.max <= ROUNDING
    };
    let is_result = found.picture.size() == edited.size()
        && found.picture.kept() == edited.kept()
        && job.map_or_else(has_samples, |job| names_job(path, job));
    is_result.then_some(found.sha256)
}

/// Returns whether the file at `path` has exactly these bytes.
pub(super) fn has_bytes(path: &Path, bytes: &[u8]) -> bool {
    is_file(path) && fs::read(path).is_ok_and(|found| found == bytes)
}

/// Returns whether `path` is a regular file and not a link to one.
pub(super) fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}
