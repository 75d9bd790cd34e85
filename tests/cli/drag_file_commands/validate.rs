//! `dragnext validate`.

use image::{GrayImage, RgbImage};
use serde_json::{Value, json};

use super::{GOOD, command, lines, picture, run, texts};
use crate::bench::Bench;

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
        stderr.starts_with("error: good.json: is not a picture but JSON"),
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
