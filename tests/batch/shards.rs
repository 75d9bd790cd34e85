//! Several runs that share a list.

use crate::folder::Folder;

#[test]
fn each_shard_edits_its_items_and_reads_the_records_of_others() {
    let folder = Folder::new(5);
    folder
        .whole(&["--shard", "1/2"])
        .assert(0)
        .stderr_has("2 items: 2 done");
    assert_eq!(folder.done(), ["p1", "p3"]);
    folder
        .whole(&["--shard", "0/2"])
        .assert(0)
        .stderr_has("3 items: 3 done");
    assert_eq!(
        crate::bench::program::names(&folder.path("out/records")),
        [
            "0-of-2.jsonl",
            "0-of-2.lock",
            "1-of-2.jsonl",
            "1-of-2.lock",
            "weights.json"
        ]
    );
    folder
        .whole(&["--shard", "5/8"])
        .assert(0)
        .stderr_has("0 items in shard 5/8");
    for shard in ["0/2", "2/3"] {
        folder
            .whole(&["--shard", shard])
            .assert(0)
            .stderr_has("done before")
            .stderr_lacks("load ");
    }
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("5 items: 5 done before");
    assert!(folder.results() == folder.expected());
    folder
        .whole(&["--shard", "2/2"])
        .assert(2)
        .stderr_has("shards count from 0");
}

/// A second run on the same shard is rejected, with the process of the first. Another shard is accepted, and a killed run releases its lock.
#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_second_run_on_the_same_shard_is_rejected() {
    use crate::bench::program::send;
    let folder = Folder::new(2);
    let (mut first, _stderr) = folder
        .batch(&["in", "-o", "out", "--shard", "0/2"])
        .start_at("hang_in_decode");
    let holder = format!("out: process {} on ", first.id());
    folder
        .whole(&["--shard", "0/2"])
        .assert(75)
        .stderr_has(&holder)
        .stderr_has("shard 0/2");
    folder
        .whole(&["--shard", "1/2"])
        .assert(0)
        .stderr_has("1 item: 1 done");
    assert!(
        first.try_wait().unwrap().is_none(),
        "the first is still running"
    );
    send("KILL", &first);
    first.wait().unwrap();
    folder
        .whole(&["--shard", "0/2"])
        .assert(0)
        .stderr_has("1 item: 1 done");
}
