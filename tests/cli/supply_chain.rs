//! The dependencies of the program and its tests: only crates from crates.io, under permissive licences, built once for both.
//!
//! Security advisories need a database from the network; `.ci/run` checks them with `cargo deny` if it is installed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Crates whose licence is not on the list, each with the reason for the exception.
const EXCEPTIONS: [(&str, &str); 2] = [
    (
        "option-ext",
        "MPL-2.0 applies to its own files only; hf-hub uses it through dirs to find the home folder",
    ),
    (
        "webpki-roots",
        "CDLA-Permissive-2.0 is a licence for data: Mozilla's list of certificate authorities",
    ),
];

/// Returns the permitted licences, from the policy of `cargo deny`.
fn allowed() -> BTreeSet<String> {
    let policy =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/deny.toml"))
            .unwrap();
    let list = policy
        .split_once("\nallow = [")
        .unwrap()
        .1
        .split_once(']')
        .unwrap()
        .0;
    list.split(',')
        .map(|licence| licence.trim().trim_matches('"').to_owned())
        .filter(|licence| !licence.is_empty())
        .collect()
}

/// Returns whether an SPDX expression can be satisfied with permitted licences. `OR`, written `/` in old manifests, is a choice;
/// `AND` requires both.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let (verdict, rest) = choice(&tokens, allowed);
    assert!(rest.is_empty(), "cannot read `{expression}`");
    verdict
}

fn choice<'a>(tokens: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut verdict, mut rest) = both(tokens, allowed);
    while let [first, more @ ..] = rest
        && *first == "OR"
    {
        let (other, after) = both(more, allowed);
        (verdict, rest) = (verdict || other, after);
    }
    (verdict, rest)
}

fn both<'a>(tokens: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut verdict, mut rest) = licence(tokens, allowed);
    while let [first, more @ ..] = rest
        && *first == "AND"
    {
        let (other, after) = licence(more, allowed);
        (verdict, rest) = (verdict && other, after);
    }
    (verdict, rest)
}

fn licence<'a>(tokens: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    match tokens {
        ["(", inner @ ..] => {
            let (verdict, rest) = choice(inner, allowed);
            assert_eq!(
                rest.first(),
                Some(&")"),
                "unbalanced parenthesis: {tokens:?}"
            );
            (verdict, &rest[1..])
        }
        [name, "WITH", exception, rest @ ..] => {
            (allowed.contains(&format!("{name} WITH {exception}")), rest)
        }
        [name, rest @ ..] => (allowed.contains(*name), rest),
        [] => panic!("a licence is missing"),
    }
}

/// Returns what cargo prints with these arguments.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn licence_expressions_are_evaluated() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]
        .map(str::to_owned)
        .into();
    for (expression, expected) in [
        ("MIT", true),
        ("AGPL-3.0-only", false),
        ("MIT/Apache-2.0", true),
        ("GPL-2.0 OR MIT", true),
        ("GPL-2.0 AND MIT", false),
        ("(GPL-2.0 OR MIT) AND ISC", true),
        ("MIT AND GPL-2.0 OR ISC", true),
        ("ISC AND (GPL-2.0 OR AGPL-3.0)", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn every_crate_is_from_crates_io_and_freely_licensed() {
    let version = cargo(&["-vV"]);
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let metadata = ["metadata", "--locked", "--offline", "--format-version", "1"];
    let metadata = cargo(&[&metadata[..], &["--filter-platform", host]].concat());
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();

    let allowed = allowed();
    assert!(
        allowed.contains("MIT") && !allowed.iter().any(|licence| licence.contains("GPL")),
        "{allowed:?}"
    );
    let mut excused = BTreeSet::new();
    let mut wrong = Vec::new();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "the whole lockfile was read");
    for package in packages {
        let (name, licence) = (
            package["name"].as_str().unwrap(),
            package["license"].as_str().unwrap_or("nothing"),
        );
        if name != env!("CARGO_PKG_NAME")
            && package["source"] != "registry+https://github.com/rust-lang/crates.io-index"
        {
            wrong.push(format!("{name} is from {}", package["source"]));
        }
        if licence == "nothing" || !is_allowed(licence, &allowed) {
            match EXCEPTIONS.iter().find(|(excepted, _)| *excepted == name) {
                Some((excepted, _)) => drop(excused.insert(*excepted)),
                None => wrong.push(format!("{name} is under {licence}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        excused.len(),
        EXCEPTIONS.len(),
        "an exception is no longer needed: remove it"
    );
}

/// Returns the program's dependencies along these edges, each with its features.
fn features(edges: &str) -> BTreeSet<String> {
    let tree = ["tree", "--locked", "--offline", "--no-dedupe"];
    let format = ["--prefix", "none", "--format", "{p} {f}", "--edges", edges];
    let lines = cargo(&[&tree[..], &format].concat());
    lines.lines().map(str::to_owned).collect()
}

/// If a test dependency enabled a feature that the program does not, cargo would build that crate, and all that depend on it, twice.
/// `Cargo.toml` therefore enables such features for the program too.
#[test]
fn the_tests_use_the_same_builds_as_the_program() {
    let (program, tests) = (features("normal"), features("normal,dev"));
    let twice: Vec<&String> = program.difference(&tests).collect();
    assert!(
        twice.is_empty(),
        "the tests need other features of these crates; add them to [dependencies]: {twice:#?}"
    );
}
