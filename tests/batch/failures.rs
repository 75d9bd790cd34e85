//! A failed item does not stop, hide or change the others.

use crate::folder::Folder;

#[test]
fn a_faulty_item_fails_alone() {
    let folder = Folder::new(4);
    let expected = folder.expected();
    folder.write(
        "in/p1.json",
        r#"{"version": 1, "regions": [{"type": "translation"}]}"#,
    );
    folder.write("in/p2.png", &folder.bench.read("in/p2.png")[..200]);
    folder
        .whole(&[])
        .assert(1)
        .stderr_has("p1: failed: in/p1.json: ")
        .stderr_has("p2: failed: in/p2.png: ")
        .stderr_has("2 of 4 items failed");
    let statuses = folder.statuses();
    assert_eq!([&statuses[1].1, &statuses[2].1], ["failed", "failed"]);
    assert!(
        statuses[2].2 == "image.decode" && statuses[1].2.starts_with("instruction."),
        "{statuses:?}"
    );
    assert!(folder.results()["p3.png"] == expected["p3.png"] && folder.results().len() == 2);
    // Once they are fixed, the next run edits them without --redo.
    folder.item("in/p1", 1);
    folder.item("in/p2", 2);
    folder
        .whole(&[])
        .assert(0)
        .stderr_has("4 items: 2 done, 2 done before");
    assert!(folder.results() == expected);
}

#[test]
fn a_batch_of_failed_items_fails() {
    let folder = Folder::new(2);
    folder.write("in/p0.json", "{}");
    folder.write("in/p1.json", "{}");
    folder
        .whole(&[])
        .assert(1)
        .stderr_has("2 of 2 items failed");
}

#[cfg(feature = "failpoints")]
mod injected {
    use crate::bench::Ended;
    use std::io::Write;

    use crate::folder::Folder;

    /// A panic anywhere in an item leaves the others with the same bytes, which shows that the weights were restored.
    #[test]
    fn a_panic_fails_only_its_item() {
        let folder = Folder::new(4);
        let expected = folder.expected();
        for (place, kind) in [
            ("panic_in_decode#2", "bug"),
            ("panic_in_item#2", "bug"),
            ("panic_in_writer#2", "bug"),
            ("panic_in_picture#2", "image.decode"),
            ("nan_in_decode#2", "compute.not_finite"),
            ("other_bytes_come_back#3", "output.verify"),
        ] {
            let _ = std::fs::remove_dir_all(folder.path("out"));
            let name = place.split('#').next().unwrap();
            let run = folder
                .whole_at(place, &[])
                .assert(1)
                .stderr_has(&format!("failpoint {name}\n"))
                .stderr_has("4 items: 3 done, 1 failed");
            assert!(!run.stderr.contains("panicked at"), "{}", run.stderr);
            assert_eq!(
                folder.statuses()[1],
                ("p1".into(), "failed".into(), kind.into()),
                "{place}"
            );
            let mut results = folder.results();
            assert!(!results.contains_key("p1.png"), "{place}");
            results.insert("p1.png".into(), expected["p1.png"].clone());
            assert!(
                results == expected,
                "{place}: the others are as they are without it"
            );

            // A failure whose cause is the item itself is not tried again.
            let lasts = ["bug", "compute.not_finite"].contains(&kind);
            let again = folder.whole(&[]);
            if lasts {
                again
                    .assert(1)
                    .stderr_has("4 items: 3 done before, 1 failed before")
                    .stderr_has("--redo failed");
                folder
                    .whole(&["--redo", "failed"])
                    .assert(0)
                    .stderr_has("4 items: 1 done, 3 done before");
            } else {
                again.assert(0).stderr_has("4 items: 1 done, 3 done before");
            }
            assert!(folder.results() == expected);
            folder
                .whole(&[])
                .assert(0)
                .stderr_has("4 items: 4 done before");
        }
    }

    /// A full disk fails the first item, and ends the run at the second in a row.
    #[test]
    fn a_full_disk_fails_an_item_or_stops_the_run() {
        let folder = Folder::new(4);
        let expected = folder.expected();
        // The hash of the weights is the first file that is written.
        folder
            .whole_at("disk_full#3", &[])
            .assert(1)
            .stderr_has("failpoint disk_full")
            .stderr_has("p1: failed: ")
            .stderr_has("4 items: 3 done, 1 failed");
        assert_eq!(folder.statuses()[1].2, "output.disk_full");
        folder
            .whole(&[])
            .assert(0)
            .stderr_has("1 done, 3 done before");
        std::fs::remove_dir_all(folder.path("out")).unwrap();
        folder
            .whole_at("disk_full", &[])
            .assert(75)
            .stderr_has("free some space, then run this again")
            .stderr_has("left in");
        assert!(folder.results().is_empty());
        folder.whole(&[]).assert(0);
        assert!(folder.results() == expected);
    }

    /// An item without a record is not done, and no partial record remains.
    #[test]
    fn a_record_that_cannot_be_written_ends_the_run() {
        let folder = Folder::new(4);
        let expected = folder.expected();
        folder
            .whole_at("record_disk_full#2", &[])
            .assert(75)
            .stderr_has("failpoint record_disk_full")
            .stderr_has("all.jsonl: ");
        assert_eq!(folder.done(), ["p0"]);
        folder
            .whole(&[])
            .assert(0)
            .stderr_has("4 items: 3 done, 1 done before")
            .stderr_lacks("truncated");
        assert!(folder.results() == expected);
    }

    /// The list is fixed at the start: a removed item fails, an added one is ignored.
    #[test]
    fn a_folder_may_change_during_the_run() {
        let folder = Folder::new(3);
        // Only the first item is read while the weights are loaded.
        let mut child = folder
            .batch(&["in", "-o", "out"])
            .env("DRAGNEXT_FAILPOINTS", "header_read#1")
            .start_with_stdin();
        let mut stdin = child.stdin.take().unwrap();
        while !folder.path("out/records/all.jsonl").exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::fs::remove_file(folder.path("in/p1.png")).unwrap();
        std::fs::remove_file(folder.path("in/p2.json")).unwrap();
        folder.item("in/new", 8);
        stdin.write_all(b"go on").unwrap();
        drop(stdin);
        Ended::wait(child)
            .assert(1)
            .stderr_has("failpoint header_read")
            .stderr_has("p1: failed: in/p1.png: was removed after the run started");
        assert_eq!(
            folder
                .statuses()
                .into_iter()
                .map(|(id, _, kind)| (id, kind))
                .collect::<Vec<_>>(),
            [
                ("p0".into(), String::new()),
                ("p1".into(), "item.gone".into()),
                ("p2".into(), "item.gone".into())
            ]
        );
    }
}

/// A small file system that becomes full.
#[cfg(target_os = "linux")]
#[test]
fn a_small_disk_becomes_full() {
    use crate::bench::report;
    use std::process::Command;
    let folder = Folder::new(6);
    let expected = folder.expected();
    std::fs::create_dir(folder.path("out")).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=48k", "tmpfs"])
        .arg(folder.path("out"))
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        report("skipped: a small disk cannot be mounted here");
        return;
    }
    let run = folder.whole(&[]);
    let (statuses, results) = (folder.statuses(), folder.results());
    let free = Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(folder.path("out"))
        .status()
        .unwrap();
    assert!(free.success());
    let again = folder.whole(&[]);
    let after = folder.results();
    assert!(
        Command::new("umount")
            .arg(folder.path("out"))
            .status()
            .unwrap()
            .success()
    );
    report(&format!(
        "48 KiB: {:?}, {} results, {statuses:?}",
        run.status,
        results.len()
    ));
    assert!(
        run.stderr.contains("No space left on device"),
        "the disk was full: {}",
        run.stderr
    );
    assert_eq!(run.status, Some(75), "{}", run.stderr);
    assert!(
        results.iter().all(|(name, bytes)| *bytes == expected[name]) && results.len() < 6,
        "no partial picture"
    );
    again.assert(0);
    assert!(after == expected);
}
