//! Environment variables that affect this program, without secrets.

use super::Check;
use crate::hub::Environment;
use crate::hub::environment::{VARIABLES, redacted};

/// Variables that libraries read.
const OTHERS: [&str; 9] = [
    "RAYON_NUM_THREADS",
    "NO_COLOR",
    "TERM",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
];

/// Lists the variables that are set.
pub(super) fn variables(environment: &Environment) -> Check {
    let is_relevant = |name: &str| {
        VARIABLES.contains(&name) || OTHERS.contains(&name) || name.starts_with("DRAGNEXT_")
    };
    let all = std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    });
    let mut details: Vec<String> = all
        .filter(|(name, _)| is_relevant(name))
        .map(|(name, value)| format!("{name}={}", without_secrets(&name, &value)))
        .collect();
    details.sort();
    let token = if environment.token().is_some() {
        "a token is sent to the hub"
    } else {
        "no token for the hub"
    };
    let mut check = Check::new("environment", token);
    check.details = details;
    check
}

/// Returns a value with secrets removed and control characters escaped.
fn without_secrets(name: &str, value: &str) -> String {
    let is_secret = name.contains("TOKEN") && !name.ends_with("_PATH");
    match value {
        "" => String::new(),
        _ if is_secret => "(set)".into(),
        _ => redacted(value)
            .chars()
            .flat_map(|character| {
                if character.is_control() {
                    character.escape_default().collect()
                } else {
                    vec![character]
                }
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed() {
        assert_eq!(without_secrets("HF_TOKEN", "hf_x"), "(set)");
        assert_eq!(without_secrets("HUGGING_FACE_HUB_TOKEN", "hf_x"), "(set)");
        assert_eq!(without_secrets("HF_TOKEN_PATH", "/a/token"), "/a/token");
        assert_eq!(
            without_secrets("HTTPS_PROXY", "http://me:pw@proxy:3128"),
            "http://proxy:3128"
        );
        assert_eq!(without_secrets("HF_HOME", "/a\x1b[2J"), "/a\\u{1b}[2J");
    }
}
