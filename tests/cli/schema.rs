//! The JSON schema of drag files: the committed file is up to date, and schema and parser agree wherever a schema can check.

use std::path::{Path, PathBuf};

use dragnext::drag_file::{DragFile, schema};
use dragnext::method::{groups, methods_with};
use serde_json::{Value, json};

use crate::bench::Bench;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn good() -> Value {
    json!({
        "version": 1,
        "regions": [{ "type": "translation", "region": { "rect": [0, 0, 9, 9] }, "handle": [1, 1], "target": [5, 1] }]
    })
}

/// Returns a valid file with the value at a pointer replaced or, at a new key, added.
fn with(pointer: &str, value: Value) -> Value {
    let mut file = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match file.pointer_mut(parent).unwrap() {
        Value::Object(object) => object.insert(key.into(), value),
        Value::Array(list) => Some(std::mem::replace(
            &mut list[key.parse::<usize>().unwrap()],
            value,
        )),
        other => panic!("{other} has no {key}"),
    };
    file
}

fn without(pointer: &str) -> Value {
    let mut file = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    file.pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(key)
        .unwrap();
    file
}

/// Returns a file with a rotation that has these keys.
fn rotation(keys: Value) -> Value {
    let region = json!({ "type": "rotation", "region": { "ellipse": [4, 4, 3, 2] } });
    with("/regions/0", extended(region, keys))
}

/// Returns a file with a point that has these keys.
fn point(keys: Value) -> Value {
    with("/regions/0", extended(json!({ "type": "point" }), keys))
}

fn extended(mut region: Value, keys: Value) -> Value {
    if let (Value::Object(region), Value::Object(keys)) = (&mut region, keys) {
        region.extend(keys);
    }
    region
}

/// `dragnext schema > assets/drag.schema.json` updates it.
#[test]
fn the_committed_schema_is_up_to_date() {
    let committed = std::fs::read_to_string(root().join("assets/drag.schema.json")).unwrap();
    let printed = Bench::new().dragnext(["schema"]).any_stdout().run().stdout;
    assert!(
        committed == printed,
        "assets/drag.schema.json is out of date; run `cargo run --release -- schema > assets/drag.schema.json`"
    );
    assert_eq!(serde_json::from_str::<Value>(&committed).unwrap(), schema());
}

#[test]
fn the_schema_is_valid() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn every_drag_file_of_the_repository_is_valid_by_the_schema() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let mut files: Vec<PathBuf> = vec![root().join("tests/fixtures/edit/drag.json")];
    for folder in [
        "examples/edits",
        "tests/scenebench/suite",
        "tests/scenebench/hard",
        "tests/scenebench/motions",
    ] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path().join("drag.json")));
    }
    assert!(files.len() > 40, "{files:?}");
    for path in files {
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&file)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

/// Editors show the descriptions.
#[test]
fn every_key_is_described() {
    fn check(schema: &Value, place: &str) {
        let Value::Object(properties) = &schema["properties"] else {
            return;
        };
        for (key, value) in properties {
            let place = format!("{place}/{key}");
            assert!(
                value["description"].is_string() || value["$ref"].is_string(),
                "{place} has no description"
            );
            check(value, &place);
        }
    }
    let schema = schema();
    check(&schema, "");
    for part in ["region", "shape"] {
        check(&schema["$defs"][part], part);
    }
    for setting in groups().iter().flat_map(|group| group.settings) {
        assert!(
            !setting.source.is_empty() && setting.text().len() > 10,
            "{}",
            setting.name
        );
        let known = &schema["properties"]["settings"]["properties"][setting.name];
        // A setting of several methods has several defaults.
        let has_default = known["default"] == setting.default();
        assert!(
            (has_default || methods_with(setting.name).len() > 1)
                && known["description"]
                    .as_str()
                    .unwrap()
                    .contains(setting.source),
            "{}",
            setting.name
        );
    }
}

/// Checks that schema and parser both accept or both reject files.
fn assert_agreement(is_valid: bool, files: impl IntoIterator<Item = Value>) {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    for file in files {
        let text = file.to_string();
        let parsed = DragFile::parse(text.as_bytes());
        assert_eq!(
            parsed.is_ok(),
            is_valid,
            "the parser on {text:.300}: {parsed:.300?}"
        );
        assert_eq!(
            validator.is_valid(&file),
            is_valid,
            "the schema on {text:.300}"
        );
    }
}

fn regions(count: usize) -> Value {
    json!(vec![good()["regions"][0].clone(); count])
}

#[test]
fn schema_and_parser_agree_on_the_keys_of_a_file() {
    assert_agreement(
        true,
        [
            good(),
            with("/$schema", json!("drag.schema.json")),
            with("/comment", json!(["anything"])),
            with("/x-tool", json!({ "taget": 1 })),
            with("/prompt", json!("a cat")),
            with("/edit_prompt", json!("a cat that looks up")),
            with("/version", json!(1.0)),
            with("/editable", json!("everything")),
            with("/editable", json!({ "mask": "a.png", "comment": 1 })),
            with(
                "/editable",
                json!({ "mask": "a.png", "channel": "alpha", "invert": true }),
            ),
            with("/regions", regions(64)),
        ],
    );
    assert_agreement(
        false,
        [
            json!([]),
            json!(null),
            without("/version"),
            without("/regions"),
            with("/version", json!(99)),
            with("/version", json!("1")),
            with("/promt", json!("")),
            with("/prompt", json!(3)),
            with("/edit_prompt", json!(null)),
            with("/$schema", json!(3)),
            with("/editable", json!("everywhere")),
            with("/editable", json!({})),
            with("/editable", json!(null)),
            with("/regions", json!([])),
            with("/regions", regions(65)),
        ],
    );
}

#[test]
fn schema_and_parser_agree_on_regions() {
    let shape = |shape: Value| with("/regions/0/region", shape);
    let corners = |count: usize| (0..count).map(|x| json!([x, x % 7])).collect::<Vec<_>>();
    assert_agreement(
        true,
        [
            with("/regions/0/id", json!("tail")),
            with("/regions/0/x-id", json!(3)),
            with("/regions/0/type", json!("deformation")),
            with("/regions/0/target/1", json!(-0.0)),
            with("/regions/0/target/1", json!(1e6)),
            shape(json!({ "polygon": [[0, 0], [9, 0], [4, 8]] })),
        ],
    );
    assert_agreement(
        false,
        [
            without("/regions/0/type"),
            without("/regions/0/region"),
            without("/regions/0/target"),
            with("/regions/0", json!("box")),
            with("/regions/0/taget", json!([5, 1])),
            with("/regions/0/id", json!("")),
            with("/regions/0/id", json!("x".repeat(65))),
            with("/regions/0/type", json!("tranlation")),
            with("/regions/0/angle", json!(3601)),
            with("/regions/0/center", json!([4, 4])),
            with("/regions/0/target", json!([5])),
            with("/regions/0/target", json!([5, 1, 1])),
            with("/regions/0/target/1", json!("1")),
            with("/regions/0/target/1", json!(1_000_001)),
            shape(json!({})),
            shape(json!({ "rect": [0, 0, 9, 9], "mask": "a.png" })),
            shape(json!({ "ract": [0, 0, 9, 9] })),
            shape(json!({ "rect": [0, 0, 9] })),
            shape(json!({ "ellipse": [4, 4, 0, 1] })),
            shape(json!({ "polygon": corners(2) })),
            shape(json!({ "polygon": corners(10_001) })),
            shape(json!({ "mask": "" })),
            shape(json!({ "mask": "a.png", "channel": "red" })),
            shape(json!({ "mask": "a.png", "invert": 1 })),
            shape(json!({ "rect": [0, 0, 9, 9], "invert": true })),
            shape(json!({ "channel": "luma" })),
        ],
    );
}

#[test]
fn schema_and_parser_agree_on_rotations_and_points() {
    assert_agreement(
        true,
        [
            rotation(json!({ "center": [4, 4], "angle": -3600 })),
            rotation(json!({ "center": [4, 4], "handle": [1, 1], "target": [5, 1] })),
            point(json!({ "handle": [1, 1], "target": [5, 1] })),
        ],
    );
    assert_agreement(
        false,
        [
            rotation(json!({ "handle": [1, 1], "target": [5, 1] })),
            rotation(json!({ "center": [4, 4] })),
            rotation(json!({ "center": [4, 4], "angle": 3601 })),
            rotation(json!({ "center": [4, 4], "angle": 9, "handle": [1, 1], "target": [5, 1] })),
            rotation(json!({ "center": [4, 4], "target": [5, 1] })),
            point(json!({ "handle": [1, 1] })),
            point(
                json!({ "handle": [1, 1], "target": [5, 1], "region": { "rect": [0, 0, 9, 9] } }),
            ),
            point(json!({ "handle": [1, 1], "target": [5, 1], "center": [4, 4] })),
            point(json!({ "handle": [1, 1], "target": [5, 1], "angle": 9 })),
        ],
    );
}

/// Returns a file with a region of a type that has these keys.
fn shaped(kind: &str, keys: Value) -> Value {
    let region = json!({ "type": kind, "region": { "rect": [0, 0, 9, 9] } });
    with("/regions/0", extended(region, keys))
}

#[test]
fn schema_and_parser_agree_on_motions() {
    let points = |rest: Value| extended(json!({ "handle": [8, 4], "target": [5, 1] }), rest);
    let triangle = json!([[0, 0], [9, 0], [0, 9]]);
    let triangles =
        |rest: Value| extended(json!({ "handles": triangle, "targets": triangle }), rest);
    assert_agreement(
        true,
        [
            shaped("translation", points(json!({ "angle": -30.5 }))),
            shaped("deformation", points(json!({ "anchor": [1, 4] }))),
            shaped("scale", json!({ "center": [-4, 4], "factor": 0.05 })),
            shaped("scale", json!({ "center": [4, 4], "factor": 20 })),
            shaped("scale", points(json!({ "center": [4, 4] }))),
            shaped("affine", triangles(json!({}))),
        ],
    );
    assert_agreement(
        false,
        [
            shaped("translation", points(json!({ "angle": "30" }))),
            shaped("translation", points(json!({ "anchor": [1, 4] }))),
            shaped("translation", points(json!({ "factor": 2 }))),
            shaped("translation", points(triangles(json!({})))),
            shaped("deformation", points(json!({ "angle": 3 }))),
            shaped("deformation", points(json!({ "anchor": [1] }))),
            shaped("scale", json!({ "center": [4, 4] })),
            shaped("scale", json!({ "factor": 2 })),
            shaped("scale", json!({ "center": [4, 4], "factor": 0.04 })),
            shaped("scale", json!({ "center": [4, 4], "factor": 20.5 })),
            shaped("scale", json!({ "center": [4, 4], "handle": [1, 1] })),
            shaped("scale", points(json!({ "center": [4, 4], "factor": 2 }))),
            shaped("scale", points(json!({ "center": [4, 4], "angle": 2 }))),
            shaped("affine", json!({ "handles": triangle })),
            shaped("affine", points(json!({}))),
            shaped("affine", triangles(json!({ "center": [4, 4] }))),
            shaped("affine", triangles(json!({ "targets": [[0, 0], [9, 0]] }))),
            shaped(
                "affine",
                triangles(json!({ "targets": [[0, 0], [9, 0], 9] })),
            ),
            rotation(json!({ "center": [4, 4], "angle": 9, "factor": 2 })),
            point(json!({ "handle": [1, 1], "target": [5, 1], "anchor": [9, 9] })),
        ],
    );
}

/// Every setting with its default, and with sample values of every JSON type.
#[test]
fn schema_and_parser_agree_on_settings() {
    let set = |name: &str, value: Value| with("/settings", json!({ name: value }));
    assert_agreement(
        true,
        [with("/settings", json!({ "comment": "fast", "x-lr": 3 }))],
    );
    assert_agreement(
        false,
        [with("/settings", json!([])), set("lora-rank", json!(4))],
    );
    let values: Vec<Value> = serde_json::from_str(
        r#"[null, true, "auto", "paper", "literal", -1, 0, 1, 0.5, 50.0, 64, 101, 1e7, [3], [3, 3], [], {}]"#,
    )
    .unwrap();
    for setting in groups().iter().flat_map(|group| group.settings) {
        assert_agreement(true, [set(setting.name, setting.default())]);
        let (valid, invalid): (Vec<&Value>, Vec<&Value>) = values
            .iter()
            .partition(|value| setting.form.read(value).is_ok());
        for (is_valid, values) in [(true, valid), (false, invalid)] {
            let files = values
                .into_iter()
                .map(|value| set(setting.name, value.clone()));
            assert_agreement(is_valid, files);
        }
    }
}
