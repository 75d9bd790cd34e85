//! Where the cache is, and how large it may become.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::warning::{Warning, WarningKind};

/// The variable that names the folder.
const FOLDER: &str = "DRAGNEXT_CACHE";
/// The variable that names the limit.
const LIMIT: &str = "DRAGNEXT_CACHE_LIMIT";
/// What is kept of about 150 pictures with Stable Diffusion 1.5.
const USUAL_LIMIT: u64 = 2_000_000_000;

/// A folder, which need not be there yet, and the most bytes that entries may take in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes; 0 means that nothing is kept.
    pub limit: u64,
}

impl Place {
    /// What the environment of this process says; no place when it does not even name a home folder, and a warning about a limit that is
    /// none, in whose place the usual one holds.
    pub fn read() -> (Option<Self>, Option<Warning>) {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> (Option<Self>, Option<Warning>) {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| given(name).map(PathBuf::from);
        // A relative one is to be ignored, says the specification of these variables.
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        let folder = path(FOLDER)
            .or_else(|| absolute("XDG_CACHE_HOME").map(|caches| caches.join("dragnext")))
            .or_else(|| usual(&absolute));
        let text = given(LIMIT).map(|text| text.to_string_lossy().into_owned());
        let limit = text.as_deref().map(bytes);
        let warning = limit.is_some_and(|limit| limit.is_none()).then(|| Warning {
            kind: WarningKind::CacheLimit,
            message: format!(
                "{LIMIT}: `{}` is no size, such as 500MB, 2GB or 0; the usual limit of {} GB holds",
                text.unwrap_or_default(),
                USUAL_LIMIT / 1_000_000_000
            ),
        });
        (
            folder.map(|folder| Self {
                folder,
                limit: limit.flatten().unwrap_or(USUAL_LIMIT),
            }),
            warning,
        )
    }
}

/// The folder that systems like this one have for such things.
fn usual(absolute: &impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if cfg!(windows) {
        return Some(absolute("LOCALAPPDATA")?.join("dragnext").join("cache"));
    }
    let caches = if cfg!(target_os = "macos") {
        Path::new("Library/Caches")
    } else {
        Path::new(".cache")
    };
    Some(absolute("HOME")?.join(caches).join("dragnext"))
}

/// Bytes of a size as people write it: a number, then B, kB, MB, GB or TB, in powers of ten; bytes when no unit is there.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let unit = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        _ => return None,
    };
    let number: f64 = text[..end].parse().ok()?;
    Some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<Place>, Option<Warning>) {
        Place::from_variables(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn the_folder_is_the_first_that_is_named() {
        for (variables, expected) in [
            (
                &[("HOME", "/home/me")][..],
                Some("/home/me/.cache/dragnext"),
            ),
            (
                &[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/x")],
                Some("/x/dragnext"),
            ),
            (
                &[("HOME", "/home/me"), ("XDG_CACHE_HOME", "x")],
                Some("/home/me/.cache/dragnext"),
            ),
            (
                &[
                    ("HOME", "/home/me"),
                    ("XDG_CACHE_HOME", "/x"),
                    ("DRAGNEXT_CACHE", "here"),
                ],
                Some("here"),
            ),
            (
                &[("HOME", "/home/me"), ("DRAGNEXT_CACHE", "")],
                Some("/home/me/.cache/dragnext"),
            ),
            (&[("HOME", "")], None),
            (&[], None),
        ] {
            let (place, warning) = read(variables);
            assert_eq!(
                (place.map(|place| place.folder), warning),
                (expected.map(PathBuf::from), None),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn limits_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1500", Some(1500)),
            ("500MB", Some(500_000_000)),
            ("1.5 gb", Some(1_500_000_000)),
            ("2k", Some(2000)),
            (" 7 B ", Some(7)),
            ("1T", Some(1_000_000_000_000)),
            ("", None),
            ("GB", None),
            ("-1", None),
            ("2 GiB", None),
            ("1.2.3", None),
            ("much", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn a_limit_that_is_none_is_told_and_the_usual_one_holds() {
        let (place, warning) = read(&[("DRAGNEXT_CACHE", "/c"), ("DRAGNEXT_CACHE_LIMIT", "lots")]);
        assert_eq!(
            place,
            Some(Place {
                folder: "/c".into(),
                limit: USUAL_LIMIT
            })
        );
        let warning = warning.expect("lots is no size");
        assert_eq!(warning.kind, WarningKind::CacheLimit);
        assert!(warning.message.contains("`lots`"), "{}", warning.message);
        assert_eq!(
            read(&[("DRAGNEXT_CACHE", "/c"), ("DRAGNEXT_CACHE_LIMIT", "0")])
                .0
                .map(|place| place.limit),
            Some(0)
        );
    }
}
