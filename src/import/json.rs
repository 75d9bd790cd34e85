//! Reads JSON files of data sets, with a bound on their size.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::root::Root;
use crate::error::{Error, ErrorKind, Result};

/// Largest JSON or XML file in bytes; the annotations of COCO 2017 have 450 MB.
pub(super) const MAX_BYTES: u64 = 512 << 20;

/// Reads a JSON file inside the root.
///
/// # Errors
/// Those of [`Root::read`]; [`Error::Given`] `import.damaged` for JSON of another form.
pub(super) fn read<T: DeserializeOwned>(root: &Root, relative: &Path) -> Result<T> {
    let bytes = root.read(relative, MAX_BYTES)?;
    parse(&bytes, &root.folder().join(relative))
}

/// Parses JSON; `place` is its path in messages.
///
/// # Errors
/// As [`read`].
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], place: &Path) -> Result<T> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(text).map_err(|error| damaged(place, reason(&error)))
}

/// Beginnings of the parser's messages, and what they mean.
const BEGINNINGS: [(&str, &str); 9] = [
    ("invalid type: sequence", "found a list"),
    ("invalid type: map", "found an object"),
    ("invalid type: string", "found the text"),
    ("invalid type: boolean", "found"),
    ("invalid type: floating point", "found the number"),
    ("invalid type: integer", "found the number"),
    ("invalid type:", "found"),
    ("invalid length", "found a list of length"),
    ("missing field", "there is no"),
];
/// What the parser calls types, and what JSON does.
const TYPES: [(&str, &str); 8] = [
    ("a sequence", "a list"),
    ("a map", "an object"),
    ("f64", "a number"),
    ("i64", "a whole number"),
    ("u64", "a whole number"),
    ("u32", "a whole number"),
    ("usize", "a whole number"),
    ("unit", "null"),
];

/// Returns what is wrong with a JSON file, in the terms of JSON.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let (message, place) = message.rsplit_once(" at line ").unwrap_or((&message, ""));
    let place = if place.is_empty() {
        String::new()
    } else {
        format!("line {}: ", place.replace(" column ", ", column "))
    };
    if !error.is_data() {
        return format!("{place}is not JSON: {message}");
    }
    if message.starts_with("data did not match any variant") {
        return format!("{place}found a value of another form than expected");
    }
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let found = BEGINNINGS
        .iter()
        .find_map(|(jargon, plain)| Some(format!("{plain}{}", found.strip_prefix(jargon)?)))
        .unwrap_or_else(|| found.to_owned());
    let known = TYPES.iter().find(|(jargon, _)| *jargon == expected);
    let expected = match known {
        Some((_, plain)) => (*plain).to_owned(),
        None if expected.starts_with("struct ") => "an object".to_owned(),
        None => expected.replace("an array of length ", "a list of length "),
    };
    if expected.is_empty() {
        format!("{place}{found}")
    } else {
        format!("{place}{found} instead of {expected}")
    }
}

/// Returns the error of a file that cannot be parsed.
pub(super) fn damaged(place: &Path, reason: impl Into<String>) -> Error {
    Error::Given {
        path: place.to_path_buf(),
        kind: ErrorKind::ImportDamaged,
        reason: reason.into(),
        hint: "`dragnext import --list` shows what files of each kind have".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only errors are read")]
    struct Shape {
        label: String,
        points: Vec<[f64; 2]>,
        #[serde(default)]
        more: BTreeMap<String, i64>,
    }

    #[test]
    fn faults_are_in_the_terms_of_json() {
        for (text, expected) in [
            (
                "{",
                "line 1, column 1: is not JSON: EOF while parsing an object",
            ),
            ("[]", "found a list of length 0 instead of an object"),
            (
                "{\"label\": \"a\"}",
                "line 1, column 14: there is no `points`",
            ),
            ("{\"label\": 7}", "found the number `7` instead of a string"),
            (
                "{\"label\": \"a\", \"points\": {}}",
                "found an object instead of a list",
            ),
            (
                "{\"label\": \"a\", \"points\": [[1]]}",
                "found a list of length 1 instead of a list of length 2",
            ),
            (
                "{\"label\": \"a\", \"points\": [[1, \"x\"]]}",
                "found the text \"x\" instead of a number",
            ),
            (
                "{\"label\": \"a\", \"points\": [], \"more\": []}",
                "found a list instead of an object",
            ),
        ] {
            let error = parse::<Shape>(text.as_bytes(), Path::new("a.json")).expect_err(text);
            let message = error.to_string();
            assert!(message.starts_with("a.json: line 1, column "), "{message}");
            assert!(message.ends_with(expected), "{message}");
            assert!(error.hint().is_some());
        }
    }
}
