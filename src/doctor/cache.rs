//! The cache of intermediate results.

use super::Check;
use crate::cache::{CacheLocation, list};
use crate::progress::amount;

/// Reports the folder of the cache, its size and its limit.
pub(super) fn cache() -> Check {
    let (location, warning) = CacheLocation::read();
    let Some(location) = location else {
        return Check::new(
            "cache",
            "none: neither DRAGNEXT_CACHE nor a home folder is set",
        );
    };
    if location.limit == 0 {
        return Check::new("cache", "disabled by DRAGNEXT_CACHE_LIMIT=0");
    }
    let folder = location.folder.display();
    let check = match list(&location.folder) {
        Ok(entries) => {
            let bytes = entries.iter().map(|entry| entry.bytes).sum();
            Check::new(
                "cache",
                format!(
                    "{folder}: {} of at most {}",
                    amount(bytes),
                    amount(location.limit)
                ),
            )
        }
        Err(error) => Check::new("cache", error.to_string())
            .with_note("set DRAGNEXT_CACHE to another folder; edits take longer without a cache"),
    };
    match warning {
        Some(warning) => check.with_note(warning.message),
        None => check,
    }
}
