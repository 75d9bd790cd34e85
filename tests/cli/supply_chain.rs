//! What is compiled into the program, or runs in its tests: only crates from crates.io, under licences that ask for no more than their notice.
//!
//! Advisories need a database from the network: `.ci/run` asks `cargo deny` where it is installed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Crates under a licence that is not on the list, each with the reason why it is used nevertheless.
const EXCEPTIONS: [(&str, &str); 2] = [
    (
        "option-ext",
        "MPL-2.0, which asks nothing of other files than its own; hf-hub finds the home folder with it, by way of dirs",
    ),
    (
        "webpki-roots",
        "CDLA-Permissive-2.0, a licence for data: Mozilla's list of certificate authorities",
    ),
];

/// The list of `.ci/deny.toml`, which `cargo deny` reads too.
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

/// Whether an SPDX expression leaves a way that takes allowed licences only: `OR` is a choice (old manifests write `/`), `AND` is not.
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
                "a parenthesis is open: {tokens:?}"
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

#[test]
fn expressions_are_read_as_they_are_meant() {
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
    let version = Command::new(env!("CARGO")).args(["-vV"]).output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--locked",
        "--offline",
        "--format-version",
        "1",
        "--filter-platform",
        host,
    ]);
    let output = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();

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
            wrong.push(format!("{name} comes from {}", package["source"]));
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
        "an exception that nothing needs has to go"
    );
}
