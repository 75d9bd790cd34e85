//! `edit --like`: an edit is repeated from the report in its result.

use serde_json::Value;

use super::{DRAG, MASKED, bench, edit, make, mask, note, picture, rejected, show};
use crate::bench::tiny::model;

/// The picture and the report of the first result give the same file again, without the drag file and the flags.
#[test]
fn an_edit_is_repeated_from_its_result() {
    let bench = bench();
    let first = make(&bench, "out.png", &[]);
    std::fs::remove_file(bench.path("drag.json")).unwrap();
    let second = edit(&bench, &["in.png", "--like", "out.png", "-o", "again.png"]).record();
    assert!(
        bench.read("out.png") == bench.read("again.png"),
        "the bytes are equal, including the report"
    );
    assert_eq!(first["job"], second["job"]);
    assert_eq!(
        (&second["like"], second.get("drag"), second.warnings()),
        (&Value::from("out.png"), None, vec![])
    );

    let shown = show(&bench, &["out.png", "--drag"]);
    bench.write("shown.json", shown);
    let third = edit(
        &bench,
        &["in.png", "--drag", "shown.json", "-o", "third.png"],
    )
    .record();
    assert_eq!(
        first["out_sha256"], third["out_sha256"],
        "the printed drag file gives the same result"
    );
}

/// A drag may consist of points only; the report contains them and the `edit_prompt`.
#[test]
fn a_drag_of_points_is_edited_and_repeated() {
    let bench = bench();
    let points = r#"{ "version": 1, "edit_prompt": "a wave on its side", "regions": [
        { "id": "crest", "type": "point", "handle": [40, 40], "target": [60, 45] },
        { "type": "point", "handle": [30, 20], "target": [59.5, 20] } ],
      "settings": { "seed": 3, "strength": 0.08, "iterations": 2 } }"#;
    bench.write("drag.json", points);
    let first = make(&bench, "out.png", &["--no-lora"]);
    assert_eq!(
        first.warnings(),
        ["edit_prompt.unused", "region.point", "region.point"]
    );
    assert_ne!(
        image::open(bench.path("out.png")).unwrap(),
        image::open(bench.path("in.png")).unwrap()
    );
    let moved: Vec<f64> = first["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| region["moved_px"].as_f64().unwrap())
        .collect();
    assert!(
        (moved[0] - 425_f64.sqrt()).abs() < 1e-6 && (moved[1] - 29.5).abs() < 1e-6,
        "{moved:?}"
    );

    let again = [
        "in.png",
        "--like",
        "out.png",
        "-o",
        "again.png",
        "--no-lora",
    ];
    let second = edit(&bench, &again).record();
    assert_eq!(second.warnings(), first.warnings());
    assert!(bench.read("out.png") == bench.read("again.png"));
    let shown = show(&bench, &["out.png"]);
    for line in [
        "  edited    a wave on its side",
        "  region    crest: point, from (40, 40) to (60, 45)",
        "  region    region-2: point, from (30, 20) to (59.5, 20)",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
}

#[test]
fn an_edit_without_compositing_is_repeated_without() {
    let bench = bench();
    make(&bench, "out.png", &["--no-composite", "--no-lora"]);
    edit(&bench, &["in.png", "--like", "out.png", "-o", "again.png"]).record();
    assert!(bench.read("out.png") == bench.read("again.png"));
    assert_eq!(note(&bench, "again.png")["composite"], false);
}

#[test]
fn flags_and_the_environment_take_precedence_over_the_report() {
    let bench = bench();
    make(&bench, "out.png", &["--no-lora"]);
    assert_eq!(note(&bench, "out.png")["seed"], 3);
    let again = |arguments: &[&str]| {
        edit(&bench, &["in.png", "--like", "out.png"])
            .args(arguments)
            .env("DRAGNEXT_SEED", "8")
            .env("DRAGNEXT_ITERATIONS", "1")
            .record();
    };
    again(&["-o", "env.png"]);
    again(&["-o", "flag.png", "--seed", "9"]);
    let (env, flag) = (note(&bench, "env.png"), note(&bench, "flag.png"));
    let read = |note: &Value| {
        (
            note["seed"].clone(),
            note["settings"]["iterations"].clone(),
            note["settings"]["strength"].clone(),
        )
    };
    assert_eq!(read(&env), (8.into(), 1.into(), 0.08.into()));
    assert_eq!(
        read(&flag),
        (9.into(), 1.into(), 0.08.into()),
        "the flag takes precedence over the environment, and that over the report"
    );
}

#[test]
fn another_picture_is_edited_with_the_report_or_rejected_with_the_place() {
    let bench = bench();
    make(&bench, "out.png", &["--no-lora"]);
    picture(&bench, "wide.png", 140, 90);
    let record = edit(&bench, &["wide.png", "--like", "out.png"]).record();
    assert_eq!(
        (record.warnings(), record["size"].to_string().as_str()),
        (vec!["like.size"], "[140,90]")
    );
    picture(&bench, "small.png", 64, 64);
    bench.write("far.json", DRAG.replace("[60, 45]", "[90, 45]"));
    edit(
        &bench,
        &["in.png", "--drag", "far.json", "-o", "far.png", "--no-lora"],
    )
    .record();
    let (kind, stderr) = rejected(edit(&bench, &["small.png", "--like", "far.png"]));
    assert_eq!(kind, "instruction.point_outside");
    assert!(
        stderr.contains("far.png: ") && stderr.contains("/regions/0/target"),
        "{stderr}"
    );
    assert!(
        stderr.contains(
            "warning: the picture is 64 x 64, and `far.png` was made from one of 96 x 80"
        ),
        "{stderr}"
    );
}

#[test]
fn masks_are_read_from_the_folder_of_the_result() {
    let bench = bench();
    mask(&bench, "drags/masks/ball.png");
    bench.write("drags/drag.json", MASKED);
    std::fs::create_dir(bench.path("results")).unwrap();
    let short = [
        "--strength",
        "0.08",
        "--timesteps",
        "1",
        "--iterations",
        "1",
        "--no-lora",
    ];

    edit(
        &bench,
        &[
            "in.png",
            "--drag",
            "drags/drag.json",
            "-o",
            "results/out.png",
        ],
    )
    .args(short)
    .record();
    let again = ["in.png", "--like", "results/out.png", "-o", "again.png"];
    let (kind, stderr) = rejected(edit(&bench, &again));
    assert_eq!(kind, "mask.missing");
    assert!(
        stderr.contains("results/masks/ball.png")
            && stderr.contains("a report contains only the paths of masks"),
        "{stderr}"
    );
    mask(&bench, "results/masks/ball.png");
    edit(&bench, &again).record();
    assert!(bench.read("results/out.png") == bench.read("again.png"));
}

/// A report names its model. The model is used again unless it was a local folder, which gives a warning. Nothing moves in these edits, so
/// the model computes nothing.
#[test]
fn the_model_of_the_report_is_used_again_unless_it_was_a_folder() {
    let bench = bench();
    bench.write("still.json", DRAG.replace("[60, 45]", "[40, 40]"));
    let edit = |arguments: &[&str]| {
        bench
            .dragnext(["edit", "in.png", "--json"])
            .env("HF_HUB_OFFLINE", "1")
            .args(arguments)
            .any_stdout()
            .any_stderr()
            .ended()
            .record
    };
    edit(&["--drag", "still.json", "-o", "demo.png", "--model", "demo"]);
    let tiny = model().to_string_lossy().into_owned();
    edit(&["--drag", "still.json", "-o", "tiny.png", "--model", &tiny]);

    let record = edit(&["--like", "demo.png", "-o", "1.png"]);
    assert_eq!(
        (record["model"].as_str(), record.warnings()),
        (Some("demo"), vec!["region.no_motion"])
    );
    let record = edit(&["--like", "tiny.png", "-o", "2.png"]);
    assert!(record.warnings().contains(&"like.model"), "{record}");
    let record = edit(&["--like", "demo.png", "-o", "3.png", "--model", &tiny]);
    assert_eq!(
        (record["model"].as_str(), record.warnings()),
        (Some("tiny"), vec!["region.no_motion"]),
        "the flag takes precedence"
    );
}

#[test]
fn a_lora_file_that_is_not_given_again_causes_a_warning() {
    let bench = bench();
    make(&bench, "out.png", &["--save-lora", "l.safetensors"]);
    make(&bench, "with.png", &["--lora", "l.safetensors"]);
    assert!(
        note(&bench, "out.png").get("lora").is_none()
            && note(&bench, "with.png")["lora"].is_string()
    );
    let without = edit(&bench, &["in.png", "--like", "with.png", "-o", "1.png"]).record();
    assert_eq!(without.warnings(), ["like.lora"]);
    let with = edit(
        &bench,
        &[
            "in.png",
            "--like",
            "with.png",
            "-o",
            "2.png",
            "--lora",
            "l.safetensors",
        ],
    )
    .record();
    assert_eq!(with.warnings(), [""; 0]);
    assert!(bench.read("with.png") == bench.read("2.png"));
}

#[test]
fn an_edit_has_one_instruction() {
    let bench = bench();
    for (arguments, says) in [
        (&["in.png"][..], "required arguments were not provided"),
        (
            &["in.png", "--drag", "drag.json", "--like", "in.png"],
            "cannot be used with",
        ),
    ] {
        let ended = edit(&bench, arguments).status(2).stderr_has(says).run();
        assert!(ended.stderr.contains("--like <OUT.png>"), "{ended}");
    }
}

/// The picture of `--like` is an input, so it is never overwritten.
#[test]
fn the_picture_of_like_is_never_overwritten() {
    let bench = bench();
    make(&bench, "out.png", &["--no-lora"]);
    let (kind, _) = rejected(edit(
        &bench,
        &[
            "in.png",
            "--like",
            "out.png",
            "-o",
            "out.png",
            "--overwrite",
        ],
    ));
    assert_eq!(kind, "output.is_input");
}
