//! Faults: their kinds, places, messages and hints.

use super::*;

#[test]
fn all_faults_are_reported_at_once_with_their_places() {
    let text = "{\n  \"version\": 1, \"promt\": \"x\",\n  \"regions\": [\n    {\"type\": \"translation\", \"region\": {\"rect\": [9, 0, 9, 9]},\n     \"handle\": [1, \"90\"], \"taget\": [5, 1]}\n  ],\n  \"settings\": {\"lr\": -1}\n}\n";
    let shown: Vec<String> = faults(text)
        .iter()
        .map(|fault| format!("{}:{} {fault}", fault.line, fault.column))
        .collect();
    assert_eq!(
        shown,
        [
            "2:17 /promt: unknown key `promt`",
            "4:5 /regions/0: `target` is missing",
            "4:48 /regions/0/region/rect: a rectangle [x0, y0, x1, y1] needs x0 < x1 and y0 < y1",
            "5:20 /regions/0/handle/1: expected a number, found a string",
            "5:27 /regions/0/taget: unknown key `taget`",
            "7:22 /settings/lr: `lr` must be above 0 and at most 100, found `-1`",
        ]
    );
}

#[test]
fn a_fault_marks_its_value_or_its_key() {
    let text = region(&MOVE.replace("[5, 1]", "[5, 1e999], \"hadle\": 3"))
        .replace(", \"regions", ",\n\t\"regions");
    let faults = faults(&text);
    let marked: Vec<&str> = faults
        .iter()
        .map(|fault| fault.excerpt(9, 9).inside)
        .collect();
    assert_eq!(marked, ["1e999", "\"hadle\""]);
    assert!(
        faults[0]
            .excerpt(999, 9)
            .before
            .starts_with("\t\"regions\": [{")
            && faults[0].excerpt(3, 9).before == "5, "
    );
}

#[test]
fn faults_name_the_region_when_it_has_a_name() {
    let text = |id: &str| region(&format!("{id}{}", MOVE.replace("[5, 1]", "[5]")));
    assert_eq!(
        faults(text("\"id\": \"tail\", "))[0].to_string(),
        "region `tail` at /regions/0/target: expected [x, y], found a list of 1"
    );
    assert_eq!(
        faults(text(""))[0].to_string(),
        "/regions/0/target: expected [x, y], found a list of 1"
    );
    assert_eq!(
        faults(text("\"id\": \"\\u001b\", "))
            .iter()
            .filter(|fault| fault.region.is_some())
            .count(),
        0,
        "a name that cannot be shown"
    );
    let drag = DragFile::parse(FULL.as_bytes()).expect("a valid file");
    let at = |pointer: &str| {
        drag.fault(ErrorKind::InstructionRange, pointer, "message".into(), None)
            .to_string()
    };
    assert_eq!(
        at("/regions/0/handle"),
        "region `head` at /regions/0/handle: message"
    );
    assert_eq!(at("/regions/1/handle"), "/regions/1/handle: message");
    assert_eq!(at("/editable"), "/editable: message");
}

#[test]
fn an_unknown_key_has_a_suggestion() {
    for (text, kind, hint) in [
        (
            region(&MOVE.replace("target", "taget")),
            ErrorKind::InstructionUnknownField,
            "did you mean `target`?",
        ),
        (
            region(&MOVE.replace("rect", "ract")),
            ErrorKind::InstructionUnknownField,
            "did you mean `rect`?",
        ),
        (
            region(&MOVE.replace("translation", "tranlation")),
            ErrorKind::InstructionRange,
            "did you mean `translation`?",
        ),
        (
            format!(
                "{{\"settings\": {{\"lora-rank\": 4}}, {}",
                &region(MOVE)[1..]
            ),
            ErrorKind::InstructionUnknownField,
            "did you mean `lora_rank`?",
        ),
    ] {
        let faults = faults(&text);
        assert!(
            faults
                .iter()
                .any(|fault| fault.kind == kind && fault.hint.as_deref() == Some(hint)),
            "{text}: {faults:?}"
        );
    }
}

#[test]
fn a_text_that_is_not_a_json_object_is_a_syntax_fault() {
    for text in [
        "",
        "null",
        "[]",
        "plain text",
        "{\"version\": 1,}",
        "{\"version\": NaN}",
        "{'version': 1}",
        "{} {}",
        "// {}",
        "\"\\ud800\"",
    ] {
        assert_eq!(found(text), ["instruction.syntax "], "{text}");
    }
    let fault = &faults("{\n  \"version\": 1,\n  \"prompt\": nope\n}")[0];
    assert_eq!(
        (fault.line, fault.column, fault.excerpt(9, 9).inside),
        (3, 13, "nope"),
        "{fault}"
    );
}

#[test]
fn deep_nesting_is_a_fault_and_not_a_stack_overflow() {
    for count in [10_000, 1_000_000] {
        assert_eq!(found("[".repeat(count)), ["instruction.syntax "]);
        assert_eq!(
            found("[".repeat(count) + &"]".repeat(count)),
            ["instruction.syntax "]
        );
        assert_eq!(
            found("{\"comment\":".repeat(count) + "1" + &"}".repeat(count)),
            ["instruction.syntax "]
        );
    }
}

#[test]
fn text_that_is_not_utf8_is_reported_with_its_offset() {
    let fault = &faults(b"{\"prompt\":\n \"caf\xe9\"}")[0];
    assert_eq!(
        (fault.kind, fault.line, fault.column),
        (ErrorKind::InstructionNotUtf8, 2, 6)
    );
    assert!(fault.message.contains("byte 16 is 0xe9"), "{fault}");
}

#[test]
fn size_limits_are_enforced() {
    let spaces = vec![b' '; MAX_BYTES as usize + 1];
    assert_eq!(found(spaces), ["instruction.too_large "]);
    let many = |count: usize| {
        format!(
            "{{\"version\": 1, \"regions\": [{}]}}",
            vec![format!("{{{MOVE}}}"); count].join(",")
        )
    };
    assert!(DragFile::parse(many(64).as_bytes()).is_ok());
    assert_eq!(found(many(1001)), ["instruction.too_large /regions"]);
    let polygon = |count: usize| {
        let corners: Vec<String> = (0..count).map(|x| format!("[{x}, {}]", x % 7)).collect();
        region(&MOVE.replace(
            "\"rect\": [0, 0, 9, 9]",
            &format!("\"polygon\": [{}]", corners.join(",")),
        ))
    };
    assert!(DragFile::parse(polygon(10_000).as_bytes()).is_ok());
    assert_eq!(
        found(polygon(10_001)),
        ["instruction.too_large /regions/0/region/polygon"]
    );
}

#[test]
fn another_version_is_rejected_without_faults_in_its_keys() {
    assert_eq!(
        found("{\"version\": 99, \"nodes\": []}"),
        ["instruction.version /version"]
    );
    assert!(
        DragFile::parse(
            region(MOVE)
                .replace("\"version\": 1", "\"version\": 1.0")
                .as_bytes()
        )
        .is_ok()
    );
    assert_eq!(
        found("{\"version\": \"1\", \"regions\": []}"),
        [
            "instruction.type /version",
            "instruction.no_regions /regions"
        ]
    );
    assert_eq!(
        found("{}"),
        ["instruction.missing_field ", "instruction.missing_field "]
    );
}

#[test]
fn invalid_values_are_faults() {
    for (from, to, expected) in [
        (
            "[5, 1]",
            "[5, \"1\"]",
            "instruction.type /regions/0/target/1",
        ),
        ("[5, 1]", "[5]", "instruction.type /regions/0/target"),
        ("[5, 1]", "{\"x\": 5}", "instruction.type /regions/0/target"),
        (
            "[5, 1]",
            "[5, 9223372036854775808]",
            "instruction.range /regions/0/target/1",
        ),
        (
            "[5, 1]",
            "[5, -1e999]",
            "instruction.range /regions/0/target/1",
        ),
        (
            "\"target\"",
            "\"handle\": [1, 1], \"target\"",
            "instruction.duplicate_field /regions/0/handle",
        ),
        (
            "\"target\"",
            "\"center\": [4, 4], \"target\"",
            "instruction.conflict /regions/0/center",
        ),
        (
            "\"target\"",
            "\"angle\": 3601, \"target\"",
            "instruction.range /regions/0/angle",
        ),
        (
            "\"target\"",
            "\"id\": \"\", \"target\"",
            "instruction.range /regions/0/id",
        ),
        (
            "\"rect\": [0, 0, 9, 9]",
            "",
            "instruction.missing_field /regions/0/region",
        ),
        (
            "\"rect\"",
            "\"mask\": \"a.png\", \"rect\"",
            "instruction.conflict /regions/0/region/rect",
        ),
        (
            "\"rect\": [0, 0, 9, 9]",
            "\"ellipse\": [4, 4, 0, 1]",
            "instruction.range /regions/0/region/ellipse",
        ),
        (
            "\"rect\": [0, 0, 9, 9]",
            "\"polygon\": [[0, 0], [9, 9]]",
            "instruction.range /regions/0/region/polygon",
        ),
        (
            "\"rect\": [0, 0, 9, 9]",
            "\"polygon\": [[0, 0], [9, 9], [4, 4]]",
            "instruction.range /regions/0/region/polygon",
        ),
        (
            "\"rect\": [0, 0, 9, 9]",
            "\"mask\": \"\"",
            "instruction.range /regions/0/region/mask",
        ),
    ] {
        let text = region(&MOVE.replace(from, to));
        assert_eq!(found(&text), [expected], "{text}");
    }
}

#[test]
fn a_rotation_has_a_centre_and_an_angle_or_two_points() {
    let with = |rest: &str| {
        region(&format!(
            "\"type\": \"rotation\", \"region\": {{\"rect\": [0, 0, 9, 9]}}{rest}"
        ))
    };
    let points = ", \"handle\": [1, 1], \"target\": [5, 1]";
    assert_eq!(found(with(points)), ["region.rotation_centre /regions/0"]);
    assert_eq!(
        found(with(", \"center\": [4, 4]")),
        ["instruction.missing_field /regions/0"]
    );
    assert_eq!(
        found(with(&format!(", \"center\": [4, 4], \"angle\": 5{points}"))),
        ["instruction.conflict /regions/0/angle"]
    );
    assert_eq!(
        found(with(", \"center\": [4, 4], \"angle\": 3601")),
        ["instruction.range /regions/0/angle"]
    );
    assert_eq!(
        found(with(", \"center\": [4, 4], \"target\": [5, 1]")),
        ["instruction.missing_field /regions/0"]
    );
    assert!(DragFile::parse(with(&format!(", \"center\": [4, 4]{points}")).as_bytes()).is_ok());
}

#[test]
fn two_regions_with_one_id_are_a_fault() {
    let text =
        format!("{{\"version\": 1, \"regions\": [{{{MOVE}}}, {{\"id\": \"region-1\", {MOVE}}}]}}");
    assert_eq!(found(text), ["instruction.duplicate_id /regions/1/id"]);
}

#[test]
fn each_wrong_setting_has_its_place() {
    let text = format!(
        "{{\"settings\": {{\"lr\": \"fast\", \"strength\": 1.5, \"steps\": 1e999, \"taps\": [5], \"mode\": \"other\", \"steps\": 3}}, {}",
        &region(MOVE)[1..]
    );
    assert_eq!(
        found(text),
        [
            "instruction.type /settings/lr",
            "instruction.range /settings/strength",
            "instruction.range /settings/steps",
            "instruction.range /settings/taps",
            "instruction.range /settings/mode",
            "instruction.duplicate_field /settings/steps"
        ]
    );
}

#[test]
fn each_wrong_setting_has_its_message() {
    for (value, expected, hint) in [
        (
            "\"lr\": \"fast\"",
            "expected a number, found a string",
            "`dragnext settings` shows every setting with its bounds",
        ),
        (
            "\"steps\": 1.5",
            "expected a whole number, found `1.5`",
            "`dragnext settings` shows every setting with its bounds",
        ),
        (
            "\"steps\": null",
            "expected a whole number, found null",
            "`dragnext settings` shows every setting with its bounds",
        ),
        (
            "\"steps\": -3",
            "`steps` must be 1 to 1000, found `-3`",
            "`dragnext settings` shows every setting with its bounds",
        ),
        (
            "\"mode\": \"litral\"",
            "expected `pbsi`, `literal` or `literal-strict`, found `litral`",
            "did you mean `literal`?",
        ),
        (
            "\"ramp\": \"slow\"",
            "expected a whole number or `auto`, found a string",
            "`dragnext settings` shows every setting with its bounds",
        ),
        (
            "\"hard_background\": 1",
            "expected true or false, found `1`",
            "`dragnext settings` shows every setting with its bounds",
        ),
        (
            "\"taps\": 3",
            "expected a list of decoder stages, such as [2, 3], found `3`",
            "`dragnext settings` shows every setting with its bounds",
        ),
    ] {
        let faults = faults(format!(
            "{{\"settings\": {{{value}}}, {}",
            &region(MOVE)[1..]
        ));
        assert_eq!(
            (&*faults[0].message, faults[0].hint.as_deref()),
            (expected, Some(hint)),
            "{value}"
        );
    }
    let drag = DragFile::parse(
        format!("{{\"settings\": {{\"steps\": 5e1}}, {}", &region(MOVE)[1..]).as_bytes(),
    )
    .expect("a valid file");
    assert_eq!(drag.settings.get("steps"), Some(&json!(50)));
}

#[test]
fn keys_in_messages_are_escaped() {
    let fault = &faults("{\"version\": 1, \"\\u001b[2J\u{202e}key\": 1, \"regions\": []}")[0];
    assert!(
        !fault.to_string().contains(['\u{1b}', '\u{202e}']),
        "{fault:?}"
    );
}

#[test]
fn at_most_a_hundred_faults_are_reported() {
    let keys: Vec<String> = (0..100_000).map(|key| format!("\"key{key}\": 1")).collect();
    assert_eq!(faults(format!("{{{}}}", keys.join(","))).len(), 100);
}
