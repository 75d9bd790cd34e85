//! Why a drag file of a folder belongs to no picture that is edited: the file beside it whose name comes closest.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::folder::{is_other_picture, is_picture};
use super::pairing::composed;

/// The files of one folder by their names, without regard to case.
#[derive(Debug, Default)]
pub(super) struct Neighbours<'a> {
    by_stem: HashMap<String, Vec<&'a OsString>>,
    by_name: HashMap<String, &'a OsString>,
}

/// Why a drag file is not used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A picture in another format has its name.
    OtherFormat(String),
    /// A file has a similar name. It says something only about a JSON file that is a drag file.
    Similar(String),
}

impl<'a> Neighbours<'a> {
    /// Sorts the names of a folder's files.
    pub(super) fn new(names: impl Iterator<Item = &'a OsString>) -> Self {
        let mut found = Self::default();
        for name in names {
            let path = Path::new(name);
            let is_json = path
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
            if is_json {
                continue;
            }
            if let Some(stem) = path.file_stem().and_then(key) {
                found.by_stem.entry(stem).or_default().push(name);
            }
            if let Some(whole) = key(name) {
                found.by_name.insert(whole, name);
            }
        }
        // The folder lists its files in any order.
        found.by_stem.values_mut().for_each(|names| names.sort());
        found
    }

    /// Returns why a drag file belongs to no picture; `None` where no file has a similar name.
    pub(super) fn reason(&self, drag: &OsStr) -> Option<Reason> {
        let stem = Path::new(drag).file_stem()?;
        let (exact, similar) = (composed(stem)?, key(stem)?);
        let same = self.by_stem.get(&similar).map_or(&[][..], Vec::as_slice);
        let stem_of = |name: &OsString| Path::new(name).file_stem().and_then(composed);
        if let Some(other) = same
            .iter()
            .find(|name| is_other_picture(name) && stem_of(name).as_ref() == Some(&exact))
        {
            return Some(Reason::OtherFormat(format!(
                "`{}` is not a PNG, JPEG or WebP; convert it",
                other.display()
            )));
        }
        if let Some(picture) = same.iter().find(|name| is_picture(name)) {
            return Some(Reason::Similar(format!(
                "the name of `{}` differs in case; rename one of them",
                picture.display()
            )));
        }
        if let Some(other) = same.first() {
            return Some(Reason::Similar(format!(
                "`{}` has no ending of a PNG, JPEG or WebP",
                other.display()
            )));
        }
        // Names such as `cat.png.json` and `cat.drag.json`.
        let shorter = Path::new(stem).file_stem().and_then(key)?;
        let of_shorter = self.by_stem.get(&shorter).into_iter().flatten();
        let picture = self
            .by_name
            .get(&similar)
            .into_iter()
            .chain(of_shorter)
            .find(|name| is_picture(name))?;
        let wanted = Path::new(picture).with_extension("json");
        Some(Reason::Similar(format!(
            "the drag file of `{}` is named `{}`",
            picture.display(),
            wanted.display()
        )))
    }
}

/// Returns a name by which files are compared: composed, and in lower case.
fn key(name: &OsStr) -> Option<String> {
    composed(name).map(|name| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_tells_why() {
        let names = [
            "a.heic",
            "b.JPG",
            "c",
            "d.xyz",
            "e.png",
            "f.png",
            "caf\u{e9}.heic",
            "g.json",
            "H.gif",
        ]
        .map(OsString::from);
        let neighbours = Neighbours::new(names.iter());
        let other = |text: &str| Some(Reason::OtherFormat(text.to_owned()));
        let similar = |text: &str| Some(Reason::Similar(text.to_owned()));
        for (drag, expected) in [
            (
                "a.json",
                other("`a.heic` is not a PNG, JPEG or WebP; convert it"),
            ),
            (
                "cafe\u{301}.json",
                other("`caf\u{e9}.heic` is not a PNG, JPEG or WebP; convert it"),
            ),
            (
                "B.json",
                similar("the name of `b.JPG` differs in case; rename one of them"),
            ),
            (
                "c.json",
                similar("`c` has no ending of a PNG, JPEG or WebP"),
            ),
            (
                "d.json",
                similar("`d.xyz` has no ending of a PNG, JPEG or WebP"),
            ),
            (
                "h.json",
                similar("`H.gif` has no ending of a PNG, JPEG or WebP"),
            ),
            (
                "e.png.json",
                similar("the drag file of `e.png` is named `e.json`"),
            ),
            (
                "f.drag.json",
                similar("the drag file of `f.png` is named `f.json`"),
            ),
            ("g.json", None),
            ("nothing.json", None),
            (".json", None),
        ] {
            assert_eq!(neighbours.reason(drag.as_ref()), expected, "{drag}");
        }
    }
}
