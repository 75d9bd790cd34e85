//! `dragnext validate`, `new`, `settings` and `schema` through the binary.

use image::{DynamicImage, GrayImage, RgbImage};
use serde_json::{Value, json};

use crate::bench::{Bench, Ended, Run};

const GOOD: &str = r#"{ "version": 1, "regions": [
    { "id": "tail", "type": "translation", "region": { "rect": [20, 20, 60, 60] }, "handle": [40, 40], "target": [70, 80] } ] }"#;

fn picture(bench: &Bench, name: &str, width: u32, height: u32) {
    DynamicImage::ImageRgb8(RgbImage::new(width, height))
        .save(bench.path(name))
        .unwrap();
}

/// `dragnext` with the demo model.
fn command(bench: &Bench, arguments: &[&str]) -> Run {
    bench.dragnext(arguments).env("DRAGNEXT_MODEL", "demo")
}

/// The exit status, stdout and stderr of a run.
fn run(bench: &Bench, arguments: &[&str]) -> (i32, String, String) {
    texts(command(bench, arguments).ended())
}

fn texts(ended: Ended) -> (i32, String, String) {
    (ended.status.unwrap(), ended.stdout, ended.stderr)
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_file_with_faults_is_reported() {
    let bench = Bench::new();
    bench.write("good.json", GOOD);
    bench.write("bad.json", GOOD.replace("target", "taget"));
    bench.write("worse.json", "{");
    let files = [
        "validate",
        "bad.json",
        "good.json",
        "none.json",
        "worse.json",
        "good.json",
    ];
    let (status, stdout, stderr) = run(&bench, &files);
    assert_eq!(
        (status, &*stdout),
        (2, "good.json: ok, 1 region\ngood.json: ok, 1 region\n")
    );
    let mut at = 0;
    for part in [
        "error: bad.json: region `tail` at /regions/0: `target` is missing",
        "2 faults in bad.json",
        "error: none.json: ",
        "error: worse.json: not JSON",
        "\n3 files are wrong\n",
    ] {
        at += stderr[at..]
            .find(part)
            .unwrap_or_else(|| panic!("{part} is not there in its order: {stderr}"));
    }
    let (status, stdout, _) = run(&bench, &[&files[..], &["--json"]].concat());
    let verdicts = lines(&stdout);
    let shown: Vec<Value> = verdicts
        .iter()
        .map(|verdict| {
            json!([
                verdict["file"],
                verdict["status"],
                verdict["faults"][0]["kind"]
            ])
        })
        .collect();
    assert_eq!(status, 2);
    assert_eq!(
        shown,
        [
            json!(["bad.json", "wrong", "instruction.missing_field"]),
            json!(["good.json", "ok", null]),
            json!(["none.json", "wrong", "file"]),
            json!(["worse.json", "wrong", "instruction.syntax"]),
            json!(["good.json", "ok", null]),
        ]
    );
    let fault = &verdicts[0]["faults"][1];
    let hint = "did you mean `target`?";
    assert_eq!(
        *fault,
        json!({ "kind": "instruction.unknown_field", "message": "unknown key `taget`", "hint": hint, "pointer": "/regions/0/taget", "line": 2, "column": 104, "region": "tail" })
    );
}

#[test]
fn with_an_image_more_faults_are_found() {
    let bench = Bench::new();
    picture(&bench, "in.png", 200, 100);
    bench.write("good.json", GOOD);
    bench.write("out.json", GOOD.replace("[70, 80]", "[200.5, 80]"));
    bench.write("still.json", GOOD.replace("[70, 80]", "[40, 40]"));
    assert_eq!(
        run(&bench, &["validate", "out.json"]),
        (0, "out.json: ok, 1 region\n".into(), String::new())
    );
    let (status, stdout, stderr) = run(
        &bench,
        &[
            "validate",
            "good.json",
            "out.json",
            "still.json",
            "--image",
            "in.png",
        ],
    );
    assert_eq!(
        (status, &*stdout),
        (
            2,
            "good.json: ok, 1 region, works at 512 x 256\nstill.json: ok, 1 region, works at 512 x 256, 1 warning\n"
        )
    );
    assert!(
        stderr.starts_with("warning: still.json: region `tail` moves by less than a pixel"),
        "{stderr}"
    );
    assert!(
        stderr.contains("error: out.json: region `tail` at /regions/0/target: point (200.5, 80) lies outside the image (200 x 100)"),
        "{stderr}"
    );

    let (_, stdout, _) = run(
        &bench,
        &[
            "validate",
            "good.json",
            "--image",
            "in.png",
            "--json",
            "--size",
            "100",
        ],
    );
    let expected = json!({
        "v": 1, "file": "good.json", "status": "ok", "count": 1, "working": [200, 100], "regions": [{ "id": "tail", "moved_px": 50.0 }],
        "faults": [], "warnings": []
    });
    assert_eq!(lines(&stdout), [expected]);

    let (status, stdout, stderr) = run(&bench, &["validate", "good.json", "--image", "good.json"]);
    assert_eq!((status, &*stdout), (2, ""), "{stderr}");
    assert!(
        stderr.starts_with("error: good.json: is not a picture in a known format"),
        "{stderr}"
    );
}

#[test]
fn an_edit_prompt_that_the_method_does_not_use_is_a_warning() {
    let bench = Bench::new();
    picture(&bench, "in.png", 200, 120);
    let with = GOOD.replace("\"version\"", "\"edit_prompt\": \"a dog\", \"version\"");
    bench.write("drag.json", with);
    for more in [&[][..], &["--image", "in.png"]] {
        let arguments = [&["validate", "drag.json"], more].concat();
        let (status, stdout, stderr) = run(&bench, &arguments);
        assert_eq!(status, 0, "{stderr}");
        assert!(stdout.contains("1 warning"), "{stdout}");
        assert_eq!(
            stderr,
            "warning: drag.json: the method pbsi does not use `edit_prompt`\n"
        );
        let (_, stdout, _) = run(&bench, &[&arguments[..], &["--json"]].concat());
        assert_eq!(
            lines(&stdout)[0]["warnings"][0]["kind"],
            "edit_prompt.unused"
        );
    }
}

#[test]
fn points_are_checked_without_a_region() {
    let bench = Bench::new();
    picture(&bench, "in.png", 128, 96);
    let drag = |rest: &str| {
        format!(
            r#"{{ "version": 1, "regions": [ {{ "id": "nose", "type": "point", "handle": [0, 0], {rest} }} ] }}"#
        )
    };
    bench.write("good.json", drag("\"target\": [30, 40]"));
    let (status, stdout, stderr) = run(
        &bench,
        &["validate", "good.json", "--image", "in.png", "--json"],
    );
    assert_eq!(status, 0, "{stderr}");
    let moved = lines(&stdout)[0]["regions"][0]["moved_px"]
        .as_f64()
        .unwrap();
    assert!((moved - 50.0).abs() < 0.1, "{moved}");
    bench.write("outside.json", drag("\"target\": [300, 40]"));
    bench.write(
        "region.json",
        drag("\"target\": [30, 40], \"region\": { \"rect\": [0, 0, 20, 20] }"),
    );
    let (status, stdout, _) = run(
        &bench,
        &[
            "validate",
            "outside.json",
            "region.json",
            "--image",
            "in.png",
            "--json",
        ],
    );
    assert_eq!(status, 2);
    let faults: Vec<Value> = lines(&stdout)
        .iter()
        .map(|line| json!([line["faults"][0]["kind"], line["faults"][0]["pointer"]]))
        .collect();
    assert_eq!(
        faults,
        [
            json!(["instruction.point_outside", "/regions/0/target"]),
            json!(["instruction.conflict", "/regions/0/region"])
        ]
    );
}

/// The EXIF orientation counts, as in `edit`.
#[test]
fn the_picture_is_measured_upright() {
    let bench = Bench::new();
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg)
        .encode_image(&RgbImage::new(200, 100))
        .unwrap();
    // An EXIF segment with one entry: orientation 6, a quarter turn.
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    jpeg.splice(2..2, exif.drain(..));
    std::fs::write(bench.path("in.jpg"), jpeg).unwrap();
    bench.write("low.json", GOOD.replace("[70, 80]", "[70, 180]"));
    let (status, stdout, stderr) = run(&bench, &["validate", "low.json", "--image", "in.jpg"]);
    assert_eq!(
        (status, &*stdout),
        (0, "low.json: ok, 1 region, works at 256 x 512\n"),
        "{stderr}"
    );
}

#[test]
fn masks_are_checked_without_an_image() {
    let bench = Bench::new();
    let with = |mask: &str| {
        GOOD.replace(
            "\"rect\": [20, 20, 60, 60]",
            &format!("\"mask\": \"{mask}\""),
        )
    };
    GrayImage::from_pixel(90, 90, image::Luma([255]))
        .save(bench.path("white.png"))
        .unwrap();
    bench.write("good.json", with("white.png"));
    bench.write("missing.json", with("none.png"));
    let (status, stdout, stderr) = run(&bench, &["validate", "good.json", "missing.json"]);
    assert_eq!((status, &*stdout), (2, "good.json: ok, 1 region\n"));
    assert!(
        stderr.contains("/regions/0/region/mask: cannot read the mask `none.png`"),
        "{stderr}"
    );
}

#[test]
fn a_drag_file_is_read_from_stdin() {
    let bench = Bench::new();
    let run = |text: &str| {
        let run = command(&bench, &["validate", "-"]).stdin(text);
        texts(run.ended())
    };
    assert_eq!(
        run(GOOD),
        (0, "stdin: ok, 1 region\n".into(), String::new())
    );
    let (status, _, stderr) = run("[");
    assert!(
        status == 2 && stderr.starts_with("error: stdin: not JSON"),
        "{stderr}"
    );
}

/// `validate` checks the flags of settings as `edit` does.
#[test]
fn invalid_settings_are_rejected() {
    let bench = Bench::new();
    bench.write("good.json", GOOD);
    let (status, _, stderr) = run(&bench, &["validate", "good.json", "--strength", "2"]);
    assert_eq!(status, 2);
    assert!(
        stderr.contains("strength: `2.0` must be above 0 and at most 1")
            && stderr.contains("hint: `dragnext settings` shows"),
        "{stderr}"
    );
}

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
    assert_eq!(row("start"), ["start", "paper", "flag", "moved|paper"]);
    assert_eq!(
        row("strength"),
        [
            "strength", "0.5", "model", "above", "0", "and", "at", "most", "1"
        ]
    );
    assert_eq!(
        row("ramp"),
        [
            "ramp", "auto", "(5)", "default", "auto", "or", "at", "most", "1000"
        ]
    );
    let wrong = run(&bench, &["settings", "--lr", "-1"]);
    assert!(
        wrong.0 == 2 && wrong.2.starts_with("error: lr: `-1.0` must be above 0"),
        "{wrong:?}"
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
