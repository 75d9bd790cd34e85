//! The hash of the weights, remembered beside the records: a run with nothing to do need not read gigabytes to know it.
//!
//! It is remembered for files with these names, lengths and times of last change. Whatever two runs write here at once is each true.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::RECORDS;
use crate::files;
use crate::model::Model;

const FILE: &str = "weights.json";

/// The hash of the model's weights, when a run into this folder has read them and their files did not change since.
pub fn remembered(outputs: &Path, model: &Model) -> Option<String> {
    read(outputs).remove(&model.stamp()?)
}

/// Remembers it for the next run. A folder that takes no more files will say so of more important ones.
pub fn remember(outputs: &Path, stamp: Option<String>, digest: &str) {
    let Some(stamp) = stamp else { return };
    let mut known = read(outputs);
    if known.get(&stamp).is_some_and(|known| known == digest) {
        return;
    }
    known.insert(stamp, digest.to_owned());
    if let Ok(bytes) = serde_json::to_vec_pretty(&known) {
        let _ = files::write_verified(&outputs.join(RECORDS).join(FILE), &bytes, true, |_| Ok(()));
    }
}

fn read(outputs: &Path) -> BTreeMap<String, String> {
    fs::read(outputs.join(RECORDS).join(FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}
