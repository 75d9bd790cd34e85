//! Faults of the whole file: JSON, encoding, size, keys and numbers.

use serde_json::json;

use super::{MOVE, Scene, file};

#[test]
fn a_text_that_is_not_a_json_object() {
    let scene = Scene::new();
    for (content, place, message) in [
        ("", "1:1", "the file is empty"),
        ("null", "1:1", "a drag file is a JSON object"),
        ("[]", "1:1", "a drag file is a JSON object"),
        ("plain text", "1:1", "not JSON: expected value"),
        (
            "{\n  \"version\": 1,\n}",
            "3:1",
            "not JSON: key must be a string",
        ),
        ("[1, ]", "1:5", "not JSON: expected value"),
        (
            "{\n  \"version\": NaN\n}",
            "2:14",
            "not JSON: expected value",
        ),
        (
            "{\n  // a comment\n}",
            "2:3",
            "not JSON: key must be a string",
        ),
        (
            "{ \"version\": 1",
            "1:15",
            "not JSON: the file ends inside an object",
        ),
    ] {
        let (faults, stderr) = scene.faults(content);
        assert_eq!(
            faults,
            [format!("instruction.syntax  {place}")],
            "{content}: {stderr}"
        );
        assert!(
            stderr.starts_with(&format!("error: drag.json: {message}")),
            "{stderr}"
        );
    }
}

/// Twenty times the parser's limit, and far more than its stack would hold.
#[test]
fn deep_nesting() {
    let scene = Scene::new();
    for count in [10_000, 1_000_000] {
        for content in [
            "[".repeat(count),
            "[".repeat(count) + &"]".repeat(count),
            "{\"comment\":".repeat(count),
        ] {
            let (faults, stderr) = scene.faults(content);
            assert!(
                faults.len() == 1 && faults[0].starts_with("instruction.syntax  1:"),
                "{faults:?}"
            );
            assert!(
                stderr.contains("recursion limit exceeded") && stderr.len() < 1000,
                "{stderr}"
            );
        }
    }
}

/// The memory in the record shows that the file was not read.
#[test]
fn three_hundred_megabytes() {
    const MEGABYTE: u64 = 1 << 20;
    let scene = Scene::new();
    let memory = |drag: &str, kind: &str| {
        let edit = ["edit", "in.png", "--drag", drag, "--json"];
        let record = scene.dragnext(&edit).status(2).record();
        assert_eq!(record.kind(), kind);
        record["peak_bytes"].as_u64()
    };
    scene.0.write("small.json", "{}");
    let large = std::fs::File::create(scene.path("large.json")).unwrap();
    large.set_len(300 * MEGABYTE).unwrap();
    assert_eq!(large.metadata().unwrap().len(), 300 * MEGABYTE);
    let (small, large) = (
        memory("small.json", "instruction.missing_field"),
        memory("large.json", "instruction.too_large"),
    );
    if let (Some(small), Some(large)) = (small, large) {
        assert!(
            large < small + 8 * MEGABYTE,
            "{large} bytes for a large file, {small} for a small one"
        );
    }
    // The length of stdin is unknown, so it is read up to the limit.
    let verdict = scene
        .dragnext(&["validate", "-", "--json"])
        .stdin(vec![b' '; 17 << 20])
        .status(2)
        .record();
    assert_eq!(verdict["faults"][0]["kind"], "instruction.too_large");
}

#[test]
fn unknown_keys() {
    let scene = Scene::new();
    let (faults, stderr) = scene.faults(file(&MOVE.replace("target", "taget")));
    assert_eq!(
        faults,
        [
            "instruction.missing_field /regions/0 2:1",
            "instruction.unknown_field /regions/0/taget 2:86"
        ]
    );
    assert!(
        stderr.contains("unknown key `taget`") && stderr.contains("= hint: did you mean `target`?"),
        "{stderr}"
    );
    assert!(stderr.ends_with("\n2 faults in drag.json\n"), "{stderr}");
    let (faults, stderr) = scene
        .faults("{ \"version\": 1, \"colour\": 1, \"regions\": [{ ".to_owned() + MOVE + " }] }");
    assert_eq!(faults, ["instruction.unknown_field /colour 1:17"]);
    assert!(
        stderr.contains(
            "= hint: known keys are `$schema`, `version`, `method`, `prompt`, `edit_prompt`,"
        ),
        "{stderr}"
    );
}

#[test]
fn a_key_twice() {
    let (faults, stderr) = Scene::new().faults(file(&format!("\"handle\": [1, 1], {MOVE}")));
    assert_eq!(
        faults,
        ["instruction.duplicate_field /regions/0/handle 2:84"]
    );
    assert!(stderr.contains("`handle` is given twice"), "{stderr}");
}

#[test]
fn another_version() {
    let (faults, stderr) = Scene::new().faults("{ \"version\": 99, \"nodes\": [] }");
    assert_eq!(faults, ["instruction.version /version 1:14"]);
    assert!(
        stderr.contains("this program reads version 1")
            && stderr.contains("hint: a newer program may read this file"),
        "{stderr}"
    );
}

#[test]
fn numbers_at_their_limits() {
    let scene = Scene::new();
    for (value, kind) in [
        ("\"70\"", "instruction.type"),
        ("null", "instruction.type"),
        ("1e999", "instruction.range"),
        ("-1e999", "instruction.range"),
        ("9223372036854775808", "instruction.range"),
        ("1000000.5", "instruction.range"),
    ] {
        let (faults, stderr) = scene.faults(file(&MOVE.replace("[70,", &format!("[{value},"))));
        assert_eq!(
            faults,
            [format!("{kind} /regions/0/target/0 2:97")],
            "{value}: {stderr}"
        );
    }
    for value in ["NaN", "+1", "01", ".5", "0x10", "Infinity"] {
        let (faults, _) = scene.faults(file(&MOVE.replace("[70,", &format!("[{value},"))));
        assert!(
            faults.len() == 1 && faults[0].starts_with("instruction.syntax  2:9"),
            "{value}: {faults:?}"
        );
    }
    for value in ["-0.0", "0", "7e1", "70.000000000000000000001", "1e-400"] {
        let validated = scene.validate(file(&MOVE.replace("[70,", &format!("[{value},"))));
        assert_eq!(
            validated.record["faults"],
            json!([]),
            "{value}: {validated}"
        );
    }
}

#[test]
fn encodings() {
    let scene = Scene::new();
    let text = file(MOVE);
    for content in [
        format!("\u{feff}{text}"),
        text.replace('\n', "\r\n"),
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
    ] {
        assert!(scene.warnings(content).0.is_empty());
    }
    for (mark, byte) in [(&b""[..], 17), (b"\xef\xbb\xbf", 20)] {
        let latin = [mark, b"{\n  \"prompt\": \"caf\xe9\" }"].concat();
        let (faults, stderr) = scene.faults(&latin);
        assert_eq!(latin[byte + 1], 0xe9);
        assert_eq!(faults, ["instruction.not_utf8  2:17"]);
        assert!(
            stderr.contains(&format!("the file is not UTF-8: byte {} is 0xe9", byte + 1)),
            "{stderr}"
        );
    }
}
