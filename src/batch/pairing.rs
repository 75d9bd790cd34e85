//! Pairs the pictures of one folder with the drag files beside them.
//!
//! `cat.png` belongs to `cat.json`. Where there is none, the ending may have capitals, and the name another Unicode normalisation, as names have
//! that passed through macOS.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use tokenizers::NormalizedString;

/// The drag files of one folder, by the names of their pictures.
#[derive(Debug, Default)]
pub(super) struct DragFiles {
    files: BTreeSet<OsString>,
    by_stem: BTreeMap<String, Vec<OsString>>,
    used: BTreeSet<OsString>,
}

impl DragFiles {
    /// Picks the drag files among the names of a folder's files.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a OsString>) -> Self {
        let mut found = Self::default();
        for name in names {
            let path = Path::new(name);
            if path
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
            {
                found.files.insert(name.clone());
                if let Some(stem) = path.file_stem().and_then(composed) {
                    found.by_stem.entry(stem).or_default().push(name.clone());
                }
            }
        }
        found
    }

    /// Returns the drag file of a picture, which may be that of several.
    pub(super) fn of(&mut self, picture: &OsStr) -> Option<OsString> {
        let picture = Path::new(picture);
        let exact = picture.with_extension("json").into_os_string();
        let found = if self.files.contains(&exact) {
            exact
        } else {
            self.by_stem
                .get(&composed(picture.file_stem()?)?)?
                .first()?
                .clone()
        };
        self.used.insert(found.clone());
        Some(found)
    }

    /// Returns the drag files that belong to no picture that was asked for.
    pub(super) fn unused(&self) -> impl Iterator<Item = &OsString> {
        self.files.difference(&self.used)
    }
}

/// Returns a name with letters and their accents composed (NFC); `None` if it is not valid Unicode.
pub(super) fn composed(name: &OsStr) -> Option<String> {
    let name = name.to_str()?;
    if name.is_ascii() {
        return Some(name.to_owned());
    }
    Some(NormalizedString::from(name).nfc().get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_comes_before_a_similar_one() {
        let names = [
            "a.JSON",
            "a.json",
            "b.JSON",
            "caf\u{e9}.json",
            "d.json",
            "e.txt",
        ]
        .map(OsString::from);
        let mut drags = DragFiles::new(names.iter());
        let mut of = |picture: &str| {
            drags
                .of(picture.as_ref())
                .map(|name| name.to_string_lossy().into_owned())
        };
        assert_eq!(of("a.png").as_deref(), Some("a.json"));
        assert_eq!(of("b.jfif").as_deref(), Some("b.JSON"));
        assert_eq!(of("cafe\u{301}.png").as_deref(), Some("caf\u{e9}.json"));
        assert_eq!(of("A.png"), None);
        assert_eq!(of("e.png"), None);
        assert_eq!(drags.unused().collect::<Vec<_>>(), ["a.JSON", "d.json"]);
    }
}
