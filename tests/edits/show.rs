//! What an edit leaves inside its PNG: shown, and done again.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use image::{ImageBuffer, Luma, Rgb, RgbImage};
use serde_json::Value;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

const DRAG: &str = r#"{ "version": 1, "prompt": "a wave", "regions": [
    { "id": "ball", "type": "translation", "region": { "ellipse": [40, 40, 14, 12] }, "handle": [40, 40], "target": [60, 45] } ],
  "settings": { "seed": 3, "strength": 0.08, "iterations": 2 } }"#;

const MASKED: &str = r#"{ "version": 1, "regions": [
    { "id": "ball", "type": "translation", "region": { "mask": "masks/ball.png" }, "handle": [40, 40], "target": [60, 45] } ] }"#;

/// A folder with a picture, and the program in it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        bench.picture("in.png", 96, 80);
        bench.write("drag.json", DRAG);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn picture(&self, name: &str, width: u32, height: u32) {
        let wave = |x: u32, y: u32| {
            ((f64::from(x) * 0.2).sin() * 50.0 + (f64::from(y) * 0.13).cos() * 50.0 + 128.0) as u8
        };
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([wave(x, y), wave(y, x), wave(x + y, x)])
        })
        .save(self.path(name))
        .unwrap();
    }

    fn mask(&self, name: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        let inside = |x: u32, y: u32| {
            Luma([if (26..54).contains(&x) && (28..52).contains(&y) {
                255_u8
            } else {
                0
            }])
        };
        ImageBuffer::from_fn(96, 80, inside)
            .save(self.path(name))
            .unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("dragnext").unwrap();
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("DRAGNEXT_CACHE_LIMIT", "0")
            .current_dir(self.folder.path())
            .args(arguments);
        command
    }

    /// An edit with the tiny model; the LoRA's steps come from the environment, as one of three places that settings come from.
    fn edit(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["edit"]);
        command
            .args(arguments)
            .arg("--json")
            .env("DRAGNEXT_MODEL", tiny());
        command
    }

    /// The first edit: settings from flag, environment and drag file.
    fn make(&self, out: &str, more: &[&str]) -> Value {
        let mut command = self.edit(&[
            "in.png",
            "--drag",
            "drag.json",
            "-o",
            out,
            "--timesteps",
            "2",
        ]);
        done(command.args(more).env("DRAGNEXT_LORA_STEPS", "2"))
    }

    fn note(&self, picture: &str) -> Value {
        serde_json::from_slice(&succeeds(&mut self.command(&["show", picture, "--json"])).stdout)
            .unwrap()
    }
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The record of an edit that must succeed.
fn done(command: &mut Command) -> Value {
    serde_json::from_slice(&succeeds(command).stdout).unwrap()
}

/// The kind of error of an edit that must not begin, and what it says.
fn refused(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    (record["error"]["kind"].as_str().unwrap().to_owned(), stderr)
}

fn warnings(record: &Value) -> Vec<&str> {
    record["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning["kind"].as_str().unwrap())
        .collect()
}

/// The same picture and the report of the first result: the same file, though neither drag file nor flags are there any more.
#[test]
fn an_edit_is_done_again_from_its_result() {
    let bench = Bench::new();
    let first = bench.make("out.png", &[]);
    std::fs::remove_file(bench.path("drag.json")).unwrap();
    let second = done(&mut bench.edit(&["in.png", "--like", "out.png", "-o", "again.png"]));
    assert!(
        bench.read("out.png") == bench.read("again.png"),
        "the same bytes, report included"
    );
    assert_eq!(first["job"], second["job"]);
    assert_eq!(
        (&second["like"], second.get("drag"), warnings(&second)),
        (&Value::from("out.png"), None, vec![])
    );

    let shown = succeeds(&mut bench.command(&["show", "out.png", "--drag"])).stdout;
    bench.write("shown.json", std::str::from_utf8(&shown).unwrap());
    let third = done(&mut bench.edit(&["in.png", "--drag", "shown.json", "-o", "third.png"]));
    assert_eq!(
        first["out_sha256"], third["out_sha256"],
        "the drag file that is shown asks for the same"
    );
}

/// Points alone are a drag; they and the `edit_prompt` come back from the report.
#[test]
fn a_drag_of_points_is_edited_and_done_again() {
    let bench = Bench::new();
    let points = r#"{ "version": 1, "edit_prompt": "a wave on its side", "regions": [
        { "id": "crest", "type": "point", "handle": [40, 40], "target": [60, 45] },
        { "type": "point", "handle": [70, 60], "target": [70, 30.5] } ],
      "settings": { "seed": 3, "strength": 0.08, "iterations": 2 } }"#;
    bench.write("drag.json", points);
    let first = bench.make("out.png", &["--no-lora"]);
    assert_eq!(warnings(&first), ["edit_prompt.unused"]);
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
    let second = done(&mut bench.edit(&again));
    assert_eq!(warnings(&second), ["edit_prompt.unused"]);
    assert!(bench.read("out.png") == bench.read("again.png"));
    let shown = succeeds(&mut bench.command(&["show", "out.png"])).stdout;
    let shown = String::from_utf8(shown).unwrap();
    for line in [
        "  edited    a wave on its side",
        "  region    crest: point, from (40, 40) to (60, 45)",
        "  region    region-2: point, from (70, 60) to (70, 30.5)",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
}

#[test]
fn an_edit_without_compositing_is_done_again_without() {
    let bench = Bench::new();
    bench.make("out.png", &["--no-composite", "--no-lora"]);
    done(&mut bench.edit(&["in.png", "--like", "out.png", "-o", "again.png"]));
    assert!(bench.read("out.png") == bench.read("again.png"));
    assert_eq!(bench.note("again.png")["composite"], false);
}

#[test]
fn flags_and_the_environment_go_before_the_report() {
    let bench = Bench::new();
    bench.make("out.png", &["--no-lora"]);
    assert_eq!(bench.note("out.png")["seed"], 3);
    let again = |arguments: &[&str]| {
        let mut command = bench.edit(&["in.png", "--like", "out.png"]);
        done(
            command
                .args(arguments)
                .env("DRAGNEXT_SEED", "8")
                .env("DRAGNEXT_ITERATIONS", "1"),
        );
    };
    again(&["-o", "env.png"]);
    again(&["-o", "flag.png", "--seed", "9"]);
    let (env, flag) = (bench.note("env.png"), bench.note("flag.png"));
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
        "the flag goes before the environment, and that before the report"
    );
}

#[test]
fn another_picture_is_edited_alike_or_refused_with_the_place() {
    let bench = Bench::new();
    bench.make("out.png", &["--no-lora"]);
    bench.picture("wide.png", 140, 90);
    let record = done(&mut bench.edit(&["wide.png", "--like", "out.png"]));
    assert_eq!(
        (warnings(&record), record["size"].to_string().as_str()),
        (vec!["like.size"], "[140,90]")
    );
    bench.picture("small.png", 64, 64);
    bench.write("far.json", &DRAG.replace("[60, 45]", "[90, 45]"));
    done(&mut bench.edit(&["in.png", "--drag", "far.json", "-o", "far.png", "--no-lora"]));
    let (kind, stderr) = refused(&mut bench.edit(&["small.png", "--like", "far.png"]));
    assert_eq!(kind, "instruction.point_outside");
    assert!(
        stderr.contains("far.png: ") && stderr.contains("/regions/0/target"),
        "{stderr}"
    );
    assert!(
        stderr.contains(
            "warning: the picture is 64 x 64, the one that `far.png` was made from was 96 x 80"
        ),
        "{stderr}"
    );
}

#[test]
fn masks_are_looked_for_beside_the_result() {
    let bench = Bench::new();
    bench.mask("drags/masks/ball.png");
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
    done(
        bench
            .edit(&[
                "in.png",
                "--drag",
                "drags/drag.json",
                "-o",
                "results/out.png",
            ])
            .args(short),
    );
    let again = ["in.png", "--like", "results/out.png", "-o", "again.png"];
    let (kind, stderr) = refused(&mut bench.edit(&again));
    assert_eq!(kind, "mask.missing");
    assert!(
        stderr.contains("results/masks/ball.png")
            && stderr.contains("a report names masks and does not hold them"),
        "{stderr}"
    );
    bench.mask("results/masks/ball.png");
    done(&mut bench.edit(&again));
    assert!(bench.read("results/out.png") == bench.read("again.png"));
}

/// A report names its model. What its name means everywhere is used again; the name of somebody's folder is not, and the user is told.
/// Nothing moves in these edits, so that no model is computed with.
#[test]
fn the_model_is_taken_from_the_report_where_its_name_tells_which() {
    let bench = Bench::new();
    bench.write("still.json", &DRAG.replace("[60, 45]", "[40, 40]"));
    let edit = |arguments: &[&str]| {
        let output = bench
            .command(&["edit", "in.png", "--json"])
            .env("HF_HUB_OFFLINE", "1")
            .args(arguments)
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    edit(&["--drag", "still.json", "-o", "demo.png", "--model", "demo"]);
    let tiny = tiny().to_string_lossy().into_owned();
    edit(&["--drag", "still.json", "-o", "tiny.png", "--model", &tiny]);

    let record = edit(&["--like", "demo.png", "-o", "1.png"]);
    assert_eq!(
        (record["model"].as_str(), warnings(&record)),
        (Some("demo"), vec!["region.no_motion"])
    );
    let record = edit(&["--like", "tiny.png", "-o", "2.png"]);
    assert!(warnings(&record).contains(&"like.model"), "{record}");
    let record = edit(&["--like", "demo.png", "-o", "3.png", "--model", &tiny]);
    assert_eq!(
        (record["model"].as_str(), warnings(&record)),
        (Some("tiny"), vec!["region.no_motion"]),
        "as it was asked for"
    );
}

#[test]
fn a_lora_file_that_is_not_given_again_is_missed() {
    let bench = Bench::new();
    bench.make("out.png", &["--save-lora", "l.safetensors"]);
    bench.make("with.png", &["--lora", "l.safetensors"]);
    assert!(
        bench.note("out.png").get("lora").is_none() && bench.note("with.png")["lora"].is_string()
    );
    let without = done(&mut bench.edit(&["in.png", "--like", "with.png", "-o", "1.png"]));
    assert_eq!(warnings(&without), ["like.lora"]);
    let with = done(&mut bench.edit(&[
        "in.png",
        "--like",
        "with.png",
        "-o",
        "2.png",
        "--lora",
        "l.safetensors",
    ]));
    assert_eq!(warnings(&with), [""; 0]);
    assert!(bench.read("with.png") == bench.read("2.png"));
}

#[test]
fn a_report_is_shown_to_people() {
    let bench = Bench::new();
    bench.write(
        "drag.json",
        &DRAG.replace("a wave", "a \\u001b[2Jwave\\nerror: no"),
    );
    let record = bench.make("out.png", &[]);
    let shown =
        String::from_utf8(succeeds(&mut bench.command(&["show", "out.png"])).stdout).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        format!("out.png: edited by dragnext {version} with the model tiny"),
        "  prompt    a \\u{1b}[2Jwave\\nerror: no".into(),
        "  region    ball: translation of the ellipse [40.0, 40.0, 14.0, 12.0], from (40, 40) to (60, 45)".into(),
        "  editable  the swept area and a margin".into(),
        "  seed      3".into(),
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

/// What has no report, or none that can be used, is an error with a kind, for `show` and for `--like`.
#[test]
fn pictures_without_a_report_are_refused() {
    let bench = Bench::new();
    bench.make("out.png", &["--no-lora", "--no-metadata"]);
    bench.make("good.png", &["--no-lora"]);
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
        let output = bench.command(&["show", name]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{stderr}"
        );
        assert!(
            stderr.starts_with(&format!("error: {name}: ")) && stderr.contains(says),
            "{stderr}"
        );
        assert_eq!(
            refused(&mut bench.edit(&["in.png", "--like", name, "-o", "no.png"])).0,
            kind,
            "{name}"
        );
    }
    assert!(!bench.path("no.png").exists());
}

#[test]
fn an_edit_has_one_instruction() {
    let bench = Bench::new();
    for (arguments, says) in [
        (&["in.png"][..], "required arguments were not provided"),
        (
            &["in.png", "--drag", "drag.json", "--like", "in.png"],
            "cannot be used with",
        ),
    ] {
        let output = bench.edit(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr.contains(says) && stderr.contains("--like <OUT.png>"),
            "{stderr}"
        );
    }
}

/// The picture whose report is followed is an input: it is never the output.
#[test]
fn the_picture_that_is_followed_is_never_overwritten() {
    let bench = Bench::new();
    bench.make("out.png", &["--no-lora"]);
    let (kind, _) = refused(&mut bench.edit(&[
        "in.png",
        "--like",
        "out.png",
        "-o",
        "out.png",
        "--overwrite",
    ]));
    assert_eq!(kind, "output.is_input");
}

#[cfg(unix)]
#[test]
fn paths_that_are_no_text_keep_their_bytes_in_the_record() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let name = std::ffi::OsStr::from_bytes(b"p\xff.png");
    if let Err(error) = std::fs::copy(bench.path("in.png"), bench.folder.path().join(name)) {
        println!("skipped: this disk has no such names: {error}");
        return;
    }
    let mut command = bench.edit(&["--drag", "drag.json", "--no-lora", "--timesteps", "1"]);
    let record = done(command.arg(name));
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
    assert!(
        bench
            .folder
            .path()
            .join(std::ffi::OsStr::from_bytes(b"p\xff.edited.png"))
            .is_file()
    );
    // And a VAE's folder is opened by its bytes.
    let folder = bench
        .folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"v\xfe"));
    std::fs::create_dir_all(folder.join("vae")).unwrap();
    for file in ["config.json", "diffusion_pytorch_model.safetensors"] {
        std::fs::copy(tiny().join("vae").join(file), folder.join("vae").join(file)).unwrap();
    }
    let mut command = bench.edit(&[
        "in.png",
        "--drag",
        "drag.json",
        "--no-lora",
        "--timesteps",
        "1",
        "-o",
        "v.png",
    ]);
    done(command.arg("--vae").arg(&folder));
}
