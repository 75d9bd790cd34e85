//! `dragnext edit` as its users run it, on a tiny model with random weights: what comes out is no picture, but how it comes out is
//! the same as with a real one.

#[cfg(unix)]
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
#[cfg(unix)]
use std::time::{Duration, Instant};

use assert_cmd::Command;
use image::{DynamicImage, GenericImageView, ImageBuffer, Rgba};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

struct Bench {
    folder: tempfile::TempDir,
}

const TRANSLATION: &str = r#"{ "version": 1, "regions": [
    { "type": "translation", "region": { "ellipse": [40, 40, 14, 12] }, "handle": [40, 40], "target": [60, 45] } ] }"#;

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A smooth picture with a little of everything in it.
    fn picture(&self, name: &str, width: u32, height: u32) -> DynamicImage {
        let wave = |x: u32, y: u32, k: f32| {
            ((((x as f32) * 0.11 * k).sin() + ((y as f32) * 0.07 / k).cos()) * 60.0 + 128.0) as u8
        };
        let alpha = |x: u32| if x < width / 3 { 90 } else { 255 };
        let picture = DynamicImage::ImageRgba8(ImageBuffer::from_fn(width, height, |x, y| {
            Rgba([wave(x, y, 1.0), wave(x, y, 1.7), wave(x, y, 0.6), alpha(x)])
        }));
        picture.save(self.path(name)).unwrap();
        picture
    }

    /// Few steps of everything.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("dragnext").unwrap();
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("DRAGNEXT_CACHE_LIMIT", "0")
            .current_dir(self.folder.path())
            .arg("edit")
            .args(arguments);
        command.arg("--model").arg(fixture("tiny"));
        command.args([
            "--strength",
            "0.08",
            "--timesteps",
            "2",
            "--iterations",
            "2",
            "--lora-steps",
            "2",
            "--lora-rank",
            "4",
        ]);
        command
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The same job has the same bytes, with one thread and with two, and whatever else the machine does.
#[test]
fn results_are_the_same_bytes_with_any_number_of_threads() {
    let bench = Bench::new();
    bench.picture("in.png", 150, 110);
    bench.write("drag.json", TRANSLATION);
    let run = |threads: &str, out: &str| {
        let output = bench
            .command(&["in.png", "--drag", "drag.json", "-o", out])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::read(bench.path(out)).unwrap()
    };
    let one = run("1", "one.png");
    assert!(
        one == run("2", "two.png"),
        "one thread and two give the same file"
    );
    assert!(one == run("3", "three.png"), "three threads too");
    bench.succeeds(&[
        "in.png",
        "--drag",
        "drag.json",
        "-o",
        "seed.png",
        "--seed",
        "5",
    ]);
    assert!(
        one != std::fs::read(bench.path("seed.png")).unwrap(),
        "another seed gives another file"
    );
}

/// Sizes that no network likes: the result has the picture's own size, and outside the editable area its own pixels, alpha included.
#[test]
fn any_size_comes_back_with_its_own_pixels_outside() {
    for (width, height) in [(150, 110), (97, 131), (64, 64), (300, 70)] {
        let bench = Bench::new();
        let before = bench.picture("in.png", width, height);
        bench.write(
            "drag.json",
            r#"{ "version": 1, "editable": { "rect": [10, 10, 62, 62] }, "regions": [
                { "type": "translation", "region": { "rect": [12, 12, 36, 36] }, "handle": [24, 24], "target": [44.5, 46] } ] }"#,
        );
        bench.succeeds(&["in.png", "--drag", "drag.json", "-o", "out.png"]);
        let after = image::open(bench.path("out.png")).unwrap();
        assert_eq!(after.dimensions(), (width, height));
        let mut changed = 0;
        for (x, y, pixel) in before.pixels() {
            let inside = (10..62).contains(&x) && (10..62).contains(&y);
            if !inside {
                assert_eq!(
                    pixel,
                    after.get_pixel(x, y),
                    "pixel ({x}, {y}) of {width} x {height}"
                );
            }
            assert_eq!(
                pixel.0[3],
                after.get_pixel(x, y).0[3],
                "alpha of pixel ({x}, {y})"
            );
            changed += usize::from(pixel != after.get_pixel(x, y));
        }
        assert!(
            changed > 500,
            "inside, the picture did change: {changed} pixels of {width} x {height}"
        );
    }
}

/// Regions at the border, turned, pulled, two at once: nothing of it stops the edit, and the user is told.
#[test]
fn regions_and_drags_that_leave_the_picture_partly_are_done_with_a_warning() {
    let bench = Bench::new();
    bench.picture("in.png", 128, 128);
    bench.write(
        "drag.json",
        r#"{ "version": 1, "regions": [
            { "id": "edge", "type": "translation", "region": { "ellipse": [8, 64, 20, 20] }, "handle": [8, 64], "target": [30, 60] },
            { "id": "away", "type": "translation", "region": { "rect": [90, 90, 120, 120] }, "handle": [105, 105], "target": [125, 110] },
            { "id": "turn", "type": "rotation", "region": { "rect": [50, 10, 90, 40] }, "center": [70, 25], "angle": 40 } ] }"#,
    );
    let record: serde_json::Value =
        serde_json::from_str(&bench.succeeds(&["in.png", "--drag", "drag.json", "--json"]))
            .unwrap();
    let kinds: Vec<&str> = record["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"region.partly_outside") && kinds.contains(&"region.partly_leaves"),
        "{kinds:?}"
    );
    assert_eq!(record["regions"].as_array().unwrap().len(), 3);
    assert!(
        bench.path("in.edited.png").is_file(),
        "the result stands beside the picture"
    );
}

/// With the handle on its target nothing is optimised: the output has the input's pixels.
#[test]
fn a_drag_without_motion_gives_the_picture_back() {
    let bench = Bench::new();
    let before = bench.picture("in.png", 100, 90);
    bench.write("drag.json", &TRANSLATION.replace("[60, 45]", "[40, 40]"));
    let output = bench
        .command(&["in.png", "--drag", "drag.json", "-o", "out.png"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("warning"),
        "the user is told"
    );
    assert_eq!(
        image::open(bench.path("out.png")).unwrap().into_rgba8(),
        before.into_rgba8()
    );
}

/// A LoRA that was saved gives the same picture as the training did.
#[test]
fn a_saved_lora_gives_the_same_picture() {
    let bench = Bench::new();
    bench.picture("in.png", 96, 96);
    bench.write("drag.json", TRANSLATION);
    bench.succeeds(&[
        "in.png",
        "--drag",
        "drag.json",
        "-o",
        "a.png",
        "--save-lora",
        "lora.safetensors",
        "--no-metadata",
    ]);
    bench.succeeds(&[
        "in.png",
        "--drag",
        "drag.json",
        "-o",
        "b.png",
        "--lora",
        "lora.safetensors",
        "--no-metadata",
    ]);
    bench.succeeds(&[
        "in.png",
        "--drag",
        "drag.json",
        "-o",
        "c.png",
        "--no-lora",
        "--no-metadata",
    ]);
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(
        read("a.png") == read("b.png"),
        "trained and loaded give the same bytes"
    );
    assert!(read("a.png") != read("c.png"), "the LoRA does something");
}

/// Nothing that was given is written to, with `--overwrite` too, and no output takes the place of another.
#[test]
fn inputs_and_other_outputs_are_never_overwritten() {
    let bench = Bench::new();
    bench.picture("in.png", 96, 96);
    bench.write("drag.json", TRANSLATION);
    for name in [
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
    ] {
        std::fs::create_dir_all(bench.path("model").join(name).parent().unwrap()).unwrap();
        std::fs::copy(fixture("tiny").join(name), bench.path("model").join(name)).unwrap();
    }
    for (outputs, kind) in [
        (
            &["-o", "model/unet/diffusion_pytorch_model.safetensors"][..],
            "output.is_input",
        ),
        (&["-o", "drag.json"], "output.is_input"),
        (
            &["-o", "out.png", "--save-lora", "in.png"],
            "output.is_input",
        ),
        (
            &["-o", "out.png", "--save-lora", "./out.png"],
            "output.not_distinct",
        ),
    ] {
        let mut command = Command::cargo_bin("dragnext").unwrap();
        command.env_clear().current_dir(bench.folder.path()).args([
            "edit",
            "in.png",
            "--drag",
            "drag.json",
            "--model",
            "model",
        ]);
        let output = command
            .args(["--overwrite", "--json"])
            .args(outputs)
            .output()
            .unwrap();
        let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (output.status.code(), record["error"]["kind"].as_str()),
            (Some(2), Some(kind)),
            "{outputs:?}"
        );
    }
    assert!(!bench.path("out.png").exists());
}

/// `--save-lora` without a training says that there is nothing to save.
#[test]
fn a_lora_that_was_not_trained_is_not_saved_with_a_warning() {
    let bench = Bench::new();
    bench.picture("in.png", 96, 96);
    bench.write("drag.json", &TRANSLATION.replace("[60, 45]", "[40, 40]"));
    let record: serde_json::Value = serde_json::from_str(&bench.succeeds(&[
        "in.png",
        "--drag",
        "drag.json",
        "--save-lora",
        "lora.safetensors",
        "--json",
    ]))
    .unwrap();
    let kinds: Vec<&str> = record["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["region.no_motion", "lora.not_trained"]);
    assert!(!bench.path("lora.safetensors").exists());
}

/// Relative names mean the folder one is in; masks are looked for beside the drag file.
#[test]
fn it_works_from_another_folder() {
    let bench = Bench::new();
    bench.picture("in.png", 96, 96);
    std::fs::create_dir_all(bench.path("drags")).unwrap();
    std::fs::create_dir_all(bench.path("elsewhere")).unwrap();
    let mask = ImageBuffer::from_fn(96, 96, |x, y| {
        image::Luma([if (20..50).contains(&x) && (20..50).contains(&y) {
            255u8
        } else {
            0
        }])
    });
    mask.save(bench.path("drags/mask.png")).unwrap();
    bench.write(
        "drags/drag.json",
        &TRANSLATION.replace(
            r#"{ "ellipse": [40, 40, 14, 12] }"#,
            r#"{ "mask": "mask.png" }"#,
        ),
    );
    let arguments = ["../in.png", "--drag", "../drags/drag.json", "-o", "out.png"];
    let output = bench
        .command(&arguments)
        .current_dir(bench.path("elsewhere"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(bench.path("elsewhere/out.png").is_file());
}

/// Two runs with one output: one of them wins, the other is refused, and the file is whole.
#[test]
fn two_runs_at_once_leave_one_whole_picture() {
    let bench = Bench::new();
    bench.picture("in.png", 96, 96);
    bench.write("drag.json", TRANSLATION);
    let start = |out: &str| {
        let command = bench.command(&["in.png", "--drag", "drag.json", "-o", out]);
        let mut process = std::process::Command::new(command.get_program());
        process
            .args(command.get_args())
            .env_clear()
            .current_dir(bench.folder.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        process.spawn().unwrap()
    };
    let runs = [start("out.png"), start("out.png")];
    let codes: Vec<i32> = runs
        .into_iter()
        .map(|run| run.wait_with_output().unwrap().status.code().unwrap())
        .collect();
    // The slower one may find the result at its start, or only when its own is done.
    assert!(
        codes.contains(&0) && codes.iter().all(|code| [0, 1, 2].contains(code)),
        "{codes:?}"
    );
    assert!(image::open(bench.path("out.png")).is_ok());
    let left = std::fs::read_dir(bench.folder.path()).unwrap().count();
    assert_eq!(left, 3, "picture, drag file and result; no temporary file");
}

/// SIGINT and SIGTERM stop between two steps, within seconds, and leave nothing behind.
#[cfg(unix)]
#[test]
fn a_signal_stops_the_edit_tidily() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let bench = Bench::new();
        bench.picture("in.png", 96, 96);
        bench.write("drag.json", TRANSLATION);
        let command = bench.command(&["in.png", "--drag", "drag.json", "-o", "out.png", "--json"]);
        let mut process = std::process::Command::new(command.get_program());
        // Steps for minutes, so that the signal comes in between.
        let arguments = command.get_args().map(|argument| {
            if argument == "2" {
                "1000".as_ref()
            } else {
                argument
            }
        });
        process
            .args(arguments)
            .env_clear()
            .current_dir(bench.folder.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        let mut run = process.spawn().unwrap();
        // The first line tells that the program listens, and that the stages have begun.
        let mut stderr = BufReader::new(run.stderr.take().unwrap());
        let mut told = String::new();
        stderr.read_line(&mut told).unwrap();
        assert!(told.starts_with("load"), "{told}");
        assert!(
            run.try_wait().unwrap().is_none(),
            "the edit is still running"
        );
        let sent = Instant::now();
        let kill = std::process::Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(run.id().to_string())
            .status()
            .unwrap();
        assert!(kill.success());
        stderr.read_to_string(&mut told).unwrap();
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{told}");
        assert!(sent.elapsed() < Duration::from_secs(30));
        assert!(told.contains("interrupted; no result was written"));
        assert!(!bench.path("out.png").exists());
        assert_eq!(
            std::fs::read_dir(bench.folder.path()).unwrap().count(),
            2,
            "nothing is left behind"
        );
    }
}

/// Wherever the edit is, a signal is noticed before the stage it comes in has ended. The places wait for it, so that it cannot come late.
#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_signal_is_noticed_inside_long_stages() {
    for (place, stage) in [
        ("wait_in_load", "load"),
        ("wait_in_encode", "encode"),
        ("wait_in_lora", "lora"),
        ("wait_in_decode", "decode"),
    ] {
        let bench = Bench::new();
        let (mut run, mut stderr) = bench.start_at(place);
        send("INT", run.id());
        let mut told = String::new();
        stderr.read_to_string(&mut told).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(130), "{place}: {told}");
        assert!(
            told.contains("interrupted; no result was written"),
            "{place}: {told}"
        );
        assert!(
            told.lines()
                .all(|line| !line.starts_with(&format!("{stage} "))),
            "{stage} did not end: {told}"
        );
        assert_eq!(
            std::fs::read_dir(bench.folder.path()).unwrap().count(),
            2,
            "nothing is left behind"
        );
    }
}

/// Who asks twice does not want to wait: the second signal ends the process, wherever it is.
#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (second, status) in [("INT", 130), ("TERM", 143)] {
        let bench = Bench::new();
        let (mut run, mut stderr) = bench.start_at("hang_in_decode");
        let sent = Instant::now();
        send("INT", run.id());
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            run.try_wait().unwrap().is_none(),
            "the first signal waits for the place where the edit hangs"
        );
        send(second, run.id());
        let mut told = String::new();
        stderr.read_to_string(&mut told).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(status), "{told}");
        assert!(
            sent.elapsed() < Duration::from_secs(30),
            "the edit hangs for a minute, the process does not"
        );
        assert!(
            !told.contains("interrupted"),
            "there was no time for a message: {told}"
        );
        assert_eq!(
            std::fs::read_dir(bench.folder.path()).unwrap().count(),
            2,
            "nothing is left behind"
        );
    }
}

#[cfg(all(unix, feature = "failpoints"))]
fn send(signal: &str, process: u32) {
    assert!(
        std::process::Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(process.to_string())
            .status()
            .unwrap()
            .success()
    );
}

#[cfg(all(unix, feature = "failpoints"))]
impl Bench {
    /// Starts an edit and returns when it has come to a place; with what it tells from there on.
    fn start_at(&self, place: &str) -> (std::process::Child, BufReader<std::process::ChildStderr>) {
        self.picture("in.png", 96, 96);
        self.write("drag.json", TRANSLATION);
        let command = self.command(&["in.png", "--drag", "drag.json", "-o", "out.png"]);
        let mut process = std::process::Command::new(command.get_program());
        process
            .args(command.get_args())
            .env_clear()
            .env("DRAGNEXT_FAILPOINTS", place)
            .current_dir(self.folder.path());
        let mut run = process
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(run.stderr.take().unwrap());
        let mut told = String::new();
        while !told.ends_with(&format!("failpoint {place}\n")) {
            assert!(
                stderr.read_line(&mut told).unwrap() > 0,
                "the edit never came to {place}: {told}"
            );
        }
        (run, stderr)
    }
}
