//! `dragnext report merge`: merges the records of several runs, reports missing items, and writes a manifest of the unfinished ones.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

struct Bench {
    folder: tempfile::TempDir,
}

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
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("dragnext").unwrap();
        command
            .env_clear()
            .current_dir(self.folder.path())
            .args(["report", "merge"])
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        (
            status.code(),
            String::from_utf8(stdout).unwrap(),
            String::from_utf8(stderr).unwrap(),
        )
    }
}

/// Returns a record as a run writes it.
fn record(id: &str, status: &str, ended: f64) -> String {
    let error = if status == "failed" {
        r#","error":{"kind":"compute.not_finite","message":"decode, step 1: the picture is not finite"}"#
    } else {
        ""
    };
    format!(
        "{{\"v\":1,\"id\":\"{id}\",\"status\":\"{status}\",\"image\":\"{id}.png\",\"out\":\"out/{id}.png\",\"ended\":{ended},\"warnings\":[]{error}}}\n"
    )
}

fn manifest(ids: &[&str]) -> String {
    ids.iter().fold(String::new(), |mut text, id| {
        let _ = writeln!(
            text,
            "{{\"id\": \"{id}\",  \"image\": \"{id}.png\", \"drag\": \"{id}.json\"}}"
        );
        text
    })
}

/// Writes the records of shards: one was killed in the middle of a line, one never ran, one item was edited again in another run.
fn shards(bench: &Bench) {
    bench.write("items.jsonl", &manifest(&["a", "b", "c", "d", "e"]));
    bench.write(
        "out/records/0-of-3.jsonl",
        &(record("a", "done", 5.0) + &record("d", "failed", 6.0)),
    );
    bench.write(
        "out/records/1-of-3.jsonl",
        &(record("b", "done", 5.0) + &record("e", "done", 6.0)[..30]),
    );
    bench.write("out/records/0-of-2.jsonl", &record("d", "done", 9.0));
}

#[test]
fn shards_are_merged() {
    let bench = Bench::new();
    shards(&bench);
    let files = [
        "out/records/0-of-2.jsonl",
        "out/records/0-of-3.jsonl",
        "out/records/1-of-3.jsonl",
    ];
    let (status, stdout, stderr) = bench.run(
        &[
            &files[..],
            &["--manifest", "items.jsonl", "--todo", "rest.jsonl"],
        ]
        .concat(),
    );
    assert_eq!(
        (status, &*stdout),
        (
            Some(1),
            "5 items: 3 done, 2 missing\nmissing      c\nmissing      e\n"
        ),
        "{stderr}"
    );
    assert!(
        stderr
            .contains("warning: out/records/1-of-3.jsonl: skipping line 2, which is not a record"),
        "{stderr}"
    );
    assert!(
        stderr.contains(
            "error: 2 of 5 items are not done\n\nhint: `rest.jsonl` lists them for another run"
        ),
        "{stderr}"
    );
    assert_eq!(
        std::fs::read_to_string(bench.path("rest.jsonl")).unwrap(),
        manifest(&["c", "e"]),
        "lines are copied unchanged"
    );

    // With the records of the remaining items, all are done.
    bench.write(
        "out/records/all.jsonl",
        &(record("c", "done", 20.0) + &record("e", "done", 21.0)),
    );
    let (status, stdout, stderr) = bench.run(
        &[
            &files[..],
            &["out/records/all.jsonl", "--manifest", "items.jsonl"],
        ]
        .concat(),
    );
    assert_eq!(
        (status, &*stdout),
        (Some(0), "5 items: 5 done\n"),
        "{stderr}"
    );
}

#[test]
fn without_a_manifest_failed_items_are_listed() {
    let bench = Bench::new();
    bench.write(
        "r.jsonl",
        &(record("a", "failed", 1.0)
            + &record("b", "interrupted", 1.0)
            + &record("c", "done", 1.0)),
    );
    let (status, stdout, _) = bench.run(&["r.jsonl"]);
    assert_eq!(status, Some(1));
    let expected = "3 items: 1 done, 1 failed, 1 interrupted\nfailed       a  compute.not_finite: decode, step 1: the picture is not finite\ninterrupted  b\n";
    assert_eq!(stdout, expected);
    let (status, _, stderr) = bench.run(&["r.jsonl", "--todo", "rest.jsonl"]);
    assert_eq!(status, Some(2), "--todo needs the manifest: {stderr}");
}

#[test]
fn every_format_has_the_counts_and_the_unfinished_items() {
    let bench = Bench::new();
    shards(&bench);
    let base = [
        "out/records/0-of-3.jsonl",
        "--manifest",
        "items.jsonl",
        "--format",
    ];
    let form = |form: &str| bench.run(&[&base[..], &[form]].concat());
    let (status, stdout, _) = form("json");
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (
            status,
            &summary["items"],
            &summary["done"],
            &summary["missing"]
        ),
        (Some(1), &5.into(), &1.into(), &3.into())
    );
    assert_eq!(
        (
            &summary["kinds"]["compute.not_finite"],
            &summary["rest"][0]["id"]
        ),
        (&1.into(), &"b".into())
    );
    let (_, stdout, _) = form("markdown");
    assert!(
        stdout.starts_with(
            "### 5 items: 1 done, 1 failed, 3 missing\n\n| item | state | reason |\n| --- | --- | --- |\n| b | missing |  |\n"
        ),
        "{stdout}"
    );
    let summary = bench.path("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let output = bench
        .command(&base)
        .arg("github")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        stdout.contains(
            "::error title=d::compute.not_finite: decode, step 1: the picture is not finite\n"
        ),
        "{stdout}"
    );
    let page = std::fs::read_to_string(summary).unwrap();
    assert!(
        page.starts_with("before\n### 5 items: 1 done")
            && page.contains("| d | failed | compute.not\\_finite: decode"),
        "{page}"
    );
}

#[test]
fn files_that_are_not_records_or_manifests_are_rejected() {
    let bench = Bench::new();
    bench.write("good.jsonl", &record("a", "done", 1.0));
    bench.write("prose.txt", "This is\nno record.\n");
    bench.write("truncated.jsonl", &record("a", "done", 1.0)[..25]);
    bench.write("empty.jsonl", "");
    bench.write("twice.jsonl", &manifest(&["a", "b", "a"]));
    bench.write("broken.jsonl", "{\"id\": \"a\"}\n{\"id\": \n");
    bench.write("other/items.jsonl", &manifest(&["a"]));
    for (arguments, message) in [
        (&["none.jsonl"][..], "none.jsonl: No such file"),
        (&["prose.txt"], "prose.txt: contains no records"),
        (&["."], ".: is not a file"),
        (
            &["good.jsonl", "prose.txt"],
            "prose.txt: contains no records",
        ),
        (
            &["good.jsonl", "--manifest", "twice.jsonl"],
            "twice.jsonl: line 3: the id `a` is also that of line 1",
        ),
        (
            &["good.jsonl", "--manifest", "broken.jsonl"],
            "broken.jsonl: line 2: EOF while parsing a value",
        ),
        (
            &["good.jsonl", "--manifest", "none.jsonl"],
            "none.jsonl: No such file",
        ),
        (
            &[
                "good.jsonl",
                "--manifest",
                "other/items.jsonl",
                "--todo",
                "rest.jsonl",
            ],
            "rest.jsonl: is not in the folder of the manifest",
        ),
        (
            &[
                "good.jsonl",
                "--manifest",
                "other/items.jsonl",
                "--todo",
                "other/items.jsonl",
            ],
            "items.jsonl: is the same file as the input",
        ),
        (
            &["good.jsonl", "--sheet", "good.jsonl"],
            "good.jsonl: is the same file as the input",
        ),
        (
            &["good.jsonl", "--sheet", "prose.txt"],
            "prose.txt: exists already",
        ),
    ] {
        let (status, stdout, stderr) = bench.run(arguments);
        assert_eq!((status, &*stdout), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    }
    // A run killed at its first line, and a run that did nothing, leave files without records.
    for file in ["truncated.jsonl", "empty.jsonl"] {
        let (status, stdout, stderr) = bench.run(&[file, "good.jsonl"]);
        assert_eq!(
            (status, &*stdout),
            (Some(0), "1 item: 1 done\n"),
            "{stderr}"
        );
    }
}

#[test]
fn the_contact_sheet_shows_the_worst_items_first() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("out")).unwrap();
    for (name, red) in [("bad.png", 250u8), ("good.png", 10), ("out/good.png", 60)] {
        image::ImageBuffer::from_pixel(64, 48, image::Rgb([red, 0, 0]))
            .save(bench.path(name))
            .unwrap();
    }
    bench.write(
        "out/records/all.jsonl",
        &(record("good", "done", 1.0) + &record("bad", "failed", 1.0)),
    );
    let (status, _, stderr) = bench.run(&["out/records/all.jsonl", "--sheet", "sheet.png"]);
    assert_eq!(status, Some(1), "{stderr}");
    let sheet = image::open(bench.path("sheet.png")).unwrap().into_rgb8();
    let column = |red: u8| {
        sheet
            .enumerate_pixels()
            .filter(|(_, _, pixel)| pixel.0 == [red, 0, 0])
            .map(|(x, _, _)| x)
            .min()
    };
    let (bad, before, after) = (
        column(250).unwrap(),
        column(10).unwrap(),
        column(60).unwrap(),
    );
    assert!(bad < before && before < after, "{bad} {before} {after}");
}

/// 100,000 records of realistic length, and a second one for every hundredth item.
#[test]
fn a_hundred_thousand_records_take_little_time_and_memory() {
    let bench = Bench::new();
    let (mut list, mut text) = (String::new(), String::new());
    let filler = "x".repeat(900);
    for item in 0..100_000 {
        let _ = writeln!(
            list,
            "{{\"id\":\"item-{item}\",\"image\":\"pictures/item-{item}.png\",\"drag\":\"drags/item-{item}.json\"}}"
        );
        let status = if item % 10 == 0 { "failed" } else { "done" };
        let line = record(&format!("item-{item}"), status, 1.0).replace(
            "\"warnings\":[]",
            &format!("\"model\":\"{filler}\",\"warnings\":[]"),
        );
        text += &line;
        if item % 100 == 0 {
            text += &line.replace("failed", "done");
        }
    }
    bench.write("items.jsonl", &list);
    bench.write("all.jsonl", &text);
    let since = std::time::Instant::now();
    let (status, stdout, stderr) = bench.run(&[
        "all.jsonl",
        "--manifest",
        "items.jsonl",
        "--format",
        "json",
        "--todo",
        "rest.jsonl",
    ]);
    let seconds = since.elapsed().as_secs_f64();
    assert_eq!(status, Some(1), "{stderr}");
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&summary["records"], &summary["done"], &summary["failed"]),
        (&101_000.into(), &91_000.into(), &9_000.into())
    );
    let peak = summary["peak_bytes"].as_u64().unwrap();
    println!(
        "{} MiB of records: {seconds:.2} s, peak {} MiB",
        text.len() >> 20,
        peak >> 20
    );
    assert!(peak < 200 << 20, "{} MiB", peak >> 20);
    assert!(seconds < 20.0, "{seconds:.1} s");
    assert_eq!(
        std::fs::read_to_string(bench.path("rest.jsonl"))
            .unwrap()
            .lines()
            .count(),
        9_000
    );
}
