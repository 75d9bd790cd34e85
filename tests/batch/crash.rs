//! Killed runs: no partial file is ever visible, no item is recorded as done without its picture, and the next run finishes the list with
//! the bytes of an undisturbed run.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::bench::pictures::noise;
use crate::bench::report;
use crate::folder::Folder;

const SIGKILL: i32 = 9;

/// Checks an output folder after a kill: every picture is complete, and every item recorded as done has one. The last record may be
/// truncated. Returns the number of pictures.
fn check(folder: &Folder, expected: &BTreeMap<String, Vec<u8>>, what: &str) -> usize {
    let results = folder.results();
    for (name, bytes) in &results {
        assert!(*bytes == expected[name], "{what}: {name} is not whole");
    }
    let records = std::fs::read(folder.path("out/records/all.jsonl")).unwrap_or_default();
    let complete = records
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    for line in records[..complete]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let record: serde_json::Value =
            serde_json::from_slice(line).unwrap_or_else(|error| panic!("{what}: {error}"));
        let name = format!("{}.png", record["id"].as_str().unwrap());
        assert!(
            record["status"] != "done" || results.contains_key(&name),
            "{what}: {name} is recorded as done but does not exist"
        );
    }
    results.len()
}

/// Finishes the list and checks that everything is as in an undisturbed run, with one record for each item and no temporary file.
fn finish(folder: &Folder, expected: &BTreeMap<String, Vec<u8>>) {
    folder.whole(&[]).assert(0);
    assert!(folder.results() == *expected);
    let mut done = folder.done();
    done.sort();
    let ids: Vec<String> = expected
        .keys()
        .map(|name| name.trim_end_matches(".png").to_owned())
        .collect();
    assert_eq!(done, ids, "each exactly once");
    let left = crate::bench::program::names(&folder.path("out"))
        .into_iter()
        .filter(|name| name.starts_with(".dragnext-"));
    assert_eq!(left.count(), 0, "no temporary file");
}

#[cfg(feature = "failpoints")]
#[test]
fn a_run_killed_at_any_failpoint_loses_nothing() {
    // The hash of the weights is written first, so the first picture is the second file.
    const PLACES: [&str; 13] = [
        "kill_in_check#3",
        "kill_before_picture#2",
        "kill_after_create#3",
        "kill_in_write#3",
        "kill_after_write#3",
        "kill_after_read_back#3",
        "kill_after_sync#3",
        "kill_after_rename#3",
        "kill_after_picture#2",
        "kill_before_record#2",
        "kill_in_record#2",
        "kill_after_record#2",
        "kill_after_record_sync#2",
    ];
    let folder = Folder::new(3);
    let expected = folder.expected();
    for place in PLACES {
        let _ = std::fs::remove_dir_all(folder.path("out"));
        let run = folder.batch(&["in", "-o", "out"]);
        let ended = run.env("DRAGNEXT_FAILPOINTS", place).ended();
        assert_eq!(ended.signal, Some(SIGKILL), "{place}: {ended}");
        let name = place.split('#').next().unwrap();
        ended.stderr_has(&format!("failpoint {name}\n"));
        check(&folder, &expected, place);
        finish(&folder, &expected);
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn a_truncated_last_record_is_removed_with_a_warning() {
    let folder = Folder::new(3);
    let expected = folder.expected();
    let run = folder.whole_at("kill_in_record#2", &[]);
    assert_eq!(
        (run.status, run.stderr.contains("failpoint kill_in_record")),
        (None, true)
    );
    let bytes = folder.bench.read("out/records/all.jsonl");
    assert!(!bytes.ends_with(b"\n"), "the last line is truncated");
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("removing a truncated last line")
        .stderr_has("3 items: 2 done, 1 done before");
    assert_eq!(folder.done(), ["p0", "p1", "p2"]);
    assert!(folder.results() == expected);
    folder.whole(&[]).assert(0).stderr_lacks("truncated");
}

/// Kills `DRAGNEXT_TEST_KILLS` runs at moments spread over a run; each next run continues.
#[test]
fn a_run_killed_at_random_moments_loses_nothing() {
    let wanted = std::env::var("DRAGNEXT_TEST_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(12);
    let folder = Folder::new(6);
    let started = Instant::now();
    let expected = folder.expected();
    let whole = started.elapsed();
    let (mut kills, mut rounds, mut partial) = (0_usize, 0_usize, 0_usize);
    let mut shares = noise(wanted * 40)
        .into_iter()
        .map(|share| f64::from(share) / 255.0);
    while kills < wanted {
        let delay = whole.mul_f64(
            shares
                .next()
                .unwrap_or_else(|| panic!("only {kills} of {wanted} runs were killed")),
        );
        let mut child = folder.batch(&["in", "-o", "out"]).start();
        std::thread::sleep(delay.max(Duration::from_millis(1)));
        child.kill().unwrap();
        if let Some(signal) = child.wait().unwrap().signal() {
            assert_eq!(signal, SIGKILL);
            kills += 1;
            let there = check(&folder, &expected, &format!("kill {kills} after {delay:?}"));
            partial += usize::from((1..6).contains(&there));
        } else {
            // The run finished before it could be killed: start again.
            finish(&folder, &expected);
            rounds += 1;
            std::fs::remove_dir_all(folder.path("out")).unwrap();
        }
    }
    finish(&folder, &expected);
    report(&format!(
        "{kills} kills in {} lists of 6, {partial} with a part of the list done",
        rounds + 1
    ));
    assert!(partial > 0, "at least one came in the middle of the list");
}
