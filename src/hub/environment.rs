//! The environment variables of the hub, with the meaning they have in the Hugging Face Python library, so that both share
//! the cache and the token.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Endpoint without `HF_ENDPOINT`.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Default timeout in seconds.
const DEFAULT_TIMEOUT: u64 = 10;
/// Longest accepted timeout in seconds: a day.
const MAX_TIMEOUT: u64 = 86_400;

/// The variables that this module reads. Those with tokens are secret.
pub(crate) const VARIABLES: [&str; 13] = [
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "XDG_CACHE_HOME",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_TOKEN_PATH",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
];

/// An access token. Its `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// Removes line ends and outer spaces; `None` if nothing remains.
    fn clean(text: &str) -> Option<Self> {
        let text = text.replace(['\r', '\n'], "");
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Returns the text, for the header of a request.
    #[cfg(feature = "hub")]
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Configuration of the hub and its cache.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// The folder that holds `models--owner--name` folders.
    pub cache: PathBuf,
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    /// Forbids network connections.
    pub offline: bool,
    /// Timeout for the start of a response.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "requests use it"))]
    pub response_timeout: Duration,
    /// Timeout for each read of a download.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "requests use it"))]
    pub download_timeout: Duration,
    given_token: Option<Token>,
    token_path: PathBuf,
    sends_token: bool,
}

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn read() -> Self {
        Self::from_variables(
            |name| std::env::var_os(name),
            std::env::home_dir().as_deref(),
        )
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| given(name).map(|value| value.to_string_lossy().into_owned());
        let path = |name: &str| given(name).map(|value| expand(value, home, &variable));
        let is_true =
            |value: &str| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str());
        let seconds = |name: &str| {
            Duration::from_secs(
                text(name)
                    .and_then(|value| value.parse().ok())
                    .filter(|s| *s > 0)
                    .unwrap_or(DEFAULT_TIMEOUT)
                    .min(MAX_TIMEOUT),
            )
        };

        let caches = || {
            path("XDG_CACHE_HOME").unwrap_or_else(|| home.unwrap_or(Path::new("")).join(".cache"))
        };
        let hf_home = path("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| hf_home.join("hub"));
        Self {
            cache,
            endpoint: text("HF_ENDPOINT")
                .unwrap_or_else(|| DEFAULT_ENDPOINT.into())
                .trim_end_matches('/')
                .to_owned(),
            // As in Python, the second variable counts only if the first is not set.
            offline: text("HF_HUB_OFFLINE")
                .or_else(|| text("TRANSFORMERS_OFFLINE"))
                .is_some_and(|value| is_true(&value)),
            response_timeout: seconds("HF_HUB_ETAG_TIMEOUT"),
            download_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT"),
            given_token: ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
                .iter()
                .find_map(|name| text(name))
                .and_then(|token| Token::clean(&token)),
            token_path: path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token")),
            sends_token: !text("HF_HUB_DISABLE_IMPLICIT_TOKEN")
                .is_some_and(|value| is_true(&value)),
        }
    }

    /// Returns the environment with only `HF_HOME` set.
    #[cfg(test)]
    pub(super) fn for_tests(home: &Path) -> Self {
        Self::from_variables(|name| (name == "HF_HOME").then(|| home.into()), None)
    }

    /// Returns the token to send to the hub: from the environment, else from the file that `hf auth login` writes.
    pub(crate) fn token(&self) -> Option<Token> {
        if !self.sends_token {
            return None;
        }
        self.given_token
            .clone()
            .or_else(|| Token::clean(&std::fs::read_to_string(&self.token_path).ok()?))
    }
}

/// Removes the secret parts of an address: user and password before the host, and the query, where storage servers put
/// signatures. A password may contain any character, so everything before the last `@` is removed.
pub(crate) fn redacted(address: &str) -> String {
    let (scheme, rest) = address
        .split_once("://")
        .map_or((None, address), |(scheme, rest)| (Some(scheme), rest));
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let rest = if rest[..end].contains('@') || !rest.contains('@') {
        &rest[..end]
    } else {
        rest
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    scheme.map_or_else(|| rest.to_owned(), |scheme| format!("{scheme}://{rest}"))
}

/// Expands a leading `~` to the home folder and `$NAME` and `${NAME}` to variables. Unset variables stay as they are.
fn expand(
    value: OsString,
    home: Option<&Path>,
    variable: &impl Fn(&str) -> Option<OsString>,
) -> PathBuf {
    let Some(text) = value.to_str() else {
        return value.into();
    };
    let mut expanded = match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.display())
        }
        _ => text.to_owned(),
    };
    let mut from = 0;
    while let Some(dollar) = expanded[from..].find('$').map(|at| from + at) {
        let rest = &expanded[dollar + 1..];
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let braced = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let plain = &rest[..rest.find(|c| !is_letter(c)).unwrap_or(rest.len())];
        let (name, length) =
            braced.map_or((plain, plain.len() + 1), |(name, _)| (name, name.len() + 3));
        match variable(name)
            .and_then(|value| value.into_string().ok())
            .filter(|_| !name.is_empty())
        {
            Some(value) => {
                expanded.replace_range(dollar..dollar + length, &value);
                from = dollar + value.len();
            }
            None => from = dollar + 1,
        }
    }
    expanded.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        };
        Environment::from_variables(find, Some(Path::new("/home/me")))
    }

    #[test]
    fn the_cache_folder_is_that_of_the_python_library() {
        for (variables, expected) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HF_HOME", "~/my models")], "/home/me/my models/hub"),
            (&[("HF_HOME", "relative")], "relative/hub"),
            (&[("HF_HOME", "")], "/home/me/.cache/huggingface/hub"),
            (
                &[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                "/old",
            ),
            (
                &[
                    ("HF_HUB_CACHE", "$DATA/${WHO}/$UNSET"),
                    ("DATA", "/d"),
                    ("WHO", "w"),
                    ("HF_HOME", "/h"),
                ],
                "/d/w/$UNSET",
            ),
        ] {
            assert_eq!(read(variables).cache, Path::new(expected), "{variables:?}");
        }
    }

    #[test]
    fn offline_accepts_the_values_of_the_python_library() {
        for (value, expected) in [
            ("1", true),
            ("on", true),
            ("Yes", true),
            ("TRUE", true),
            ("0", false),
            ("", false),
            ("off", false),
        ] {
            assert_eq!(
                read(&[("HF_HUB_OFFLINE", value)]).offline,
                expected,
                "{value}"
            );
        }
        assert!(read(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(read(&[("HF_HUB_OFFLINE", ""), ("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(!read(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]).offline);
    }

    #[test]
    fn the_token_is_read_and_not_shown_by_debug() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("token"), " hf_file\n").expect("write the token");
        let home = folder.path().to_str().expect("an UTF-8 path");
        assert_eq!(
            read(&[("HF_HOME", home)]).token(),
            Some(Token("hf_file".into()))
        );
        assert_eq!(
            read(&[("HF_HOME", home), ("HF_TOKEN", "hf_given")]).token(),
            Some(Token("hf_given".into()))
        );
        assert_eq!(
            read(&[
                ("HF_HOME", home),
                ("HF_TOKEN", "hf_given"),
                ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
            ])
            .token(),
            None
        );
        assert_eq!(
            read(&[("HF_HOME", "/nowhere"), ("HF_TOKEN", " \n")]).token(),
            None
        );
        let shown = format!("{:?}", read(&[("HF_TOKEN", "hf_given")]));
        assert!(!shown.contains("hf_given"), "{shown}");
    }

    #[test]
    fn addresses_are_redacted() {
        assert_eq!(
            redacted("https://me:pw@host:1/a/b?Signature=x#y"),
            "https://host:1/a/b"
        );
        assert_eq!(redacted("https://host"), "https://host");
        assert_eq!(redacted("host"), "host");
        for proxy in [
            "me:pw@proxy:3128",
            "http://me:p/w@proxy:3128",
            "http://me:p#w?@proxy:3128",
            "http://me:p@w@proxy:3128/",
        ] {
            assert!(
                redacted(proxy)
                    .trim_start_matches("http://")
                    .starts_with("proxy:3128"),
                "{proxy} became {}",
                redacted(proxy)
            );
        }
    }
}
