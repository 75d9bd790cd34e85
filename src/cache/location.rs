//! Where the cache is and how large it may become, from the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::warning::{Warning, WarningKind};

const FOLDER_VARIABLE: &str = "DRAGNEXT_CACHE";
const LIMIT_VARIABLE: &str = "DRAGNEXT_CACHE_LIMIT";
/// Enough for about 150 pictures with Stable Diffusion 1.5.
const DEFAULT_LIMIT: u64 = 2_000_000_000;

/// Folder and size limit of a cache. The folder need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheLocation {
    /// The folder.
    pub folder: PathBuf,
    /// Most bytes that entries may take; 0 disables the cache.
    pub limit: u64,
}

impl CacheLocation {
    /// Reads the environment of this process. Returns no location when it does not even name a home folder, and a warning when
    /// the limit is invalid and the default applies.
    pub fn read() -> (Option<Self>, Option<Warning>) {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> (Option<Self>, Option<Warning>) {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| given(name).map(PathBuf::from);
        // The XDG base directory specification says to ignore relative paths.
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        let folder = path(FOLDER_VARIABLE)
            .or_else(|| absolute("XDG_CACHE_HOME").map(|caches| caches.join("dragnext")))
            .or_else(|| user_cache(&absolute));
        let text = given(LIMIT_VARIABLE).map(|text| text.to_string_lossy().into_owned());
        let limit = text.as_deref().map(bytes);
        let warning = limit.is_some_and(|limit| limit.is_none()).then(|| Warning {
            kind: WarningKind::CacheLimit,
            message: format!(
                "{LIMIT_VARIABLE}: `{}` is not a size such as 500MB, 2GB or 0; the default limit of {} GB applies",
                text.unwrap_or_default(),
                DEFAULT_LIMIT / 1_000_000_000
            ),
        });
        (
            folder.map(|folder| Self {
                folder,
                limit: limit.flatten().unwrap_or(DEFAULT_LIMIT),
            }),
            warning,
        )
    }
}

/// Returns this program's folder below the user's cache folder of this operating system.
fn user_cache(absolute: &impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
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

/// Parses a size: a number, then optionally B, kB, MB, GB or TB (powers of ten). Returns bytes.
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

    fn read(variables: &[(&str, &str)]) -> (Option<CacheLocation>, Option<Warning>) {
        CacheLocation::from_variables(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn variables_are_tried_in_order() {
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
            let (location, warning) = read(variables);
            assert_eq!(
                (location.map(|location| location.folder), warning),
                (expected.map(PathBuf::from), None),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn sizes_with_units_are_parsed() {
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
    fn an_invalid_limit_gives_a_warning_and_the_default() {
        let (location, warning) =
            read(&[("DRAGNEXT_CACHE", "/c"), ("DRAGNEXT_CACHE_LIMIT", "lots")]);
        assert_eq!(
            location,
            Some(CacheLocation {
                folder: "/c".into(),
                limit: DEFAULT_LIMIT
            })
        );
        let warning = warning.expect("`lots` is not a size");
        assert_eq!(warning.kind, WarningKind::CacheLimit);
        assert!(warning.message.contains("`lots`"), "{}", warning.message);
        assert_eq!(
            read(&[("DRAGNEXT_CACHE", "/c"), ("DRAGNEXT_CACHE_LIMIT", "0")])
                .0
                .map(|location| location.limit),
            Some(0)
        );
    }
}
