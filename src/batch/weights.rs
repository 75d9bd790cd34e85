//! Caches the hash of the weights beside the records, so that a run without pending items does not read gigabytes to compute it.
//!
//! The key is made of names, lengths and modification times of the model's files. Two runs may write the cache at the same time: whichever
//! wins, its entries are correct.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::RECORDS;
use crate::files;
use crate::model::Model;

const FILE: &str = "weights.json";

/// Returns the hash of the model's weights if an earlier run into this folder stored it and the files did not change since.
pub(super) fn cached_hash(outputs: &Path, model: &Model) -> Option<String> {
    read(outputs).remove(&model.fingerprint()?)
}

/// Stores the hash for the next run. A failure is ignored: an output folder that cannot be written fails the run elsewhere.
pub(super) fn cache_hash(outputs: &Path, stamp: Option<String>, digest: &str) {
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
