//! Unusual environments: no home folder, no temporary folder, a deleted current folder, a suspended process.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::bench::Ended;
use crate::bench::program::send;
use crate::folder::Folder;

/// Runs the batch of a folder in a shell after the command `before`, from a new current folder.
fn after(folder: &Folder, before: &str, out: &str) -> crate::bench::Ended {
    std::fs::create_dir(folder.path("here")).unwrap();
    let batch = folder.batch(&[
        folder.path("in").to_str().unwrap(),
        "-o",
        folder.path(out).to_str().unwrap(),
    ]);
    let ended = batch
        .env("PATH", "/usr/bin:/bin")
        .current_dir(folder.path("here"))
        .after_shell(before)
        .ended();
    let _ = std::fs::remove_dir(folder.path("here"));
    ended
}

#[test]
fn a_batch_needs_neither_home_nor_temporary_nor_current_folder() {
    let folder = Folder::new(2);
    let expected = folder.expected();
    for (number, before) in [
        "unset HOME",
        "export TMPDIR=/proc/nowhere",
        "rmdir ../here; test ! -e ../here",
        "export HOME=/proc/nowhere",
    ]
    .iter()
    .enumerate()
    {
        let out = format!("out{number}");
        after(&folder, before, &out)
            .assert(0)
            .stderr_has("2 items: 2 done");
        assert!(
            crate::folder::results(&folder.path(&out)) == expected,
            "{before}"
        );
    }
}

#[test]
fn files_have_the_permissions_of_the_umask() {
    let folder = Folder::new(1);
    for (umask, expected) in [("077", 0o600), ("022", 0o644)] {
        let out = format!("out{umask}");
        after(&folder, &format!("umask {umask}"), &out).assert(0);
        for name in ["p0.png", "records/all.jsonl"] {
            let mode = folder
                .path(&out)
                .join(name)
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o777;
            assert_eq!(
                format!("{mode:o}"),
                format!("{expected:o}"),
                "{name} with umask {umask}"
            );
        }
    }
}

/// A suspended and resumed process finishes its work, and its recorded durations do not exceed the elapsed time.
#[cfg(feature = "failpoints")]
#[test]
fn a_suspended_process_continues_and_records_true_durations() {
    let folder = Folder::new(2);
    let expected = folder.expected();
    let started = Instant::now();
    // A failpoint holds it in the training of the first item; it is suspended there.
    let (child, stderr) = folder
        .batch(&["in", "-o", "out"])
        .start_at("wait_in_lora#1");
    send("STOP", &child);
    std::thread::sleep(Duration::from_millis(700));
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    assert!(
        state.is_empty() || state.contains(") T "),
        "it is suspended: {state}"
    );
    send("CONT", &child);
    send("INT", &child);
    drop(stderr);
    Ended::wait(child).assert(130);
    folder.whole(&[]).assert(0).stderr_has("2 items: 2 done");
    assert!(folder.results() == expected);
    let wall = started.elapsed().as_secs_f64();
    let records = folder.records();
    let stages = records
        .iter()
        .filter_map(|record| record["seconds"].as_object())
        .flat_map(|stages| stages.values());
    let seconds: Vec<f64> = stages.map(|seconds| seconds.as_f64().unwrap()).collect();
    assert!(
        !seconds.is_empty()
            && seconds.iter().all(|seconds| *seconds >= 0.0)
            && seconds.iter().sum::<f64>() <= wall,
        "{seconds:?} of {wall}"
    );
}
