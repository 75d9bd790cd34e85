use super::*;
use crate::error::ErrorKind;
use crate::geometry::{Point, PointPair};
use crate::outline::Outline;
use crate::region::RegionKind;
use serde_json::json;

const FULL: &str = r#"{
  "$schema": "https://example.org/drag.schema.json", "version": 1, "comment": ["anything"],
  "prompt": "a cat on a sofa", "edit_prompt": "a cat that looks up",
  "editable": { "mask": "cat.editable.png" },
  "regions": [
    { "id": "head", "type": "rotation", "x-tool": {"taget": 1},
      "region": { "polygon": [[210, 80], [300, 70], [320, 180], [205, 190]] },
      "handle": [300, 90], "target": [315, 130], "center": [255, 185] },
    { "type": "translation", "region": { "ellipse": [410, 330, 40, 25] }, "handle": [410, 330], "target": [470, -0.0] },
    { "id": "lid", "type": "rotation", "region": { "rect": [10, 10, 60.5, 4e1] }, "center": [10, 10], "angle": -720 },
    { "id": "nose", "type": "point", "handle": [250, 120.5], "target": [240, 118] }
  ],
  "settings": { "seed": 7, "taps": [2, 3], "start": "paper", "ramp": "auto" }
}
"#;

fn region(body: &str) -> String {
    format!("{{\"version\": 1, \"regions\": [{{{body}}}]}}")
}

const MOVE: &str = r#""type": "translation", "region": {"rect": [0, 0, 9, 9]}, "handle": [1, 1], "target": [5, 1]"#;

fn faults(text: impl AsRef<[u8]>) -> Vec<DragFileFault> {
    DragFile::parse(text.as_ref()).expect_err("the file is wrong")
}

/// `kind pointer` of every fault.
fn found(text: impl AsRef<[u8]>) -> Vec<String> {
    faults(text)
        .iter()
        .map(|fault| format!("{} {}", fault.kind, fault.pointer))
        .collect()
}

#[test]
fn a_full_file_is_read() {
    let drag = DragFile::parse(FULL.as_bytes()).expect("a good file");
    assert_eq!(drag.prompt, "a cat on a sofa");
    assert_eq!(drag.edit_prompt.as_deref(), Some("a cat that looks up"));
    assert_eq!(
        drag.editable,
        Editable::Shape(Shape::Mask {
            mask: "cat.editable.png".into()
        })
    );
    let [head, tail, lid, nose] = &*drag.regions else {
        panic!("four regions")
    };
    assert_eq!(
        (&*head.id, &*tail.id, &*lid.id),
        ("head", "region-2", "lid")
    );
    assert_eq!(
        (head.drag.kind(), tail.drag.kind()),
        (RegionKind::Rotation, RegionKind::Translation)
    );
    assert_eq!(
        lid.drag,
        Drag::Rotation {
            shape: Shape::Outline(Outline::Rect([10.0, 10.0, 60.5, 40.0])),
            center: Point::new(10.0, 10.0),
            turn: Turn::Angle { angle: -720.0 }
        }
    );
    let points = PointPair {
        handle: Point::new(250.0, 120.5),
        target: Point::new(240.0, 118.0),
    };
    assert_eq!(nose.drag, Drag::Point { points });
    let setting = |name| drag.settings.get(name).cloned();
    assert_eq!((setting("seed"), setting("steps")), (Some(json!(7)), None));
    assert_eq!(setting("ramp"), Some(json!("auto")));
}

#[test]
fn what_is_written_reads_the_same() {
    let drag = DragFile::parse(FULL.as_bytes()).expect("a good file");
    let written = serde_json::to_string(&drag).expect("it is written");
    let again = DragFile::parse(written.as_bytes()).expect("what was written is a good file");
    assert_eq!(
        (
            again.edit_prompt,
            again.editable,
            again.regions,
            again.settings
        ),
        (drag.edit_prompt, drag.editable, drag.regions, drag.settings)
    );
}

#[test]
fn a_region_is_written_with_the_keys_of_its_type_in_a_fixed_order() {
    let drag = DragFile::parse(FULL.as_bytes()).expect("a good file");
    let written: Vec<String> = drag
        .regions
        .iter()
        .map(|region| serde_json::to_string(region).expect("it is written"))
        .collect();
    assert_eq!(
        written,
        [
            r#"{"id":"head","type":"rotation","region":{"polygon":[[210.0,80.0],[300.0,70.0],[320.0,180.0],[205.0,190.0]]},"center":[255.0,185.0],"handle":[300.0,90.0],"target":[315.0,130.0]}"#,
            r#"{"id":"region-2","type":"translation","region":{"ellipse":[410.0,330.0,40.0,25.0]},"handle":[410.0,330.0],"target":[470.0,-0.0]}"#,
            r#"{"id":"lid","type":"rotation","region":{"rect":[10.0,10.0,60.5,40.0]},"center":[10.0,10.0],"angle":-720.0}"#,
            r#"{"id":"nose","type":"point","handle":[250.0,120.5],"target":[240.0,118.0]}"#,
        ]
    );
    let without = DragFile::parse(region(MOVE).as_bytes()).expect("a good file");
    let written = serde_json::to_string(&without).expect("it is written");
    assert!(!written.contains("edit_prompt"), "{written}");
}

#[test]
fn a_point_has_no_region_centre_or_angle() {
    let point = r#""type": "point", "handle": [1, 1], "target": [5, 1]"#;
    assert!(DragFile::parse(region(point).as_bytes()).is_ok());
    for (key, value, hint) in [
        (
            "region",
            "{\"rect\": [0, 0, 9, 9]}",
            "to drag a region, use the type `translation` or `deformation`",
        ),
        (
            "center",
            "[4, 4]",
            "to turn a region, use the type `rotation`",
        ),
        ("angle", "5", "to turn a region, use the type `rotation`"),
    ] {
        let faults = faults(region(&format!("{point}, \"{key}\": {value}")));
        let [fault] = &*faults else {
            panic!("one fault, found {faults:?}")
        };
        assert_eq!(
            (fault.kind, &*fault.pointer),
            (
                ErrorKind::InstructionConflict,
                &*format!("/regions/0/{key}")
            )
        );
        assert_eq!(fault.message, format!("a point has no `{key}`"));
        assert_eq!(fault.hint.as_deref(), Some(hint));
    }
    assert_eq!(
        found(region(r#""type": "point", "handle": [1, 1]"#)),
        ["instruction.missing_field /regions/0"]
    );
    assert_eq!(
        found(region(r#""type": "point", "handle": [1, 1], "target": 5"#)),
        ["instruction.type /regions/0/target"]
    );
}

#[test]
fn an_edit_prompt_is_a_string() {
    let text = region(MOVE).replace("\"version\"", "\"edit_prompt\": 3, \"version\"");
    assert_eq!(found(text), ["instruction.type /edit_prompt"]);
}

#[test]
fn byte_order_mark_and_windows_lines_are_fine() {
    let text = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(
        DragFile::parse(text.as_bytes())
            .expect("a good file")
            .regions
            .len(),
        4
    );
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
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
    let drag = DragFile::parse(FULL.as_bytes()).expect("a good file");
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
fn unknown_keys_come_with_a_suggestion() {
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
fn what_is_no_drag_file_is_a_syntax_fault() {
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
fn deep_nesting_is_no_stack_overflow() {
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
fn what_is_not_utf8_is_told_with_its_offset() {
    let fault = &faults(b"{\"prompt\":\n \"caf\xe9\"}")[0];
    assert_eq!(
        (fault.kind, fault.line, fault.column),
        (ErrorKind::InstructionNotUtf8, 2, 6)
    );
    assert!(fault.message.contains("byte 16 is 0xe9"), "{fault}");
}

#[test]
fn limits_of_size_are_kept() {
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
fn other_versions_are_refused_before_their_keys() {
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
fn values_that_cannot_be_are_refused() {
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
            "\"angle\": 4, \"target\"",
            "instruction.conflict /regions/0/angle",
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
fn two_regions_cannot_have_one_name() {
    let text =
        format!("{{\"version\": 1, \"regions\": [{{{MOVE}}}, {{\"id\": \"region-1\", {MOVE}}}]}}");
    assert_eq!(found(text), ["instruction.duplicate_id /regions/1/id"]);
}

#[test]
fn wrong_settings_have_their_own_places() {
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
fn wrong_settings_are_told_in_words_of_their_own() {
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
    .expect("a good file");
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
fn endless_faults_are_cut() {
    let keys: Vec<String> = (0..100_000).map(|key| format!("\"key{key}\": 1")).collect();
    assert_eq!(faults(format!("{{{}}}", keys.join(","))).len(), 100);
}
