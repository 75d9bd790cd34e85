//! `dragnext new`.

use std::path::Path;

use serde_json::{Value, json};

use super::{lines, picture, run};
use crate::bench::Bench;

#[test]
fn a_new_drag_file_is_valid_for_pictures_of_any_size() {
    for (width, height) in [
        (64, 64),
        (65, 97),
        (640, 427),
        (4000, 3000),
        (3000, 64),
        (64, 2000),
        (333, 334),
    ] {
        let bench = Bench::new();
        picture(&bench, "in.png", width, height);
        let (status, stdout, stderr) = run(&bench, &["new", "in.png"]);
        assert_eq!((status, &*stderr), (0, ""));
        assert!(
            stdout.starts_with("wrote in.json\n")
                && stdout.contains("dragnext edit in.png --drag in.json\n"),
            "{stdout}"
        );
        let (status, stdout, stderr) = run(
            &bench,
            &["validate", "in.json", "--image", "in.png", "--json"],
        );
        let verdict = &lines(&stdout)[0];
        assert_eq!((status, &*stderr), (0, ""), "{width} x {height}");
        assert_eq!(
            (&verdict["faults"], &verdict["warnings"]),
            (&json!([]), &json!([])),
            "{width} x {height}"
        );
        assert!(
            verdict["regions"][0]["moved_px"].as_f64().unwrap() > 9.99,
            "{verdict}"
        );
    }
}

/// The `$schema` of a new file is where the printed command writes the schema, and the file is valid by it.
#[test]
fn a_new_drag_file_refers_to_the_schema_beside_it() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("my drags")).unwrap();
    picture(&bench, "in.png", 300, 200);
    let (status, stdout, stderr) = run(&bench, &["new", "in.png", "-o", "my drags/a.json"]);
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stdout.contains("dragnext preview in.png --drag 'my drags/a.json'\n"),
        "{stdout}"
    );
    // The command that draws the box anew does not write over another file.
    assert!(
        stdout.contains("dragnext new in.png -o 'my drags/a.json' --overwrite --box "),
        "{stdout}"
    );
    assert!(
        stdout.contains("dragnext schema > 'my drags/drag.schema.json'\n"),
        "{stdout}"
    );
    let file: Value = serde_json::from_slice(&bench.read("my drags/a.json")).unwrap();
    assert_eq!(file["$schema"], "drag.schema.json");
    let (_, schema, _) = run(&bench, &["schema"]);
    let validator = jsonschema::draft202012::new(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(validator.is_valid(&file));
}

#[test]
fn a_new_drag_file_overwrites_only_on_request() {
    let bench = Bench::new();
    picture(&bench, "in.png", 100, 100);
    bench.write("in.json", "mine");
    let (status, _, stderr) = run(&bench, &["new", "in.png"]);
    assert!(
        status == 2 && stderr.starts_with("error: in.json: "),
        "{stderr}"
    );
    assert_eq!(bench.read("in.json"), b"mine");
    let (status, _, stderr) = run(&bench, &["new", "in.png", "-o", "in.png", "--overwrite"]);
    assert!(
        status == 2 && stderr.starts_with("error: in.png: "),
        "{stderr}"
    );
    assert_eq!(run(&bench, &["new", "in.png", "--overwrite"]).0, 0);
    assert_ne!(bench.read("in.json"), b"mine");
    assert_eq!(
        run(&bench, &["new", "in.json"]).0,
        2,
        "a drag file is no picture"
    );
    let (status, _, stderr) = run(&bench, &["new", "none.png"]);
    assert!(
        status == 2 && stderr.starts_with("error: none.png: "),
        "{stderr}"
    );
}

/// Without a terminal there are no colours; names with spaces or quotes are quoted for the shell.
#[test]
fn the_next_steps_can_be_pasted_into_a_shell() {
    let bench = Bench::new();
    picture(&bench, "it's.png", 100, 100);
    let (status, stdout, stderr) = run(&bench, &["new", "it's.png"]);
    assert_eq!((status, &*stderr), (0, ""));
    assert!(
        stdout.contains(r"dragnext edit 'it'\''s.png' --drag 'it'\''s.json'"),
        "{stdout}"
    );
    assert!(bench.path("it's.json").is_file());
}

/// A box that encloses the object leads to a right first edit: the disc is where it should be, and nothing of it stays behind.
#[test]
fn a_first_edit_with_a_box_moves_the_whole_object() {
    let bench = Bench::new();
    let disc = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/edits/translation-07");
    bench.write("cat.png", std::fs::read(disc.join("input.png")).unwrap());
    let new = [
        "new",
        "cat.png",
        "--box",
        "50,77,122,149",
        "--by",
        "31.9,24.4",
    ];
    let (status, stdout, stderr) = run(&bench, &new);
    assert_eq!((status, &*stderr), (0, ""));
    assert!(!stdout.contains("LEFT,TOP"), "{stdout}");
    let edit = ["edit", "cat.png", "--drag", "cat.json", "--model", "demo"];
    let (status, _, stderr) = run(&bench, &edit);
    assert_eq!(status, 0, "{stderr}");
    let pixels = |path: &Path| image::open(path).unwrap().into_rgb8();
    let (edited, expected) = (
        pixels(&bench.path("cat.edited.png")),
        pixels(&disc.join("expected.png")),
    );
    let differs = edited.pixels().zip(expected.pixels());
    let differs = differs.filter(|(a, b)| (0..3).any(|c| a[c].abs_diff(b[c]) > 24));
    let differs = differs.count();
    assert!(differs < 60, "{differs} pixels differ from the golden edit");
}

/// Without a box, the file and the next steps say that the placeholder has to be changed, and how.
#[test]
fn the_placeholder_says_that_it_is_one() {
    let bench = Bench::new();
    picture(&bench, "in.png", 300, 200);
    let (_, stdout, _) = run(&bench, &["new", "in.png"]);
    for part in [
        "Put it around the whole object",
        "dragnext draw in.png --drag in.json --open",
        "--box LEFT,TOP,RIGHT,BOTTOM",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let text = String::from_utf8(bench.read("in.json")).unwrap();
    assert!(text.contains("CHANGE `region`") && text.contains("must enclose the whole object"));
}

#[test]
fn a_box_that_cannot_move_is_rejected() {
    let bench = Bench::new();
    picture(&bench, "in.png", 300, 200);
    for (arguments, part) in [
        (&["--box", "10,20,30"][..], "expected 4 numbers"),
        (&["--box", "30,20,10,40"], "LEFT < RIGHT"),
        (&["--box", "nan,20,10,40"], "expected 4 numbers"),
        (
            &["--box", "400,20,500,40"],
            "the middle of the box, (450, 30), lies outside",
        ),
        (
            &["--box", "10,20,50,60", "--by", "0,-50"],
            "the box's target, (30, -10), lies outside",
        ),
        (&["--by", "10,0"], "--box"),
    ] {
        let arguments = [&["new", "in.png"], arguments].concat();
        let (status, _, stderr) = run(&bench, &arguments);
        assert!(status == 2 && stderr.contains(part), "{part}: {stderr}");
        assert_eq!(bench.names(), ["in.png"]);
    }
}
