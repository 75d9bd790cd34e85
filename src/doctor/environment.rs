//! Variables of the environment that this program heeds, without the secrets in them.

use super::Check;
use crate::hub::Environment;
use crate::hub::environment::{VARIABLES, redacted};

/// Further variables that decide what happens.
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

/// What is set.
pub(super) fn variables(environment: &Environment) -> Check {
    let heeded = |name: &str| {
        VARIABLES.contains(&name) || OTHERS.contains(&name) || name.starts_with("DRAGNEXT_")
    };
    let all = std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    });
    let mut details: Vec<String> = all
        .filter(|(name, _)| heeded(name))
        .map(|(name, value)| format!("{name}={}", harmless(&name, &value)))
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

/// A value as it may be shown.
fn harmless(name: &str, value: &str) -> String {
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
    fn secrets_are_not_shown() {
        assert_eq!(harmless("HF_TOKEN", "hf_x"), "(set)");
        assert_eq!(harmless("HUGGING_FACE_HUB_TOKEN", "hf_x"), "(set)");
        assert_eq!(harmless("HF_TOKEN_PATH", "/a/token"), "/a/token");
        assert_eq!(
            harmless("HTTPS_PROXY", "http://me:pw@proxy:3128"),
            "http://proxy:3128"
        );
        assert_eq!(harmless("HF_HOME", "/a\x1b[2J"), "/a\\u{1b}[2J");
    }
}
