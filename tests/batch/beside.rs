//! Several items through the network at a time.

use crate::folder::{Folder, ended};

/// `dragnext compare` of what a run gave with what single edits give: rounding may differ, pictures may not.
fn assert_like_single_edits(folder: &Folder, out: &str, names: &[&str]) {
    for name in names {
        let [expected, actual] = ["undisturbed", out].map(|place| format!("{place}/{name}.png"));
        let limits = ["--max-diff", "2", "--min-psnr", "55"];
        ended(folder.plain(&[&["compare", &expected, &actual], &limits[..]].concat())).assert(0);
    }
}

#[cfg(feature = "failpoints")]
fn assert_like_each_other(folder: &Folder, names: &[&str]) {
    for name in names {
        let [one, other] = ["out", "together"].map(|place| format!("{place}/{name}.png"));
        ended(folder.plain(&[
            "compare",
            &one,
            &other,
            "--max-diff",
            "2",
            "--min-psnr",
            "55",
        ]))
        .assert(0);
    }
}

#[test]
fn items_side_by_side_give_what_each_gives_alone() {
    let folder = Folder::new(5);
    folder.expected();
    folder
        .whole(&["--batch", "3"])
        .assert(0)
        .says("5 items: 5 done");
    assert_like_single_edits(&folder, "out", &["p0", "p1", "p2", "p3", "p4"]);
    let together: Vec<u64> = folder
        .records()
        .iter()
        .map(|record| record["together"].as_u64().unwrap())
        .collect();
    assert_eq!(together, [3, 3, 3, 2, 2]);
    // What is done is done, however many go at a time.
    folder.whole(&[]).assert(0).says("5 items: 5 done before");
    folder
        .run(&["in", "-o", "single", "--batch", "1"])
        .assert(0);
    assert!(
        crate::folder::results(&folder.path("single"))
            == crate::folder::results(&folder.path("undisturbed")),
        "one at a time"
    );
}

/// They need not have anything in common: where they part, each goes its way.
#[test]
fn items_with_settings_of_their_own() {
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
        .says("4 done");
    assert_like_single_edits(&folder, "out", &["p0", "p1", "p2", "p3"]);
}

/// Nothing moves in one of them, so that it needs no network; another cannot be read.
#[test]
fn items_that_need_no_network_are_no_hindrance() {
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
        .says("p1: failed")
        .says("4 items: 3 done, 1 failed");
    assert_like_single_edits(&folder, "out", &["p0", "p3"]);
}

#[cfg(feature = "failpoints")]
mod injected {
    use super::*;

    #[test]
    fn one_that_fails_leaves_the_others_as_they_are() {
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
                .says("failpoint")
                .says("3 items: 2 done, 1 failed");
            let told = folder.told();
            assert_eq!(
                told.iter().filter(|(_, _, error)| error == kind).count(),
                1,
                "{told:?}"
            );
            let done = folder.done();
            assert_like_single_edits(
                &folder,
                "out",
                &done.iter().map(String::as_str).collect::<Vec<_>>(),
            );
            // The one that is left, alone.
            folder
                .whole(&["--batch", "3", "--redo", "failed"])
                .assert(0)
                .says("3 items: 1 done, 2 done before");
            assert_like_single_edits(&folder, "out", &["p0", "p1", "p2"]);
        }
    }

    /// Then they go one after the other, and have the bytes of single edits.
    #[test]
    fn where_the_memory_is_not_enough_for_several_they_go_one_by_one() {
        let folder = Folder::new(3);
        let expected = folder.expected();
        let failpoint = "no_memory_for_several#2";
        let ended = folder.whole_at(failpoint, &["--batch", "3"]).assert(0);
        ended
            .says("failpoint no_memory_for_several")
            .says("warning: p0: 3 at a time are too many")
            .says("3 items: 3 done");
        assert!(folder.results() == expected);
        assert!(
            folder
                .records()
                .iter()
                .all(|record| record["together"].is_null()),
            "none of them went beside another"
        );
    }

    /// The next run makes the same picture, perhaps with other last bits: then the one without a record is it.
    #[test]
    fn killed_between_picture_and_record_the_next_run_goes_on() {
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
                    .says("3 items: 2 done, 1 done before");
                assert!(
                    left.is_none_or(|left| folder.results()["p1.png"] == left),
                    "it is not written again"
                );
                assert_like_single_edits(&folder, "out", &["p0", "p1", "p2"]);
                folder.whole(more).assert(0).says("3 items: 3 done before");
            }
        }
    }

    /// What somebody made of a result is not taken for it, and not replaced.
    #[test]
    fn a_result_that_was_painted_over_stays_and_is_told() {
        let folder = Folder::new(1);
        let ended = folder.whole_at("kill_after_picture#1", &["--no-metadata"]);
        assert_eq!(ended.status, None, "killed: {}", ended.stderr);
        std::fs::copy(folder.path("in/p0.png"), folder.path("out/p0.png")).unwrap();
        folder
            .whole(&["--no-metadata"])
            .assert(1)
            .says("out/p0.png");
        assert!(
            folder.results()["p0.png"] == folder.bench.read("in/p0.png"),
            "it is as it was"
        );
    }

    /// What a picture's second edit can take from the first one's is not computed beside it.
    #[test]
    fn pictures_that_the_list_has_twice_go_by_themselves() {
        let folder = Folder::new(3);
        let mut command = folder.batch(&["in", "-o", "out", "--seeds", "1-2", "--batch", "4"]);
        command
            .env("DRAGNEXT_CACHE_LIMIT", "100MB")
            .env("DRAGNEXT_CACHE", folder.path("cache"));
        ended(command).assert(0).says("6 items: 6 done");
        let cached: Vec<bool> = folder
            .records()
            .iter()
            .map(|record| record["cached"].to_string().contains("lora"))
            .collect();
        assert_eq!(cached, [false, true, false, true, false, true]);
        folder
            .run(&["in", "-o", "together", "--seeds", "1-2", "--batch", "4"])
            .assert(0)
            .says("6 items: 6 done");
        assert_like_each_other(&folder, &["p0.seed-1", "p0.seed-2", "p2.seed-2"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_stops_all_that_are_at_work_and_the_next_run_does_them() {
        let folder = Folder::new(3);
        folder.expected();
        let command = folder.batch(&["in", "-o", "out", "--batch", "3"]);
        let (child, stderr) = crate::folder::start_at(command, "wait_in_lora#1");
        crate::folder::send("INT", &child);
        drop(stderr);
        crate::folder::wait(child).assert(130);
        let told = folder.told();
        assert!(
            told.len() == 3 && told.iter().all(|(_, status, _)| status == "interrupted"),
            "{told:?}"
        );
        folder
            .whole(&["--batch", "3"])
            .assert(0)
            .says("3 items: 3 done");
        assert_like_single_edits(&folder, "out", &["p0", "p1", "p2"]);
    }
}
