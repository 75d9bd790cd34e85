//! The report inside a result's PNG: `show` prints it, and `edit --like` repeats the edit.

use image::{ImageBuffer, Luma, Rgb, RgbImage};
use serde_json::Value;

use crate::bench::tiny::model;
use crate::bench::{Bench, Record, Run, report};

const DRAG: &str = r#"{ "version": 1, "prompt": "a wave", "regions": [
    { "id": "ball", "type": "translation", "region": { "ellipse": [40, 40, 14, 12] }, "handle": [40, 40], "target": [60, 45] } ],
  "settings": { "seed": 3, "strength": 0.08, "iterations": 2 } }"#;

const MASKED: &str = r#"{ "version": 1, "regions": [
    { "id": "ball", "type": "translation", "region": { "mask": "masks/ball.png" }, "handle": [40, 40], "target": [60, 45] } ] }"#;

/// A bench with a picture and a drag file.
fn bench() -> Bench {
    let bench = Bench::new();
    picture(&bench, "in.png", 96, 80);
    bench.write("drag.json", DRAG);
    bench
}

fn picture(bench: &Bench, name: &str, width: u32, height: u32) {
    let wave = |x: u32, y: u32| {
        ((f64::from(x) * 0.2).sin() * 50.0 + (f64::from(y) * 0.13).cos() * 50.0 + 128.0) as u8
    };
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([wave(x, y), wave(y, x), wave(x + y, x)])
    })
    .save(bench.path(name))
    .unwrap();
}

fn mask(bench: &Bench, name: &str) {
    let inside = |x: u32, y: u32| (26..54).contains(&x) && (28..52).contains(&y);
    let mask = ImageBuffer::from_fn(96, 80, |x, y| Luma([if inside(x, y) { 255_u8 } else { 0 }]));
    let path = bench.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    mask.save(path).unwrap();
}

/// `dragnext edit --json` with the tiny model, named in the environment.
fn edit(bench: &Bench, arguments: &[&str]) -> Run {
    let run = bench.dragnext(["edit"]).args(arguments).arg("--json");
    run.env("DRAGNEXT_MODEL", model()).any_stderr()
}

/// Runs an edit whose settings come from a flag, the environment and the drag file.
fn make(bench: &Bench, out: &str, arguments: &[&str]) -> Record {
    edit(bench, &["in.png", "--drag", "drag.json", "-o", out])
        .args(["--timesteps", "2"])
        .args(arguments)
        .env("DRAGNEXT_LORA_STEPS", "2")
        .record()
}

/// Returns what `dragnext show` prints.
fn show(bench: &Bench, arguments: &[&str]) -> String {
    let run = bench.dragnext(["show"]).args(arguments);
    run.any_stdout().run().stdout
}

/// Returns the report inside a picture.
fn note(bench: &Bench, picture: &str) -> Record {
    bench.dragnext(["show", picture, "--json"]).record()
}

/// Returns the error kind and stderr of a rejected edit.
fn rejected(run: Run) -> (String, String) {
    let ended = run.status(2).any_stdout().run();
    (ended.kind().to_owned(), ended.stderr)
}

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
        { "type": "point", "handle": [70, 60], "target": [70, 30.5] } ],
      "settings": { "seed": 3, "strength": 0.08, "iterations": 2 } }"#;
    bench.write("drag.json", points);
    let first = make(&bench, "out.png", &["--no-lora"]);
    assert_eq!(first.warnings(), ["edit_prompt.unused"]);
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
    assert_eq!(second.warnings(), ["edit_prompt.unused"]);
    assert!(bench.read("out.png") == bench.read("again.png"));
    let shown = show(&bench, &["out.png"]);
    for line in [
        "  edited    a wave on its side",
        "  region    crest: point, from (40, 40) to (60, 45)",
        "  region    region-2: point, from (70, 60) to (70, 30.5)",
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
fn show_prints_a_report_as_text() {
    let bench = bench();
    bench.write(
        "drag.json",
        DRAG.replace("a wave", "a \\u001b[2Jwave\\nerror: no"),
    );
    let record = make(&bench, "out.png", &[]);
    let shown = show(&bench, &["out.png"]);
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        format!("out.png: edited by dragnext {version} with the model tiny"),
        "  prompt    a \\u{1b}[2Jwave\\nerror: no".into(),
        "  region    ball: translation of the ellipse [40.0, 40.0, 14.0, 12.0], from (40, 40) to (60, 45)".into(),
        "  editable  the swept area and a margin".into(),
        "  seed      3".into(),
        "  method    pbsi".into(),
        "  settings  strength 0.08 (default 0.75), timesteps 2 (default 5), iterations 2 (default 10), lora-steps 2 (default 70)".into(),
    ];
    assert_eq!(
        shown.lines().take(expected.len()).collect::<Vec<_>>(),
        expected
    );
    assert!(
        shown.contains("original  96 x 80, SHA-256 ")
            && shown.contains(&format!("job       {}", record["job"].as_str().unwrap())),
        "{shown}"
    );
    assert!(!shown.contains('\x1b'), "{shown}");
}

/// A missing or unusable report is an error with a kind, in `show` and in `edit --like`.
#[test]
fn pictures_without_a_report_are_rejected() {
    let bench = bench();
    make(&bench, "out.png", &["--no-lora", "--no-metadata"]);
    make(&bench, "good.png", &["--no-lora"]);
    image::open(bench.path("in.png"))
        .unwrap()
        .save(bench.path("photo.jpg"))
        .unwrap();
    let good = bench.read("good.png");
    let place = good
        .windows(8)
        .position(|window| window == b"dragnext")
        .unwrap();
    std::fs::write(bench.path("cut.png"), &good[..place + 30]).unwrap();
    let mut flipped = good.clone();
    flipped[place + 30] ^= 1;
    std::fs::write(bench.path("flipped.png"), flipped).unwrap();
    std::fs::create_dir(bench.path("folder.png")).unwrap();
    for (name, kind, says) in [
        (
            "in.png",
            "show.no_report",
            "has no report of how it was made",
        ),
        ("out.png", "show.no_report", "--no-metadata"),
        ("photo.jpg", "show.not_png", "is a JPG file"),
        ("drag.json", "show.not_png", "is not a PNG"),
        ("cut.png", "show.damaged", "ends before the picture does"),
        ("flipped.png", "show.damaged", "checksum"),
        ("missing.png", "file", "check the path"),
        ("folder.png", "file", "not a regular file"),
    ] {
        bench
            .dragnext(["show", name])
            .status(2)
            .stderr_has(format!("error: {name}: "))
            .stderr_has(says)
            .run();
        assert_eq!(
            rejected(edit(&bench, &["in.png", "--like", name, "-o", "no.png"])).0,
            kind,
            "{name}"
        );
    }
    assert!(!bench.path("no.png").exists());
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

#[cfg(unix)]
#[test]
fn paths_that_are_not_unicode_keep_their_bytes_in_the_record() {
    use std::os::unix::ffi::OsStrExt;
    let bench = bench();
    let name = std::ffi::OsStr::from_bytes(b"p\xff.png");
    if let Err(error) = std::fs::copy(bench.path("in.png"), bench.path(name)) {
        report(&format!(
            "skipped: this file system rejects such names: {error}"
        ));
        return;
    }
    let short = ["--drag", "drag.json", "--no-lora", "--timesteps", "1"];
    let record = edit(&bench, &short).arg(name).record();
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(digit)
            .collect::<String>()
    };
    assert_eq!(record["image_bytes"], hex(b"p\xff.png"));
    assert_eq!(record["out_bytes"], hex(b"p\xff.edited.png"));
    assert_eq!(record.get("drag_bytes"), None);
    let out = std::ffi::OsStr::from_bytes(b"p\xff.edited.png");
    assert!(bench.path(out).is_file());
    // The folder of a VAE may have such a name too.
    let folder = bench.path(std::ffi::OsStr::from_bytes(b"v\xfe"));
    std::fs::create_dir_all(folder.join("vae")).unwrap();
    for file in ["config.json", "diffusion_pytorch_model.safetensors"] {
        let from = model().join("vae").join(file);
        std::fs::copy(from, folder.join("vae").join(file)).unwrap();
    }
    edit(&bench, &short)
        .args(["in.png", "-o", "v.png", "--vae"])
        .arg(&folder)
        .record();
}
