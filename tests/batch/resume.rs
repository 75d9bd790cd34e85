//! Results of a batch, and of running the same command again.

use crate::bench::Ended;
use crate::folder::{Folder, results};

/// With LoRA training: no state of one item affects the next.
#[test]
fn a_batch_gives_the_bytes_of_single_edits_in_any_order() {
    let folder = Folder::new(4);
    folder.whole(&[]).assert(0).stderr_has("4 items: 4 done");
    let batch = folder.results();
    assert_eq!(
        batch.keys().collect::<Vec<_>>(),
        ["p0.png", "p1.png", "p2.png", "p3.png"]
    );
    for name in ["p0", "p1", "p2", "p3"] {
        let (image, drag) = (format!("in/{name}.png"), format!("in/{name}.json"));
        folder
            .dragnext(
                "edit",
                &[&image, "--drag", &drag, "-o", "single.png", "--overwrite"],
            )
            .ended()
            .assert(0);
        assert!(
            folder.bench.read("single.png") == batch[&format!("{name}.png")],
            "{name}"
        );
    }
    let line = |name: &str| {
        format!(
            r#"{{"id": "{name}", "image": "in/{name}.png", "drag": "in/{name}.json", "out": "{name}.png"}}"#
        )
    };
    folder.write("list.jsonl", ["p2", "p0", "p3", "p1"].map(line).join("\n"));
    folder
        .run(&["--manifest", "list.jsonl", "-o", "other"])
        .assert(0);
    assert!(results(&folder.path("other")) == batch, "in another order");
    let ids: Vec<String> = folder
        .records()
        .iter()
        .map(|record| record["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["p0", "p1", "p2", "p3"]);
}

#[test]
fn subfolders_are_kept_and_drag_files_are_found_in_both_places() {
    let folder = Folder::new(0);
    folder.item("in/a/cat", 1);
    folder.item("in/b/cat", 2);
    folder.picture("in/dog.JPEG", 3);
    std::fs::create_dir_all(folder.path("in/dog")).unwrap();
    std::fs::copy(
        folder.path("in/a/cat.json"),
        folder.path("in/dog/drag.json"),
    )
    .unwrap();
    folder.picture("in/alone.png", 4);
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("skipping 1 picture without a drag file, such as `in/alone.png`");
    assert_eq!(
        folder.results().keys().collect::<Vec<_>>(),
        ["a/cat.png", "b/cat.png", "dog.png"]
    );
    assert_eq!(folder.done(), ["a/cat", "b/cat", "dog"]);
    // With a common drag file, the picture without its own is edited too.
    folder
        .run(&["in", "-o", "all", "--drag", "in/a/cat.json"])
        .assert(0)
        .stderr_has("4 items: 4 done");
    assert!(results(&folder.path("all"))["a/cat.png"] == folder.results()["a/cat.png"]);
}

/// An output folder inside the input folder is skipped.
#[test]
fn results_are_not_inputs() {
    let folder = Folder::new(2);
    folder
        .run(&["in", "-o", "in/out", "--drag", "in/p0.json"])
        .assert(0)
        .stderr_has("2 items: 2 done");
    folder
        .run(&["in", "-o", "in/out", "--drag", "in/p0.json"])
        .assert(0)
        .stderr_has("2 items: 2 done before");
}

#[test]
fn a_second_run_does_nothing_and_loads_no_weights() {
    let folder = Folder::new(3);
    folder.whole(&[]).assert(0).stderr_has("load ");
    let (records, times) = (folder.records(), modified(&folder));
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("3 items: 3 done before")
        .stderr_lacks("load ");
    assert!(
        folder.records() == records && modified(&folder) == times,
        "nothing was written"
    );
    // Without the cached hash the weights are loaded, with the same result.
    std::fs::remove_file(folder.path("out/records/weights.json")).unwrap();
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("3 items: 3 done before")
        .stderr_has("load ");
}

fn modified(folder: &Folder) -> Vec<std::time::SystemTime> {
    folder
        .results()
        .keys()
        .map(|name| {
            std::fs::metadata(folder.path("out").join(name))
                .unwrap()
                .modified()
                .unwrap()
        })
        .collect()
}

/// An item is edited again if its picture, drag file or settings changed, or if its result is missing.
#[test]
fn only_changed_items_are_edited_again() {
    let folder = Folder::new(3);
    folder.whole(&[]).assert(0);
    let first = folder.results();
    folder.picture("in/p1.png", 9);
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("3 items: 1 done, 2 done before");
    assert!(
        folder.results()["p1.png"] != first["p1.png"]
            && folder.results()["p0.png"] == first["p0.png"]
    );
    let drag = std::fs::read_to_string(folder.path("in/p2.json")).unwrap();
    folder.write(
        "in/p2.json",
        drag.replace("\"version\":1", "\"version\":1,\"comment\":\"mine\""),
    );
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("3 items: 3 done before");
    folder.write(
        "in/p2.json",
        drag.replace("\"version\":1", "\"version\":1,\"prompt\":\"a cat\""),
    );
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("3 items: 1 done, 2 done before");
    std::fs::remove_file(folder.path("out/p0.png")).unwrap();
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("3 items: 1 done, 2 done before");
    assert!(folder.results()["p0.png"] == first["p0.png"]);
    // Before and after: the run can be stopped, and its last line says what happened.
    folder.whole(&["--seed", "3"]).assert(0).stderr_has_all(&[
        "3 results of earlier runs are replaced: something that decides them changed",
        "3 items: 3 done in",
        "; 3 existing files were replaced",
    ]);
    folder.whole(&[]).assert(0).stderr_has("3 items: 3 done");
    assert!(folder.results()["p0.png"] == first["p0.png"]);
}

/// Files that another program wrote or changed are kept.
#[test]
fn a_foreign_output_is_kept_unless_overwriting_is_requested() {
    let folder = Folder::new(2);
    let expected = folder.expected();
    folder.write("out/p1.png", "mine");
    folder
        .whole(&[])
        .assert(1)
        .stderr_has("p1: failed: out/p1.png: exists already");
    assert_eq!(folder.results()["p1.png"], b"mine");
    folder
        .whole(&["--overwrite"])
        .assert(0)
        .stderr_has("2 items: 1 done, 1 done before");
    assert!(folder.results() == expected);
    folder.write("out/p0.png", "touched up");
    folder.whole(&[]).assert(1).stderr_has("exists already");
    assert_eq!(folder.results()["p0.png"], b"touched up");
    std::fs::remove_file(folder.path("out/p0.png")).unwrap();
    folder.whole(&[]).assert(0).stderr_lacks("replaced");
    assert!(folder.results() == expected);
}

#[test]
fn redo_edits_the_named_items_again() {
    let folder = Folder::new(3);
    folder.whole(&[]).assert(0);
    folder
        .whole(&["--redo", "p1"])
        .assert(0)
        .stderr_has("3 items: 1 done, 2 done before");
    folder
        .whole(&["--redo", "p1", "--redo", "p2"])
        .assert(0)
        .stderr_has("3 items: 2 done, 1 done before");
    folder
        .whole(&["--redo", "failed"])
        .assert(0)
        .stderr_has("3 items: 3 done before");
    folder
        .whole(&["--redo", "all"])
        .assert(0)
        .stderr_has("3 items: 3 done");
    folder
        .whole(&["--redo", "p7"])
        .assert(2)
        .stderr_has("no item has the id `p7`");
}

#[test]
fn a_manifest_gives_ids_outputs_and_settings() {
    let folder = Folder::new(2);
    folder.write(
        "list.jsonl",
        "\u{feff}{\"image\": \"in/p0.png\", \"drag\": \"in/p0.json\", \"x-note\": [1], \"comment\": {}}\r\n\n\
         {\"id\": \"other\", \"image\": \"in/p0.png\", \"out\": \"deep/er/o.png\", \"settings\": {\"seed\": 7}}\n",
    );
    folder
        .run(&[
            "--manifest",
            "list.jsonl",
            "-o",
            "out",
            "--drag",
            "in/p1.json",
        ])
        .assert(0);
    assert_eq!(
        folder.results().keys().collect::<Vec<_>>(),
        ["deep/er/o.png", "in/p0.png"]
    );
    let records = folder.records();
    assert_eq!(
        (records[0]["id"].as_str(), records[0]["seed"].as_u64()),
        (Some("in/p0"), Some(0))
    );
    assert_eq!(
        (records[1]["id"].as_str(), records[1]["seed"].as_u64()),
        (Some("other"), Some(7))
    );
}

/// A dry run prints the list as a manifest, or a text with sizes and failures, and writes nothing.
#[test]
fn a_dry_run_reports_and_writes_nothing() {
    let folder = Folder::new(3);
    let list = folder.whole(&["--dry-run", "--json"]).assert(0).stdout;
    assert_eq!(list.lines().count(), 3);
    folder.write("in/list.jsonl", &list);
    assert_eq!(
        folder
            .run(&[
                "--manifest",
                "in/list.jsonl",
                "-o",
                "out",
                "--dry-run",
                "--json"
            ])
            .assert(0)
            .stdout,
        list
    );
    let text = folder.whole(&["--dry-run"]).assert(0).stdout;
    assert!(
        text.contains("p1: in/p1.png 72 x 66, works at 70 x 64,")
            && text.contains("3 items, about "),
        "{text}"
    );
    assert!(!folder.path("out").exists());
    folder.write("in/p1.json", "{}");
    let run = folder.whole(&["--dry-run"]).assert(1);
    assert!(
        run.stdout.contains("p1: cannot be edited"),
        "{}",
        run.stdout
    );
    assert!(!folder.path("out").exists());
    folder.whole(&[]).assert(1);
    let text = folder.whole(&["--dry-run"]).assert(1).stdout;
    assert!(
        text.contains("at the pace of the items that are done"),
        "{text}"
    );
}

#[test]
fn json_prints_records_and_a_summary_to_stdout() {
    let folder = Folder::new(2);
    let run = folder.whole(&["--json", "--quiet"]).assert(0);
    assert_eq!(run.stderr, "");
    let lines: Vec<serde_json::Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[..2], folder.records());
    assert_eq!(
        (
            lines[2]["summary"]["done"].as_u64(),
            lines[2]["summary"]["left"].as_u64()
        ),
        (Some(2), Some(0))
    );
    // The batch continues when the reader of stdout closes it.
    let mut child = folder.batch(&["in", "-o", "again", "--json"]).start();
    drop(child.stdout.take());
    Ended::wait(child).assert(0).stderr_lacks("panic");
    assert_eq!(results(&folder.path("again")).len(), 2);
}
