//! `edit --degrees`: several results of one optimisation, side by side or in a folder.

use dragnext::device::{Device, Dtype};
use dragnext::drag_file::DragFile;
use dragnext::error::ErrorKind;
use dragnext::plan::Choice;
use dragnext::settings::Overrides;
use dragnext::{Editor, picture};
use image::RgbaImage;
use serde_json::{Value, json};

use crate::bench::program::names;
use crate::bench::tiny::model;
use crate::bench::{Bench, Ended, Record};
use crate::command::{TRANSLATION, bench};

/// A short edit by `method`, without its record's file.
fn run(bench: &Bench, method: &str, arguments: &[&str], status: i32) -> Ended {
    let short: &[&str] = match method {
        "pbsi" => &["--timesteps", "2", "--iterations", "2", "--start", "moved"],
        "good-drag" => &["--timesteps", "1", "--tracks", "1"],
        "region-drag" | "fast-drag" | "dragon-diffusion" | "diff-editor" => &[],
        _ => &["--iterations", "2"],
    };
    bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "--overwrite"])
        .args(["--json", "--strength", "0.08", "--method", method])
        .args(["--lora-steps", "1", "--lora-rank", "2", "--lora-batch", "1"])
        .args(short)
        .args(arguments)
        .arg("--model")
        .arg(model())
        .status(status)
        .any_stdout()
        .any_stderr()
        .run()
}

fn rgba(bench: &Bench, name: &str) -> RgbaImage {
    image::open(bench.path(name)).unwrap().into_rgba8()
}

fn each<'a>(records: &'a [Record], key: &str) -> Vec<&'a Value> {
    records.iter().map(|record| &record[key]).collect()
}

/// Each result is that of an edit with its degree, byte for byte, and can be repeated from its report; the optimisation runs once.
#[test]
fn a_folder_has_the_result_of_each_degree_after_one_optimisation() {
    let bench = bench();
    for method in ["drag-diffusion", "good-drag", "pbsi"] {
        let arguments = ["-o", "out/", "--degrees", "0.5, 0,1.25"];
        let ended = run(&bench, method, &arguments, 0);
        let drags = ended.stderr.matches("drag ").count();
        assert_eq!((drags, ended.stderr.matches("denoise ").count()), (1, 3));
        let records = ended.records();
        assert_eq!(
            names(&bench.path("out")),
            [
                "in.degree-0.00.png",
                "in.degree-0.50.png",
                "in.degree-1.25.png"
            ]
        );
        assert_eq!(
            each(&records, "degree"),
            [&json!(0.5), &json!(0.0), &json!(1.25)]
        );
        assert_eq!(each(&records, "status"), [&json!("done"); 3]);
        assert_eq!(records[2]["out"], "out/in.degree-1.25.png");
        assert_eq!(records[1]["cached"], json!(["lora", "invert", "drag"]));
        assert_eq!(records[2]["cached"], records[1]["cached"]);
        assert_eq!(records[0]["losses"], records[2]["losses"]);
        let steps = |index: usize, key: &str| records[index]["steps"][key].as_u64().unwrap();
        assert!(steps(0, "drag") > 0 && steps(0, "lora") == 1);
        assert_eq!((steps(1, "drag"), steps(1, "lora")), (0, 0));
        assert_eq!(steps(1, "denoise"), steps(0, "denoise"));

        for (record, degree) in records.iter().zip(["0.5", "0", "1.25"]) {
            let single = ["--degree", degree, "-o", "single.png"];
            let single = run(&bench, method, &single, 0).record;
            for key in ["job", "out_sha256", "degree"] {
                assert_eq!(record[key], single[key], "{method} {key} at {degree}");
            }
        }
        assert_ne!(
            rgba(&bench, "out/in.degree-0.50.png"),
            rgba(&bench, "out/in.degree-1.25.png")
        );
        let again = bench
            .dragnext(["edit", "in.png", "--like", "out/in.degree-1.25.png"])
            .args(["--overwrite", "--json", "-o", "again.png", "--model"])
            .arg(model())
            .any_stderr()
            .record();
        assert_eq!(again["out_sha256"], records[2]["out_sha256"], "{method}");
    }
}

#[test]
fn a_file_has_the_results_side_by_side() {
    let bench = bench();
    let saved = ["--degrees", "0,1", "--save-lora", "lora.safetensors"];
    let records = run(&bench, "drag-diffusion", &saved, 0).records();
    assert_eq!(each(&records, "out"), [&json!("in.degrees.png"); 2]);
    assert_eq!(each(&records, "out_sha256"), [&records[0]["out_sha256"]; 2]);
    assert!(bench.path("lora.safetensors").is_file());
    run(
        &bench,
        "drag-diffusion",
        &["--degrees", "0,1", "-o", "out/"],
        0,
    );
    let row = rgba(&bench, "in.degrees.png");
    let gap = 8;
    assert_eq!(row.width(), 2 * 96 + gap);
    for (index, name) in ["in.degree-0.00.png", "in.degree-1.00.png"]
        .into_iter()
        .enumerate()
    {
        let left = index as u32 * (96 + gap);
        let result = rgba(&bench, &format!("out/{name}"));
        // The row shows transparent pixels on a ground.
        let opaque = result.enumerate_pixels().filter(|(.., at)| at[3] == 255);
        for (x, y, pixel) in opaque {
            assert_eq!(row.get_pixel(left + x, y), pixel, "({x}, {y}) of {name}");
        }
    }
    // With that LoRA given instead of training, the jobs are still those of single edits.
    let given = ["--lora", "lora.safetensors", "-o", "given.png"];
    let one = [&given[..], &["--degree", "0.5"]].concat();
    let one = run(&bench, "drag-diffusion", &one, 0).record;
    let series = ["--lora", "lora.safetensors", "-o", "given/"];
    let series = [&series[..], &["--degrees", "1,0.5"]].concat();
    let series = run(&bench, "drag-diffusion", &series, 0).records();
    for key in ["job", "out_sha256"] {
        assert_eq!(series[1][key], one[key], "{key}");
    }
    assert_eq!(series[1]["cached"], json!(["invert", "drag"]));
    // A row in a folder of pictures is no picture to edit.
    let listed = bench
        .dragnext(["batch", ".", "-o", "edited", "--dry-run", "--json"])
        .args(["--drag", "drag.json", "--model"])
        .arg(model())
        .any_stderr()
        .any_stdout()
        .run();
    assert!(!listed.stdout.contains("degrees.png"), "{listed}");
}

#[test]
fn degrees_that_cannot_be_are_rejected_before_any_work() {
    let bench = bench();
    for (method, arguments, message) in [
        ("pbsi", &["0.5,5"][..], "degrees: `5` must be 0 to 4"),
        ("pbsi", &["nan"], "degrees: `NaN` must be 0 to 4"),
        ("pbsi", &["1,1.0"], "degrees: `1` is given twice"),
        (
            "pbsi",
            &["0,1", "--degree", "0.5"],
            "degree: `0.5` is given beside `--degrees`",
        ),
        (
            "pbsi",
            &["0,1", "--timesteps", "0"],
            "degrees: `0.00,1.00` have no effect: with these settings `pbsi` optimises nothing",
        ),
        (
            "region-drag",
            &["0,1"],
            "has no effect with `region-drag`: nothing is optimised",
        ),
        (
            "fast-drag",
            &["0,1"],
            "has no effect with `fast-drag`: nothing is optimised",
        ),
        (
            "dragon-diffusion",
            &["0,1"],
            "has no effect with `dragon-diffusion`: nothing is optimised",
        ),
    ] {
        let arguments = [&["--degrees"], arguments].concat();
        let run = bench
            .dragnext(["edit", "in.png", "--drag", "drag.json", "--json"])
            .args(["--method", method])
            .args(arguments)
            .arg("--model")
            .arg(model());
        let ended = run.status(2).any_stdout().any_stderr().run();
        assert!(ended.stderr.contains(message), "{ended}");
        assert_eq!(ended.kind(), "setting", "{ended}");
        assert!(!ended.stderr.contains("load"), "{ended}");
    }
    for arguments in [
        &["--degrees", ""][..],
        &["--degrees", "half"],
        &["--degrees", "1", "--strip", "strip.png"],
        &["--degrees", "1", "--diagnostics", "out"],
        &["--degrees", "1", "--amounts", "1"],
    ] {
        let ended = run(&bench, "pbsi", arguments, 2);
        assert!(ended.stderr.contains("--degrees <LIST>"), "{ended}");
    }
    let both = ["--method", "pbsi,good-drag", "--degrees", "0,1"];
    let ended = bench.short_edit(&both).status(2).any_stderr().run();
    let expected = "must be one method with `--degrees`";
    assert!(ended.stderr.contains(expected), "{ended}");
    assert_eq!(bench.names(), ["drag.json", "in.png"]);
    // The environment's degree holds for edits without a list.
    let ended = bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "--json"])
        .args([
            "--method",
            "drag-diffusion",
            "--iterations",
            "1",
            "--no-lora",
        ])
        .args(["--strength", "0.08", "--degrees", "0,1", "--model"])
        .arg(model())
        .env("DRAGNEXT_DEGREE", "0.25")
        .any_stdout()
        .any_stderr()
        .run();
    let degrees = ended.records();
    assert_eq!(each(&degrees, "degree"), [&json!(0.0), &json!(1.0)]);
}

/// When nothing moves, every result is the picture, and no weight is read.
#[test]
fn a_drag_without_motion_gives_the_picture_at_every_degree() {
    let bench = bench();
    bench.write("drag.json", TRANSLATION.replace("[60, 45]", "[40, 40]"));
    let ended = run(&bench, "pbsi", &["--degrees", "0,2", "-o", "out/"], 0);
    assert!(!ended.stderr.contains("load "), "{ended}");
    assert_eq!(each(&ended.records(), "status"), [&json!("done"); 2]);
    for name in ["in.degree-0.00.png", "in.degree-2.00.png"] {
        assert_eq!(rgba(&bench, &format!("out/{name}")), rgba(&bench, "in.png"));
    }
}

/// The library has the same.
#[test]
fn an_editor_edits_to_degrees() {
    let bench = bench();
    let picture = picture::read(&bench.path("in.png")).unwrap().picture;
    let drag = DragFile::parse(TRANSLATION.as_bytes()).unwrap();
    let mut editor = Editor::open_on(&model().to_string_lossy(), Device::Cpu, Dtype::Auto).unwrap();
    let mut given = Overrides::from([("strength", 0.08)]);
    for (name, value) in [("iterations", 2), ("lora_steps", 0)] {
        given.set(name, value);
    }
    let choice = |given: &Overrides| Choice {
        method: "drag-diffusion".parse().ok(),
        values: given.clone(),
    };
    let edited = editor.edit_degrees(&picture, &drag, &choice(&given), &[1.0, 0.5]);
    let [whole, half] = &edited.unwrap()[..] else {
        panic!("two results")
    };
    assert!(editor.edit(&picture, &drag, &choice(&given)).unwrap() == *whole);
    let mut at_half = given.clone();
    at_half.set("degree", 0.5);
    assert!(editor.edit(&picture, &drag, &choice(&at_half)).unwrap() == *half);
    let refused = editor.edit_degrees(&picture, &drag, &choice(&given), &[]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Setting);
}

/// Results that were written before a fault are complete and done; the others have no file.
#[cfg(feature = "failpoints")]
#[test]
fn a_disk_that_fills_up_leaves_complete_results_only() {
    let bench = bench();
    let ended = bench
        .short_edit(&["--degrees", "0,1", "--no-lora", "--json", "-o", "out/"])
        .args(["--start", "moved"])
        .env("DRAGNEXT_FAILPOINTS", "disk_full#2")
        .any_stdout()
        .ended();
    assert_eq!(ended.status, Some(75), "{ended}");
    let records = ended.records();
    assert_eq!(each(&records, "status"), [&json!("done"), &json!("failed")]);
    assert_eq!(names(&bench.path("out")), ["in.degree-0.00.png"]);
}
