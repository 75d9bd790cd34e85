//! The JSON schema of drag files: the committed file is up to date, and schema and parser agree wherever a schema can check.

use std::path::{Path, PathBuf};

use dragnext::drag_file::{DragFile, schema};
use dragnext::method::groups;
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

fn rotation(movement: &Value) -> Value {
    let mut region = json!({ "type": "rotation", "region": { "ellipse": [4, 4, 3, 2] } });
    region
        .as_object_mut()
        .unwrap()
        .extend(movement.as_object().unwrap().clone());
    with("/regions/0", region)
}

fn point(more: &Value) -> Value {
    let mut region = json!({ "type": "point", "handle": [1, 1], "target": [5, 1] });
    let keys = more.as_object().unwrap().clone();
    region.as_object_mut().unwrap().extend(keys);
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
    for folder in ["examples/edits", "tests/scenebench/suite"] {
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
        assert!(
            known["default"] == setting.default()
                && known["description"]
                    .as_str()
                    .unwrap()
                    .contains(setting.source),
            "{}",
            setting.name
        );
    }
}

/// Schema and parser accept and reject the same files.
#[test]
fn schema_and_parser_agree() {
    let points = |count: usize| (0..count).map(|x| json!([x, x % 7])).collect::<Vec<_>>();
    let regions = |count: usize| vec![good()["regions"][0].clone(); count];
    let set = |name: &str, value: Value| with("/settings", json!({ name: value }));
    let mut files = vec![
        (true, good()),
        (true, with("/$schema", json!("drag.schema.json"))),
        (true, with("/comment", json!(["anything"]))),
        (true, with("/x-tool", json!({ "taget": 1 }))),
        (true, with("/prompt", json!("a cat"))),
        (true, with("/version", json!(1.0))),
        (true, with("/editable", json!("everything"))),
        (
            true,
            with("/editable", json!({ "mask": "a.png", "comment": 1 })),
        ),
        (true, with("/regions/0/id", json!("tail"))),
        (true, with("/regions/0/x-id", json!(3))),
        (true, with("/regions/0/type", json!("deformation"))),
        (true, with("/regions/0/target/1", json!(-0.0))),
        (true, with("/regions/0/target/1", json!(1e6))),
        (
            true,
            with(
                "/regions/0/region",
                json!({ "polygon": [[0, 0], [9, 0], [4, 8]] }),
            ),
        ),
        (true, with("/regions", json!(regions(64)))),
        (true, rotation(&json!({ "center": [4, 4], "angle": -3600 }))),
        (
            true,
            rotation(&json!({ "center": [4, 4], "handle": [1, 1], "target": [5, 1] })),
        ),
        (false, json!([])),
        (false, json!(null)),
        (false, without("/version")),
        (false, without("/regions")),
        (false, without("/regions/0/type")),
        (false, without("/regions/0/region")),
        (false, without("/regions/0/target")),
        (false, with("/version", json!(99))),
        (false, with("/version", json!("1"))),
        (false, with("/promt", json!(""))),
        (false, with("/prompt", json!(3))),
        (false, with("/$schema", json!(3))),
        (false, with("/editable", json!("everywhere"))),
        (false, with("/editable", json!({}))),
        (false, with("/editable", json!(null))),
        (false, with("/regions", json!([]))),
        (false, with("/regions", json!(regions(65)))),
        (false, with("/regions/0", json!("box"))),
        (false, with("/regions/0/taget", json!([5, 1]))),
        (false, with("/regions/0/id", json!(""))),
        (false, with("/regions/0/id", json!("x".repeat(65)))),
        (false, with("/regions/0/type", json!("tranlation"))),
        (false, with("/regions/0/angle", json!(4))),
        (false, with("/regions/0/center", json!([4, 4]))),
        (false, with("/regions/0/target", json!([5]))),
        (false, with("/regions/0/target", json!([5, 1, 1]))),
        (false, with("/regions/0/target/1", json!("1"))),
        (false, with("/regions/0/target/1", json!(1_000_001))),
        (false, with("/regions/0/region", json!({}))),
        (
            false,
            with(
                "/regions/0/region",
                json!({ "rect": [0, 0, 9, 9], "mask": "a.png" }),
            ),
        ),
        (
            false,
            with("/regions/0/region", json!({ "ract": [0, 0, 9, 9] })),
        ),
        (
            false,
            with("/regions/0/region", json!({ "rect": [0, 0, 9] })),
        ),
        (
            false,
            with("/regions/0/region", json!({ "ellipse": [4, 4, 0, 1] })),
        ),
        (
            false,
            with("/regions/0/region", json!({ "polygon": points(2) })),
        ),
        (
            false,
            with("/regions/0/region", json!({ "polygon": points(10_001) })),
        ),
        (false, with("/regions/0/region", json!({ "mask": "" }))),
        (
            false,
            rotation(&json!({ "handle": [1, 1], "target": [5, 1] })),
        ),
        (false, rotation(&json!({ "center": [4, 4] }))),
        (false, rotation(&json!({ "center": [4, 4], "angle": 3601 }))),
        (
            false,
            rotation(&json!({ "center": [4, 4], "angle": 9, "handle": [1, 1], "target": [5, 1] })),
        ),
        (
            false,
            rotation(&json!({ "center": [4, 4], "target": [5, 1] })),
        ),
        (true, with("/regions/0", point(&json!({})))),
        (
            false,
            with(
                "/regions/0",
                point(&json!({ "region": { "rect": [0, 0, 9, 9] } })),
            ),
        ),
        (
            false,
            with("/regions/0", point(&json!({ "center": [4, 4] }))),
        ),
        (false, with("/regions/0", point(&json!({ "angle": 9 })))),
        (
            false,
            with("/regions/0", json!({ "type": "point", "handle": [1, 1] })),
        ),
        (true, with("/edit_prompt", json!("a cat that looks up"))),
        (false, with("/edit_prompt", json!(null))),
        (false, with("/settings", json!([]))),
        (
            true,
            with("/settings", json!({ "comment": "fast", "x-lr": 3 })),
        ),
        (false, set("lora-rank", json!(4))),
    ];
    // Every setting: its default, and values of every type and size.
    for setting in groups().iter().flat_map(|group| group.settings) {
        files.push((true, set(setting.name, setting.default())));
        for value in [
            "null",
            "true",
            "\"auto\"",
            "\"paper\"",
            "\"literal\"",
            "-1",
            "0",
            "1",
            "0.5",
            "50.0",
            "64",
            "101",
            "1e7",
            "[3]",
            "[3, 3]",
            "[]",
            "{}",
        ] {
            let value: Value = serde_json::from_str(value).unwrap();
            files.push((setting.form.read(&value).is_ok(), set(setting.name, value)));
        }
    }
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    for (expected, file) in files {
        let text = file.to_string();
        let read = DragFile::parse(text.as_bytes());
        assert_eq!(
            read.is_ok(),
            expected,
            "the parser on {text:.300}: {read:.300?}"
        );
        assert_eq!(
            validator.is_valid(&file),
            expected,
            "the schema on {text:.300}"
        );
    }
}
