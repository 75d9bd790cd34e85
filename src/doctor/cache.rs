//! What edits keep for later ones.

use super::Check;
use crate::cache::{Place, list};
use crate::progress::amount;

/// Where it is, how much is in it, and how much may be.
pub(super) fn cache() -> Check {
    let (place, warning) = Place::read();
    let Some(place) = place else {
        return Check::new(
            "cache",
            "none: neither DRAGNEXT_CACHE nor a home folder is set",
        );
    };
    if place.limit == 0 {
        return Check::new("cache", "switched off by DRAGNEXT_CACHE_LIMIT=0");
    }
    let folder = place.folder.display();
    let check = match list(&place.folder) {
        Ok(entries) => {
            let bytes = entries.iter().map(|entry| entry.bytes).sum();
            Check::new(
                "cache",
                format!(
                    "{folder}: {} of at most {}",
                    amount(bytes),
                    amount(place.limit)
                ),
            )
        }
        Err(error) => Check::new("cache", error.to_string())
            .noting("DRAGNEXT_CACHE chooses another folder; without it edits take longer"),
    };
    match warning {
        Some(warning) => check.noting(warning.message),
        None => check,
    }
}
