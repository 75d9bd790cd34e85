//! `--batch N`: groups of items that share each call of the network.

use crate::bench::Ended;
use crate::bench::program::send;
use crate::folder::Folder;

/// Asserts with `dragnext compare` that results equal those of single edits except for rounding.
fn assert_like_single_edits(folder: &Folder, out: &str, names: &[&str]) {
    for name in names {
        let [expected, actual] = ["undisturbed", out].map(|place| format!("{place}/{name}.png"));
        let limits = ["--max-diff", "2", "--min-psnr", "55"];
        folder
            .plain(&[&["compare", &expected, &actual], &limits[..]].concat())
            .ended()
            .assert(0);
    }
}

#[cfg(feature = "failpoints")]
fn assert_like_each_other(folder: &Folder, names: &[&str]) {
    for name in names {
        let [one, other] = ["out", "together"].map(|place| format!("{place}/{name}.png"));
        folder
            .plain(&[
                "compare",
                &one,
                &other,
                "--max-diff",
                "2",
                "--min-psnr",
                "55",
            ])
            .ended()
            .assert(0);
    }
}

#[test]
fn a_group_gives_the_results_of_single_edits() {
    let folder = Folder::new(5);
    folder.expected();
    folder
        .whole(&["--batch", "3"])
        .assert(0)
        .stderr_has("5 items: 5 done");
    assert_like_single_edits(&folder, "out", &["p0", "p1", "p2", "p3", "p4"]);
    let together: Vec<u64> = folder
        .records()
        .iter()
        .map(|record| record["together"].as_u64().unwrap())
        .collect();
    assert_eq!(together, [3, 3, 3, 2, 2]);
    // Done items stay done with any group size.
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("5 items: 5 done before");
    folder
        .run(&["in", "-o", "single", "--batch", "1"])
        .assert(0);
    assert!(
        crate::folder::results(&folder.path("single"))
            == crate::folder::results(&folder.path("undisturbed")),
        "one at a time"
    );
}

/// Items of a group may have different settings and numbers of steps.
#[test]
fn the_items_of_a_group_may_have_different_settings() {
    let folder = Folder::new(4);
    let settings = [
        "{}",
        r#"{"lora_steps": 0}"#,
        r#"{"lora_rank": 3, "iterations": 2, "seed": 9}"#,
        r#"{"strength": 0.08, "timesteps": 2}"#,
    ];
    let line = |(index, settings): (usize, &&str)| {
        format!(
            r#"{{"id": "p{index}", "image": "in/p{index}.png", "drag": "in/p{index}.json", "out": "p{index}.png", "settings": {settings}}}"#
        )
    };
    folder.write(
        "list.jsonl",
        settings
            .iter()
            .enumerate()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n"),
    );
    folder
        .run(&["--manifest", "list.jsonl", "-o", "undisturbed"])
        .assert(0);
    folder
        .run(&["--manifest", "list.jsonl", "-o", "out", "--batch", "4"])
        .assert(0)
        .stderr_has("4 done");
    assert_like_single_edits(&folder, "out", &["p0", "p1", "p2", "p3"]);
}

/// One item of the group has no moving region and needs no network; another cannot be read.
#[test]
fn a_group_may_contain_items_that_need_no_network() {
    let folder = Folder::new(4);
    folder.expected();
    folder.write("in/p1.png", b"no picture");
    let mut still: serde_json::Value =
        serde_json::from_slice(&folder.bench.read("in/p2.json")).unwrap();
    still["regions"][0]["target"] = still["regions"][0]["handle"].clone();
    folder.write("in/p2.json", still.to_string());
    folder
        .whole(&["--batch", "4"])
        .assert(1)
        .stderr_has("p1: failed")
        .stderr_has("4 items: 3 done, 1 failed");
    assert_like_single_edits(&folder, "out", &["p0", "p3"]);
}

#[cfg(feature = "failpoints")]
mod injected {
    use super::*;

    #[test]
    fn a_failed_item_does_not_change_its_group() {
        for (failpoint, kind) in [
            ("nan_in_unet#2", "compute.not_finite"),
            ("nan_in_loss#1", "compute.not_finite"),
            ("panic_in_decode#2", "bug"),
        ] {
            let folder = Folder::new(3);
            folder.expected();
            folder
                .whole_at(failpoint, &["--batch", "3"])
                .assert(1)
                .stderr_has("failpoint")
                .stderr_has("3 items: 2 done, 1 failed");
            let statuses = folder.statuses();
            assert_eq!(
                statuses
                    .iter()
                    .filter(|(_, _, error)| error == kind)
                    .count(),
                1,
                "{statuses:?}"
            );
            let done = folder.done();
            assert_like_single_edits(
                &folder,
                "out",
                &done.iter().map(String::as_str).collect::<Vec<_>>(),
            );
            // The next run edits the remaining item alone.
            folder
                .whole(&["--batch", "3", "--redo", "failed"])
                .assert(0)
                .stderr_has("3 items: 1 done, 2 done before");
            assert_like_single_edits(&folder, "out", &["p0", "p1", "p2"]);
        }
    }

    /// They are then edited one by one, with the bytes of single edits.
    #[test]
    fn a_group_that_does_not_fit_into_memory_is_edited_one_by_one() {
        let folder = Folder::new(3);
        let expected = folder.expected();
        let failpoint = "no_memory_for_several#2";
        let ended = folder.whole_at(failpoint, &["--batch", "3"]).assert(0);
        ended
            .stderr_has("failpoint no_memory_for_several")
            .stderr_has("warning: p0: the device cannot edit 3 items at a time")
            .stderr_has("3 items: 3 done");
        assert!(folder.results() == expected);
        assert!(
            folder
                .records()
                .iter()
                .all(|record| record["together"].is_null()),
            "each was edited alone"
        );
    }

    /// The next run computes the same picture except for rounding and accepts the one that has no record.
    #[test]
    fn a_run_killed_between_picture_and_record_can_be_continued() {
        for place in ["kill_after_picture#2", "kill_before_picture#2"] {
            for more in [&[][..], &["--no-metadata"]] {
                let folder = Folder::new(3);
                folder.expected();
                let ended = folder.whole_at(place, &[more, &["--batch", "3"]].concat());
                assert_eq!(ended.status, None, "killed: {}", ended.stderr);
                assert_eq!(folder.done(), ["p0"]);
                let left = folder.results().remove("p1.png");
                assert_eq!(left.is_some(), place.starts_with("kill_after"));
                folder
                    .whole(more)
                    .assert(0)
                    .stderr_has("3 items: 2 done, 1 done before");
                assert!(
                    left.is_none_or(|left| folder.results()["p1.png"] == left),
                    "it is not written again"
                );
                assert_like_single_edits(&folder, "out", &["p0", "p1", "p2"]);
                folder
                    .whole(more)
                    .assert(0)
                    .stderr_has("3 items: 3 done before");
            }
        }
    }

    /// A result that was changed afterwards is neither accepted nor replaced.
    #[test]
    fn a_changed_result_is_kept_and_reported() {
        let folder = Folder::new(1);
        let ended = folder.whole_at("kill_after_picture#1", &["--no-metadata"]);
        assert_eq!(ended.status, None, "killed: {}", ended.stderr);
        std::fs::copy(folder.path("in/p0.png"), folder.path("out/p0.png")).unwrap();
        folder
            .whole(&["--no-metadata"])
            .assert(1)
            .stderr_has("out/p0.png");
        assert!(
            folder.results()["p0.png"] == folder.bench.read("in/p0.png"),
            "the file is unchanged"
        );
    }

    /// A second edit of a picture reuses what the first stored in the cache, so the two are not in one group.
    #[test]
    fn pictures_that_are_in_the_list_twice_are_edited_alone() {
        let folder = Folder::new(3);
        folder
            .batch(&["in", "-o", "out", "--seeds", "1-2", "--batch", "4"])
            .env("DRAGNEXT_CACHE_LIMIT", "100MB")
            .env("DRAGNEXT_CACHE", folder.path("cache"))
            .stderr_has("6 items: 6 done")
            .run();
        let cached: Vec<bool> = folder
            .records()
            .iter()
            .map(|record| record["cached"].to_string().contains("lora"))
            .collect();
        assert_eq!(cached, [false, true, false, true, false, true]);
        folder
            .run(&["in", "-o", "together", "--seeds", "1-2", "--batch", "4"])
            .assert(0)
            .stderr_has("6 items: 6 done");
        assert_like_each_other(&folder, &["p0.seed-1", "p0.seed-2", "p2.seed-2"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_interrupts_the_whole_group() {
        let folder = Folder::new(3);
        folder.expected();
        let command = folder.batch(&["in", "-o", "out", "--batch", "3"]);
        let (child, stderr) = command.start_at("wait_in_lora#1");
        send("INT", &child);
        drop(stderr);
        Ended::wait(child).assert(130);
        let statuses = folder.statuses();
        assert!(
            statuses.len() == 3
                && statuses
                    .iter()
                    .all(|(_, status, _)| status == "interrupted"),
            "{statuses:?}"
        );
        folder
            .whole(&["--batch", "3"])
            .assert(0)
            .stderr_has("3 items: 3 done");
        assert_like_single_edits(&folder, "out", &["p0", "p1", "p2"]);
    }
}
