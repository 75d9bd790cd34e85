//! `dragnext report merge`: merges the records of several runs, reports missing items, and writes a manifest of the unfinished ones.

use std::fmt::Write;

use crate::bench::{Bench, Run, report};

/// `dragnext report merge` with these arguments.
fn merge(bench: &Bench, arguments: &[&str]) -> Run {
    bench.dragnext(["report", "merge"]).args(arguments)
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
    bench.write("items.jsonl", manifest(&["a", "b", "c", "d", "e"]));
    bench.write(
        "out/records/0-of-3.jsonl",
        record("a", "done", 5.0) + &record("d", "failed", 6.0),
    );
    bench.write(
        "out/records/1-of-3.jsonl",
        record("b", "done", 5.0) + &record("e", "done", 6.0)[..30],
    );
    bench.write("out/records/0-of-2.jsonl", record("d", "done", 9.0));
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
    merge(&bench, &files)
        .args(["--manifest", "items.jsonl", "--todo", "rest.jsonl"])
        .status(1)
        .stdout("5 items: 3 done, 2 missing\nmissing      c\nmissing      e\n")
        .stderr_has("warning: out/records/1-of-3.jsonl: skipping line 2, which is not a record")
        .stderr_has(
            "error: 2 of 5 items are not done\n\nhint: `rest.jsonl` lists them for another run",
        )
        .run();
    assert_eq!(
        bench.text("rest.jsonl"),
        manifest(&["c", "e"]),
        "lines are copied unchanged"
    );

    // With the records of the remaining items, all are done.
    bench.write(
        "out/records/all.jsonl",
        record("c", "done", 20.0) + &record("e", "done", 21.0),
    );
    merge(&bench, &files)
        .args(["out/records/all.jsonl", "--manifest", "items.jsonl"])
        .stdout("5 items: 5 done\n")
        .stderr_has("warning: out/records/1-of-3.jsonl: skipping line 2, which is not a record")
        .run();
}

#[test]
fn without_a_manifest_failed_items_are_listed() {
    let bench = Bench::new();
    bench.write(
        "r.jsonl",
        record("a", "failed", 1.0) + &record("b", "interrupted", 1.0) + &record("c", "done", 1.0),
    );
    let expected = "3 items: 1 done, 1 failed, 1 interrupted\nfailed       a  compute.not_finite: decode, step 1: the picture is not finite\ninterrupted  b\n";
    merge(&bench, &["r.jsonl"])
        .status(1)
        .stdout(expected)
        .any_stderr()
        .run();
    merge(&bench, &["r.jsonl", "--todo", "rest.jsonl"])
        .status(2)
        .stderr_has("--manifest")
        .run();
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
    let merged = |format: &str| merge(&bench, &base).arg(format).status(1).any_stderr();
    let summary = merged("json").record();
    assert_eq!(
        (&summary["items"], &summary["done"], &summary["missing"]),
        (&5.into(), &1.into(), &3.into())
    );
    assert_eq!(
        (
            &summary["kinds"]["compute.not_finite"],
            &summary["rest"][0]["id"]
        ),
        (&1.into(), &"b".into())
    );
    merged("markdown")
        .stdout_has("### 5 items: 1 done, 1 failed, 3 missing\n\n| item | state | reason |\n| --- | --- | --- |\n| b | missing |  |\n")
        .run();
    let summary = bench.write("summary.md", "before\n");
    merged("github")
        .env("GITHUB_STEP_SUMMARY", summary)
        .stdout_has(
            "::error title=d::compute.not_finite: decode, step 1: the picture is not finite\n",
        )
        .run();
    let page = bench.text("summary.md");
    assert!(
        page.starts_with("before\n### 5 items: 1 done")
            && page.contains("| d | failed | compute.not\\_finite: decode"),
        "{page}"
    );
}

#[test]
fn files_that_are_not_records_or_manifests_are_rejected() {
    let bench = Bench::new();
    bench.write("good.jsonl", record("a", "done", 1.0));
    bench.write("prose.txt", "This is\nno record.\n");
    bench.write("truncated.jsonl", &record("a", "done", 1.0)[..25]);
    bench.write("empty.jsonl", "");
    bench.write("twice.jsonl", manifest(&["a", "b", "a"]));
    bench.write("broken.jsonl", "{\"id\": \"a\"}\n{\"id\": \n");
    bench.write("other/items.jsonl", manifest(&["a"]));
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
        merge(&bench, arguments).status(2).stderr_has(message).run();
    }
    // A run killed at its first line, and a run that did nothing, leave files without records.
    for file in ["truncated.jsonl", "empty.jsonl"] {
        merge(&bench, &[file, "good.jsonl"])
            .stdout("1 item: 1 done\n")
            .any_stderr()
            .run();
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
        record("good", "done", 1.0) + &record("bad", "failed", 1.0),
    );
    merge(&bench, &["out/records/all.jsonl", "--sheet", "sheet.png"])
        .status(1)
        .any_stdout()
        .any_stderr()
        .run();
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
    bench.write("items.jsonl", list);
    bench.write("all.jsonl", &text);
    let since = std::time::Instant::now();
    let summary = merge(&bench, &["all.jsonl", "--manifest", "items.jsonl"])
        .args(["--format", "json", "--todo", "rest.jsonl"])
        .status(1)
        .any_stderr()
        .record();
    let seconds = since.elapsed().as_secs_f64();
    assert_eq!(
        (&summary["records"], &summary["done"], &summary["failed"]),
        (&101_000.into(), &91_000.into(), &9_000.into())
    );
    let peak = summary.peak_bytes();
    report(&format!(
        "{} MiB of records: {seconds:.2} s, peak {} MiB",
        text.len() >> 20,
        peak >> 20
    ));
    assert!(peak < 200 << 20, "{} MiB", peak >> 20);
    assert!(seconds < 20.0, "{seconds:.1} s");
    assert_eq!(bench.text("rest.jsonl").lines().count(), 9_000);
}
