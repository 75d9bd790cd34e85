//! `dragnext settings`.

use serde_json::json;

use super::{GOOD, command, run};
use crate::bench::Bench;

#[test]
fn settings_show_the_source_of_each_value() {
    let bench = Bench::new();
    bench.write(
        "drag.json",
        GOOD.replace(
            "\"version\": 1",
            "\"version\": 1, \"settings\": { \"lr\": 0.5, \"seed\": 7, \"mode\": \"literal\" }",
        ),
    );
    let settings = command(&bench, &["settings", "--drag", "drag.json", "--json"])
        .args(["--seed", "9", "--iterations", "4"])
        .env("DRAGNEXT_LR", "0.1")
        .env("DRAGNEXT_ITERATIONS", "3")
        .record();
    for (name, value, origin) in [
        ("seed", json!(9), "flag"),
        ("iterations", json!(4), "flag"),
        ("lr", json!(0.1), "environment"),
        ("mode", json!("literal"), "drag-file"),
        ("strength", json!(0.5), "model"),
        ("taps", json!([1, 2, 3, 4]), "mode"),
        ("feather", json!(4), "default"),
    ] {
        assert_eq!(
            (&settings[name]["value"], &settings[name]["origin"]),
            (&value, &origin.into()),
            "{name}"
        );
        assert!(
            ["description", "source"]
                .iter()
                .all(|key| settings[name][key].is_string()),
            "{name}"
        );
    }
    assert_eq!(
        settings["lr"]["schema"],
        json!({ "type": "number", "exclusiveMinimum": 0.0, "maximum": 100.0 })
    );
    assert_eq!(
        (&settings["size"]["value"], &settings["size"]["resolved"]),
        (&json!(0), &json!(256))
    );
}

#[test]
fn settings_are_printed_as_a_table_of_eighty_columns() {
    let bench = Bench::new();
    let stdout = command(&bench, &["settings", "--start", "paper"])
        .env("DRAGNEXT_SEED", "12345678901234567890")
        .any_stdout()
        .run()
        .stdout;
    assert!(
        stdout.lines().all(|line| line.chars().count() <= 80),
        "{stdout}"
    );
    let row = |name: &str| {
        stdout
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        row("seed"),
        [
            "seed",
            "12345678901234567890",
            "environment",
            "any",
            "whole",
            "number"
        ]
    );
    assert_eq!(
        row("start"),
        ["start", "paper", "flag", "warped|moved|paper"]
    );
    assert_eq!(
        row("strength"),
        [
            "strength", "0.5", "model", "above", "0", "and", "at", "most", "1"
        ]
    );
    assert_eq!(
        row("ramp"),
        [
            "ramp", "auto", "(5)", "default", "auto", "or", "0", "to", "1000"
        ]
    );
    let wrong = run(&bench, &["settings", "--lr", "-1"]);
    assert!(
        wrong.0 == 2 && wrong.2.starts_with("error: lr: `-1.0` must be above 0"),
        "{wrong:?}"
    );
}
