//! Names of samples in the output folder.

use std::collections::HashSet;

use super::sample::Entry;
use crate::escape::is_unprintable;

/// Maximum number of bytes in a name of a folder.
const MAX_NAME: usize = 120;

/// A sample with its place in the output folder.
pub(super) struct Item {
    pub(super) entry: Entry,
    /// Relative path of its folder, and its id in the manifest.
    pub(super) name: String,
}

/// Gives every sample the name of a folder: the parts of its id, made safe, and unique on disks that ignore case.
pub(super) fn named(entries: Vec<Entry>) -> Vec<Item> {
    let mut taken = HashSet::new();
    entries
        .into_iter()
        .map(|entry| {
            let parts: Vec<String> = entry.id.split('/').filter_map(safe).collect();
            let base = if parts.is_empty() {
                "sample".to_owned()
            } else {
                parts.join("/")
            };
            let mut name = base.clone();
            let mut number = 1;
            // A folder inside another sample's folder could hide that one's files.
            while !is_free(&taken, &name) {
                number += 1;
                name = format!("{base}-{number}");
            }
            taken.insert(name.to_lowercase());
            Item { entry, name }
        })
        .collect()
}

fn is_free(taken: &HashSet<String>, name: &str) -> bool {
    !taken.contains(&name.to_lowercase())
}

/// Endings of the files that an import writes. No folder has them, so that none stands where a file belongs.
const FILES: [&str; 6] = [".jsonl", ".json", ".png", ".jpg", ".jpeg", ".webp"];

/// Returns a name for a folder: without characters that are special on any system, not hidden, not too long, not like a file's. A name of nothing
/// but spaces is one underscore; `None` for one of nothing but dots, and for an empty one.
fn safe(part: &str) -> Option<String> {
    if part.chars().all(|character| character == '.') {
        return None;
    }
    let mut name = String::new();
    for character in part.chars() {
        let is_special = is_unprintable(character) || "\\:*?\"<>|".contains(character);
        if name.len() + character.len_utf8() > MAX_NAME {
            break;
        }
        name.push(if is_special { '_' } else { character });
    }
    let name = name.trim_matches(['.', ' ']);
    if name.is_empty() {
        return Some("_".to_owned());
    }
    let is_like_a_file = FILES
        .iter()
        .any(|ending| name.to_lowercase().ends_with(ending));
    Some(if is_like_a_file {
        format!("{name}_")
    } else {
        name.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::path::PathBuf;

    #[test]
    fn names_of_folders_are_safe_and_unique() {
        let entry = |id: &str| Entry {
            id: id.to_owned(),
            category: None,
            place: PathBuf::new(),
            read: Box::new(|| Err(Error::Bug("not read".into()))),
        };
        let ids = [
            "a/b",
            "A/b",
            "../../etc/passwd",
            "/",
            "a/b-2",
            "x:\u{202e}y",
            "a\u{0}b",
            ".",
            "a/ ",
            "manifest.jsonl/x",
            "a/b/Image.PNG",
        ];
        let names: Vec<String> = named(ids.into_iter().map(entry).collect())
            .into_iter()
            .map(|item| item.name)
            .collect();
        assert_eq!(
            names,
            [
                "a/b",
                "A/b-2",
                "etc/passwd",
                "sample",
                "a/b-2-2",
                "x__y",
                "a_b",
                "sample-2",
                "a/_",
                "manifest.jsonl_/x",
                "a/b/Image.PNG_"
            ]
        );
    }
}
