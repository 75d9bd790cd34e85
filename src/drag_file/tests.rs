mod faults;
mod motions;

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
    let drag = DragFile::parse(FULL.as_bytes()).expect("a valid file");
    assert_eq!(drag.prompt, "a cat on a sofa");
    assert_eq!(drag.edit_prompt.as_deref(), Some("a cat that looks up"));
    assert_eq!(
        drag.editable,
        Editable::Shape(Shape::Mask {
            mask: "cat.editable.png".into(),
            reading: crate::mask::MaskReading::default(),
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
fn a_serialised_drag_file_reads_the_same() {
    let drag = DragFile::parse(FULL.as_bytes()).expect("a valid file");
    let written = serde_json::to_string(&drag).expect("it is written");
    let again = DragFile::parse(written.as_bytes()).expect("the serialised file is valid");
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
    let drag = DragFile::parse(FULL.as_bytes()).expect("a valid file");
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
    let without = DragFile::parse(region(MOVE).as_bytes()).expect("a valid file");
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
fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
    let text = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(
        DragFile::parse(text.as_bytes())
            .expect("a valid file")
            .regions
            .len(),
        4
    );
}
