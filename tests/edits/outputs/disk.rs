//! Limits of the file system: file sizes, full disks, read-only folders, corrupted writes.

use std::fs;
use std::process::Command;

use super::{OLD, assert_ended, assert_untouched, bench, edit, expected};
use crate::bench::program::names;
use crate::bench::report;

/// With a limit of no and of one block the write fails with its reason.
#[cfg(unix)]
#[test]
fn a_limit_on_file_sizes_leaves_no_partial_file() {
    let bench = bench();
    assert!(expected(&bench).len() > 1024, "more than one block");
    for blocks in [0, 1] {
        for output in [&["-o", "new.png"][..], &["-o", "old.png", "--overwrite"]] {
            // The system's error number proves that the limit was reached.
            let run = edit(&bench, output)
                .after_shell(&format!("ulimit -f {blocks}"))
                .status(1)
                .stderr_has(format!("{}: File too large (os error 27)", output[1]))
                .run();
            assert_eq!(run.kind(), "output.write");
            assert_untouched(&bench);
        }
    }
}

/// The exit status says that a later run may succeed.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_partial_file() {
    let bench = bench();
    fs::create_dir(bench.path("disk")).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "none"])
        .arg(bench.path("disk"))
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        report("skipped: mounting a small disk is not permitted");
        return;
    }
    bench.write("disk/old.png", OLD);
    let runs = [
        &["-o", "disk/new.png"][..],
        &["-o", "disk/old.png", "--overwrite"],
    ]
    .map(|output| edit(&bench, output).ended());
    let (names, old) = (names(&bench.path("disk")), bench.read("disk/old.png"));
    assert!(
        Command::new("umount")
            .arg(bench.path("disk"))
            .status()
            .unwrap()
            .success()
    );
    for run in runs {
        assert_ended(&run, 75, "output.disk_full");
        assert!(
            run.stderr.contains("No space left on device (os error 28)"),
            "{}",
            run.stderr
        );
    }
    assert_eq!((names, old.as_slice()), (vec!["old.png".to_owned()], OLD));
}

#[cfg(feature = "failpoints")]
#[test]
fn a_disk_that_fills_up_during_a_write_leaves_no_partial_file() {
    let bench = bench();
    let run = edit(&bench, &["-o", "old.png", "--overwrite"])
        .env("DRAGNEXT_FAILPOINTS", "disk_full")
        .status(75)
        .stderr_has("failpoint disk_full")
        .run();
    assert_eq!(run.kind(), "output.disk_full");
    assert_untouched(&bench);
}

/// The written file is read back before it replaces another. Here one bit differs.
#[cfg(feature = "failpoints")]
#[test]
fn a_file_that_reads_back_differently_replaces_nothing() {
    let bench = bench();
    for output in [&["-o", "new.png"][..], &["-o", "old.png", "--overwrite"]] {
        let run = edit(&bench, output)
            .env("DRAGNEXT_FAILPOINTS", "other_bytes_come_back")
            .status(1)
            .stderr_has("failpoint other_bytes_come_back")
            .stderr_has("the written file was read back and is wrong")
            .run();
        assert_eq!(run.kind(), "output.verify");
        assert_untouched(&bench);
    }
    // Without the fault the same edit succeeds.
    edit(&bench, &["-o", "old.png", "--overwrite"]).run();
}

/// The folder is read-only by its mode, or, as root ignores modes, on a read-only disk.
#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_is_rejected_before_any_work() {
    use std::os::unix::fs::PermissionsExt;
    let bench = bench();
    let closed = bench.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let by_mode = fs::write(closed.join("probe"), "").is_err();
    if !by_mode {
        fs::remove_file(closed.join("probe")).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "ro", "none"])
            .arg(&closed)
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            report(
                "skipped: this user can write to every folder, and mounting a read-only one is not permitted",
            );
            return;
        }
    }
    assert!(
        fs::write(closed.join("probe"), "").is_err(),
        "the folder is read-only"
    );
    let runs = ["closed/new.png", "closed/deeper/new.png"]
        .map(|output| edit(&bench, &["-o", output]).ended());
    if !by_mode {
        assert!(
            Command::new("umount")
                .arg(&closed)
                .status()
                .unwrap()
                .success()
        );
    }
    for run in runs {
        assert_ended(&run, 2, "output.folder");
        assert!(
            run.stderr.contains("cannot create files in `closed`"),
            "{}",
            run.stderr
        );
        assert!(
            !run.stderr.contains("load"),
            "no weights were read: {}",
            run.stderr
        );
    }
    fs::remove_dir(&closed).unwrap();
    assert_untouched(&bench);
}
