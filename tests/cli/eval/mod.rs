//! `dragnext eval`: oracles, failed edits, comparisons, formats, records, and judges of every kind.

mod failures;
mod formats;
#[cfg(unix)]
mod judge;
mod methods;
mod networks;
mod outside;

use std::fmt::Write as _;

use image::{Rgb, RgbImage};

use crate::bench::{Bench, Record, Run};

/// A grey picture of 96 x 80 with a red square of 20 pixels whose top left corner is at (`x`, 30).
fn square(x: u32) -> RgbImage {
    RgbImage::from_fn(96, 80, |column, row| {
        if (x..x + 20).contains(&column) && (30..50).contains(&row) {
            Rgb([200, 30, 40])
        } else {
            Rgb([90, 90, 90])
        }
    })
}

/// The drag that moves the square from x = 10 to x = 60.
const DRAG: &str = r#"{"version": 1, "regions": [{"type": "translation", "region": {"rect": [10, 30, 30, 50]}, "handle": [20, 40], "target": [70, 40]}]}"#;

fn save(bench: &Bench, name: &str, picture: &RgbImage) {
    let path = bench.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

/// Writes originals with drag files to `in`, and a manifest of them.
fn originals(bench: &Bench, names: &[&str]) {
    let mut manifest = String::new();
    for name in names {
        save(bench, &format!("in/{name}.png"), &square(10));
        bench.write(format!("in/{name}.json"), DRAG);
        writeln!(
            manifest,
            "{{\"id\": \"{name}\", \"image\": \"in/{name}.png\", \"drag\": \"in/{name}.json\", \"out\": \"{name}.png\"}}"
        ).unwrap();
    }
    bench.write("list.jsonl", manifest);
}

/// `dragnext eval` of the manifest, with the edits of a folder.
fn eval(bench: &Bench, edits: &str, arguments: &[&str]) -> Run {
    bench
        .dragnext(["eval", "--manifest", "list.jsonl", "--edits", edits])
        .args(arguments)
}

/// The record of an evaluation, which ends with this status.
fn json(bench: &Bench, edits: &str, arguments: &[&str], status: i32) -> Record {
    let run = eval(bench, edits, arguments).args(["--format", "json"]);
    run.any_stdout().any_stderr().status(status).run().record
}

#[test]
fn the_true_result_is_told_from_doing_nothing() {
    let bench = Bench::new();
    originals(&bench, &["a", "b"]);
    for name in ["a", "b"] {
        save(&bench, &format!("true/{name}.png"), &square(60));
        save(&bench, &format!("same/{name}.png"), &square(10));
    }
    let record = json(&bench, "true", &["--compare", "same"], 0);
    let (of_true, of_same) = (&record["all"]["DAI(5)"], &record["all"]["DAI(5)"]["other"]);
    assert_eq!(of_true["mean"], 0.0);
    // Red against grey, all over the patch.
    let expected = (110.0_f64.powi(2) + 60.0_f64.powi(2) + 50.0_f64.powi(2)) / 255.0_f64.powi(2);
    assert!((of_same["mean"].as_f64().unwrap() - expected).abs() < 1e-9);
    let compared = &of_true["comparison"];
    assert_eq!(
        (&compared["wins"], &compared["losses"], &compared["p"]),
        (&2.into(), &0.into(), &0.5.into())
    );
    assert_eq!(record["all"]["PSNR outside"]["mean"], 100.0);
    assert_eq!(record["all"]["PSNR outside"]["comparison"]["ties"], 2);
}

/// What is measured is never replaced by the sheet.
#[test]
fn the_sheet_is_no_input() {
    let bench = Bench::new();
    originals(&bench, &["a"]);
    save(&bench, "true/a.png", &square(60));
    for input in ["in/a.png", "in/a.json", "true/a.png"] {
        let before = bench.read(input);
        eval(&bench, "true", &["--sheet", input, "--overwrite"])
            .status(2)
            .stderr_has("is the same file as the input")
            .run();
        assert!(bench.read(input) == before, "{input}");
    }
}

#[test]
fn categories_come_from_the_manifest_or_from_folders() {
    let bench = Bench::new();
    let mut manifest = String::new();
    for name in ["x/a", "x/b", "y/c"] {
        save(&bench, &format!("in/{name}.png"), &square(10));
        bench.write(format!("in/{name}.json"), DRAG);
        save(&bench, &format!("out/{name}.png"), &square(60));
        writeln!(
            manifest,
            "{{\"image\": \"in/{name}.png\", \"drag\": \"in/{name}.json\", \"out\": \"{name}.png\", \"category\": \"all of them\"}}"
        ).unwrap();
    }
    let folder = bench.dragnext(["eval", "in", "--edits", "out", "--format", "json"]);
    let record = folder.any_stdout().run().record;
    let count =
        |record: &Record, category: &str| record["categories"][category]["DAI(1)"]["n"].as_u64();
    assert_eq!(
        (count(&record, "x"), count(&record, "y")),
        (Some(2), Some(1))
    );
    bench.write("list.jsonl", manifest);
    let record = json(&bench, "out", &[], 0);
    assert_eq!(count(&record, "all of them"), Some(3));
}

#[test]
fn records_name_pictures_and_failures() {
    let bench = Bench::new();
    originals(&bench, &["a", "b", "c"]);
    save(&bench, "out/a.png", &square(60));
    let line = |id: &str, status: &str, rest: &str| {
        format!(
            "{{\"v\":1,\"id\":\"{id}\",\"status\":\"{status}\",\"image\":\"in/{id}.png\",\"drag\":\"in/{id}.json\",\"out\":\"out/{id}.png\",\"warnings\":[]{rest}}}\n"
        )
    };
    let failure = r#","error":{"kind":"compute.diverged","message":"it diverged"}"#;
    bench.write(
        "out/records/all.jsonl",
        line("a", "done", "") + &line("b", "failed", failure),
    );
    let run = |arguments: &[&str]| {
        bench
            .dragnext([
                "eval",
                "--records",
                "out/records/all.jsonl",
                "--format",
                "json",
            ])
            .args(arguments)
            .any_stdout()
            .any_stderr()
            .status(1)
            .run()
            .record
    };
    let record = run(&[]);
    assert_eq!(
        (&record["items"], &record["failed"]),
        (&2.into(), &1.into())
    );
    assert_eq!(record["results"][0]["figures"]["DAI(10)"], 0.0);
    assert_eq!(record["results"][1]["error"]["kind"], "compute.diverged");
    let record = run(&["--manifest", "list.jsonl"]);
    assert_eq!(
        (&record["items"], &record["failed"]),
        (&3.into(), &2.into())
    );
}

/// The baseline of every table: what the figures are when nothing is done.
#[test]
fn the_originals_are_edits_that_change_nothing() {
    let bench = Bench::new();
    originals(&bench, &["a", "b"]);
    // The original of a JPEG has no PNG of its name.
    square(10).save(bench.path("in/c.jpg")).unwrap();
    bench.write("in/c.json", DRAG);
    for name in ["a", "b"] {
        save(&bench, &format!("out/{name}.png"), &square(60));
    }
    let before = bench.read("in/a.png");
    let run = bench.dragnext(["eval", "in", "--edits", "in", "--format", "json"]);
    let record = run.any_stdout().run().record;
    assert_eq!(record["all"]["PSNR outside"]["mean"], 100.0);
    assert_eq!(record["all"]["DAI(1)"]["n"], 3);
    assert!(record["all"]["DAI(1)"]["mean"].as_f64().unwrap() > 0.2);
    let run = bench.dragnext(["eval", "in", "--edits", "out", "--compare", "in"]);
    let run = run.any_stdout().any_stderr().status(1).run();
    for part in [
        "\nin (the originals): 3 edits\n",
        "out minus in (the originals), by pairs",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    assert!(bench.read("in/a.png") == before && !bench.path("in/records").exists());
}

/// The other folder's failures decide pairs, and are named.
#[test]
fn failures_of_both_folders_are_named() {
    let bench = Bench::new();
    originals(&bench, &["a", "b"]);
    for name in ["a", "b"] {
        save(&bench, &format!("one/{name}.png"), &square(60));
    }
    save(&bench, "two/a.png", &square(10));
    let run = eval(&bench, "one", &["--compare", "two"]);
    let run = run.any_stdout().any_stderr().status(1).run();
    let run = run.stderr_has("1 of 4 edits are missing or cannot be measured (1 of `two`)");
    assert!(
        run.stdout.contains("two: 2 edits, 1 failed\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("\ntwo: failed edits\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("\nb     image.missing  "),
        "{}",
        run.stdout
    );
}

#[test]
fn a_contact_sheet_is_written_once() {
    let bench = Bench::new();
    originals(&bench, &["a", "b"]);
    save(&bench, "out/a.png", &square(60));
    let sheet = ["--sheet", "sheet.png"];
    let run = |status| {
        eval(&bench, "out", &sheet)
            .any_stdout()
            .any_stderr()
            .status(status)
            .run()
    };
    run(1).stderr_has("wrote sheet.png");
    assert!(image::open(bench.path("sheet.png")).is_ok());
    run(2).stderr_has("sheet.png");
}
