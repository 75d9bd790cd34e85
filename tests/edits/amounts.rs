//! `edit --amounts`: several results of one drag, side by side or in a folder.

use dragnext::device::{Device, Dtype};
use dragnext::drag_file::DragFile;
use dragnext::error::ErrorKind;
use dragnext::plan::Choice;
use dragnext::settings::Overrides;
use dragnext::{Editor, picture};
use image::{GenericImageView, RgbaImage};
use serde_json::{Value, json};

use crate::bench::program::names;
use crate::bench::tiny::{SHORT, model};
use crate::bench::{Bench, Ended, Record};
use crate::command::{TRANSLATION, bench, picture as write_picture};

fn edit(bench: &Bench, arguments: &[&str]) -> Ended {
    bench
        .short_edit(&[arguments, &["--json"]].concat())
        .any_stdout()
        .run()
}

fn rejected(bench: &Bench, arguments: &[&str]) -> Ended {
    let run = bench.short_edit(&[arguments, &["--json"]].concat());
    run.any_stdout().status(2).run()
}

fn rgba(bench: &Bench, name: &str) -> RgbaImage {
    image::open(bench.path(name)).unwrap().into_rgba8()
}

fn each<'a>(records: &'a [Record], key: &str) -> Vec<&'a Value> {
    records.iter().map(|record| &record[key]).collect()
}

/// Amount 0 is the picture, the largest amount alone is an edit of its own, and each result can be repeated from its report.
#[test]
fn a_folder_has_one_result_with_its_report_for_each_amount() {
    let bench = bench();
    let records = edit(&bench, &["-o", "out/", "--amounts", "0.5, 0,1.25"]).records();
    assert_eq!(
        names(&bench.path("out")),
        ["in.0.00.png", "in.0.50.png", "in.1.25.png"]
    );
    assert_eq!(
        each(&records, "amount"),
        [&json!(0.5), &json!(0.0), &json!(1.25)]
    );
    assert_eq!(each(&records, "v"), [&json!(1); 3]);
    assert_eq!(each(&records, "status"), [&json!("done"); 3]);
    assert_eq!(records[2]["out"], "out/in.1.25.png");
    assert_eq!(rgba(&bench, "out/in.0.00.png"), rgba(&bench, "in.png"));
    let jobs = each(&records, "job");
    assert!(jobs[0] != jobs[1] && jobs[1] != jobs[2] && jobs[0] != jobs[2]);
    let moved = |record: &Record| record["regions"][0]["moved_px"].as_f64().unwrap();
    let whole = 425_f64.sqrt();
    assert!((moved(&records[0]) - 0.5 * whole).abs() < 1e-9);
    assert!((moved(&records[2]) - 1.25 * whole).abs() < 1e-9);
    assert_ne!(
        rgba(&bench, "out/in.0.50.png"),
        rgba(&bench, "out/in.1.25.png")
    );

    for (name, record) in [("in.0.50.png", &records[0]), ("in.1.25.png", &records[2])] {
        let like = format!("out/{name}");
        let again = bench
            .dragnext(["edit", "in.png", "--like", &like, "-o", "again.png"])
            .args(["--overwrite", "--json", "--model"])
            .arg(model())
            .any_stderr()
            .record();
        assert_eq!(again["job"], record["job"], "{name}");
        assert_eq!(again["amount"], record["amount"], "{name}");
        assert!(
            bench.read("again.png") == bench.read(&like),
            "{name} is repeated"
        );
    }
    let shown = bench
        .dragnext(["show", "out/in.0.50.png"])
        .any_stdout()
        .run();
    assert!(
        shown
            .stdout
            .contains("  amount    0.5 of the drag, in a series up to 1.25\n"),
        "{shown}"
    );
    bench
        .dragnext(["show", "out/in.0.50.png", "--drag"])
        .stderr_has("warning: the picture shows the drag at amount 0.5")
        .any_stdout()
        .run();
}

/// What does not depend on the drag is computed once without the cache too, and results do not depend on that.
#[test]
fn the_lora_is_trained_once_and_results_are_those_of_single_edits() {
    let bench = bench();
    let start = ["--start", "moved", "--no-cache"];
    let amounts = ["--amounts", "0.5,1", "-o", "out/"];
    let records = edit(&bench, &[&start[..], &amounts].concat()).records();
    assert_eq!(records[0].get("cached"), None);
    assert_eq!(records[1]["cached"], json!(["lora", "invert"]));
    assert_eq!(records[1]["steps"]["lora"], 0);
    // The whole drag is the largest amount, so it is the ordinary edit.
    let whole = edit(&bench, &[&start[..], &["-o", "whole.png"]].concat()).record;
    assert_eq!(
        (&whole["job"], whole.get("amount")),
        (&records[1]["job"], None)
    );
    assert_eq!(whole["out_sha256"], records[1]["out_sha256"]);
    assert_eq!(bench.names(), ["drag.json", "in.png", "out", "whole.png"]);

    // The warped start inverts another picture for each amount.
    let amounts = [
        "--amounts",
        "0.5,1",
        "-o",
        "warped/",
        "--save-lora",
        "lora.safetensors",
    ];
    let records = edit(&bench, &amounts).records();
    assert_eq!(records[1]["cached"], json!(["lora"]));
    assert!(bench.path("lora.safetensors").is_file());
    let given = [
        "--amounts",
        "0.5,1",
        "-o",
        "given/",
        "--lora",
        "lora.safetensors",
        "--no-metadata",
    ];
    edit(&bench, &given);
    for name in ["in.0.50.png", "in.1.00.png"] {
        let [given, trained] =
            ["given", "warped"].map(|folder| rgba(&bench, &format!("{folder}/{name}")));
        assert_eq!(given, trained, "{name}");
    }
}

#[test]
fn a_file_has_the_results_side_by_side() {
    let bench = Bench::new();
    write_picture(&bench, 96, 80);
    bench.write("drag.json", TRANSLATION);
    let amounts = ["--amounts", "0,1,1.5", "--no-lora"];
    let records = edit(&bench, &amounts).records();
    assert_eq!(each(&records, "out"), [&json!("in.amounts.png"); 3]);
    assert_eq!(each(&records, "out_sha256"), [&records[0]["out_sha256"]; 3]);
    edit(&bench, &[&amounts[..], &["-o", "out/"]].concat());
    let row = image::open(bench.path("in.amounts.png")).unwrap();
    let gap = 8;
    assert_eq!(row.width(), 3 * 96 + 2 * gap);
    assert!(row.height() > 90, "captions are below the pictures");
    for (index, name) in ["in.0.00.png", "in.1.00.png", "in.1.50.png"]
        .into_iter()
        .enumerate()
    {
        let left = index as u32 * (96 + gap);
        let result = rgba(&bench, &format!("out/{name}"));
        for (x, y, pixel) in result
            .enumerate_pixels()
            .filter(|(.., pixel)| pixel.0[3] == 255)
        {
            assert_eq!(row.get_pixel(left + x, y), *pixel, "({x}, {y}) of {name}");
        }
    }
    // A row is no result that can be repeated.
    bench
        .dragnext(["show", "in.amounts.png"])
        .status(2)
        .any_stderr()
        .run();
}

#[test]
fn amounts_that_cannot_be_are_rejected_before_any_work() {
    let bench = bench();
    for (amounts, kind, message) in [
        ("0.5,5", "setting", "amounts: `5` must be 0 to 4"),
        ("-0.5", "setting", "amounts: `-0.5` must be 0 to 4"),
        ("nan", "setting", "amounts: `NaN` must be 0 to 4"),
        ("1,0.5,1.0", "setting", "amounts: `1` is given twice"),
        (
            "0,.1,.2,.3,.4,.5,.6,.7,.8,.9,1,1.1,1.2,1.3,1.4,1.5,1.6",
            "setting",
            "amounts: `17 amounts` must be 1 to 16",
        ),
        (
            "0.5,1,4",
            "region.leaves",
            "at amount 4, the region is dragged out of the image (96 x 96)",
        ),
    ] {
        let ended = rejected(&bench, &["-o", "out/", "--amounts", amounts]);
        assert_eq!(ended.kind(), kind, "{ended}");
        assert!(ended.stderr.contains(message), "{ended}");
        assert!(!ended.stderr.contains("load"), "{ended}");
    }
    for arguments in [
        &["--amounts", ""][..],
        &["--amounts", "0.5,"],
        &["--amounts", "half"],
        &["--amounts", "1", "--strip", "strip.png"],
        &["--amounts", "1", "--diagnostics", "out"],
    ] {
        let ended = rejected(&bench, arguments);
        assert!(ended.stderr.contains("--amounts <LIST>"), "{ended}");
    }
    assert_eq!(bench.names(), ["drag.json", "in.png"]);
}

/// The library has the same: with the whole drag as largest amount, it is an edit, and 0 is the picture.
#[test]
fn an_editor_edits_to_amounts() {
    let bench = bench();
    let picture = picture::read(&bench.path("in.png")).unwrap().picture;
    let drag = DragFile::parse(TRANSLATION.as_bytes()).unwrap();
    let mut editor = Editor::open_on(&model().to_string_lossy(), Device::Cpu, Dtype::Auto).unwrap();
    let mut given = Overrides::from([("strength", 0.08)]);
    for name in ["timesteps", "iterations", "lora_steps"] {
        given.set(name, 2);
    }
    let choice = Choice::of(given);
    let whole = editor.edit(&picture, &drag, &choice).unwrap();
    let amounts = editor.edit_amounts(&picture, &drag, &choice, &[0.0, 0.5, 1.0]);
    let [none, half, all] = &amounts.unwrap()[..] else {
        panic!("three results")
    };
    assert!(*none == picture && *all == whole && *half != whole && *half != picture);
    let leaves = editor.edit_amounts(&picture, &drag, &choice, &[1.0, 4.0]);
    assert_eq!(leaves.unwrap_err().kind(), ErrorKind::RegionLeaves);
    let refused = editor.edit_amounts(&picture, &drag, &choice, &[]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Setting);
}

/// An existing result is found before any edit; a row larger than pictures may be is refused.
#[test]
fn outputs_of_all_amounts_are_checked_first() {
    let bench = bench();
    bench.write("out/in.1.50.png", "old");
    let amounts = ["--amounts", "0.5,1.5"];
    // The folder exists, so the path needs no slash.
    let ended = rejected(&bench, &[&amounts[..], &["-o", "out"]].concat());
    assert_eq!(ended.kind(), "output.exists", "{ended}");
    assert_eq!(
        (names(&bench.path("out")), bench.text("out/in.1.50.png")),
        (vec!["in.1.50.png".to_owned()], "old".to_owned())
    );
    for (output, kind) in [
        ("in.png", "output.is_input"),
        ("row.jpg", "output.format"),
        ("out/in.1.50.png/", "output.folder"),
    ] {
        let ended = rejected(
            &bench,
            &[&amounts[..], &["--overwrite", "-o", output]].concat(),
        );
        assert_eq!(ended.kind(), kind, "{ended}");
    }
    bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out/"])
        .args(SHORT)
        .arg("--model")
        .arg(model())
        .status(2)
        .stderr_has("names a folder")
        .run();
    write_picture(&bench, 30_000, 64);
    let ended = rejected(&bench, &[&amounts[..], &["-o", "row.png"]].concat());
    assert_eq!(ended.kind(), "image.too_large", "{ended}");
    assert!(
        ended
            .stderr
            .contains("the results side by side would be 600"),
        "{ended}"
    );
}

/// Results that were written before a fault are complete and done; the others have no file, and their records say why.
#[cfg(feature = "failpoints")]
#[test]
fn a_disk_that_fills_up_leaves_complete_results_only() {
    let bench = bench();
    let edit = |failpoint: &str, output: &str| {
        bench
            .short_edit(&["--amounts", "0,0.5,1", "--no-lora", "--json", "-o", output])
            .env("DRAGNEXT_FAILPOINTS", failpoint)
            .any_stdout()
            .ended()
    };
    let ended = edit("disk_full#2", "out/");
    assert_eq!(ended.status, Some(75), "{ended}");
    let records = ended.records();
    assert_eq!(
        each(&records, "status"),
        [&json!("done"), &json!("failed"), &json!("failed")]
    );
    assert_eq!(records[1].kind(), "output.disk_full");
    assert_eq!(names(&bench.path("out")), ["in.0.00.png"]);
    assert_eq!(rgba(&bench, "out/in.0.00.png"), rgba(&bench, "in.png"));

    let ended = edit("other_bytes_come_back", "row.png");
    assert_eq!(ended.status, Some(1), "{ended}");
    let records = ended.records();
    assert_eq!(each(&records, "status"), [&json!("failed"); 3]);
    assert_eq!(records[2].kind(), "output.verify");
    assert_eq!(bench.names(), ["drag.json", "in.png", "out"]);
}
