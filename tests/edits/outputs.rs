//! Outputs on the disk: rejected, created or replaced as documented, and unchanged when a run fails. The drags move nothing, so no model
//! is needed, but the results are written like others.

use std::fs;
use std::process::Command;

use crate::bench::pictures::noise;
use crate::bench::pictures::png::Png;
use crate::bench::program::names;
use crate::bench::tiny::{moved, still};
use crate::bench::{Bench, Ended, Run, report};
use png::{BitDepth, ColorType};

const OLD: &[u8] = b"what was there";

/// Returns a bench with a picture that does not compress, a drag file and an existing output.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.write(
        "in.png",
        Png::encode(100, 100, ColorType::Rgb, BitDepth::Eight, &noise(30_000)).bytes(),
    );
    bench.write("drag.json", still(100, 100));
    bench.write("old.png", OLD);
    bench
}

fn edit(bench: &Bench, arguments: &[&str]) -> Run {
    bench.shortest_edit(&[&["in.png", "--drag", "drag.json"], arguments].concat())
}

fn assert_ended(ended: &Ended, status: i32, kind: &str) {
    assert_eq!(
        (ended.status, ended.kind()),
        (Some(status), kind),
        "{ended}"
    );
}

/// Asserts that the folder is unchanged: no result, no temporary file, and the old file.
fn assert_untouched(bench: &Bench) {
    assert_eq!(bench.names(), ["drag.json", "in.png", "old.png"]);
    assert_eq!(bench.read("old.png"), OLD);
}

/// Returns the result of a run without a fault.
fn expected(bench: &Bench) -> Vec<u8> {
    edit(bench, &["-o", "expected.png"]).run();
    let bytes = bench.read("expected.png");
    fs::remove_file(bench.path("expected.png")).unwrap();
    bytes
}

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

#[test]
fn missing_folders_are_created_and_files_are_not_folders() {
    let bench = bench();
    let expected = expected(&bench);
    edit(&bench, &["-o", "a/b/new.png"]).run();
    assert!(bench.read("a/b/new.png") == expected);
    assert_eq!(names(&bench.path("a/b")), ["new.png"]);
    fs::remove_dir_all(bench.path("a")).unwrap();
    for output in ["old.png/new.png", "old.png/deeper/new.png"] {
        assert_ended(&edit(&bench, &["-o", output]).ended(), 2, "output.folder");
    }
    assert_ended(&edit(&bench, &["-o", "."]).ended(), 2, "output.not_a_file");
    assert_untouched(&bench);
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

/// Temporary files are created beside the output, since files cannot be renamed to another disk.
#[cfg(target_os = "linux")]
#[test]
fn the_system_folder_for_temporary_files_is_not_used() {
    let bench = bench();
    let expected = expected(&bench);
    edit(&bench, &["-o", "new.png"])
        .env("TMPDIR", "/proc/nowhere")
        .run();
    assert!(bench.read("new.png") == expected);
}

#[test]
fn an_existing_output_is_rejected_before_any_work() {
    let bench = bench();
    bench.write("drag.json", moved(100, 100));
    let run = edit(&bench, &["-o", "old.png"])
        .status(2)
        .stderr_has("hint: use --overwrite")
        .run();
    assert_eq!(run.kind(), "output.exists");
    assert!(
        !run.stderr.contains("load"),
        "no weights were read: {}",
        run.stderr
    );
    assert_untouched(&bench);
}

/// Another program creates the output during the edit: that file is kept, and the run fails.
#[cfg(unix)]
#[test]
fn an_output_that_appears_during_the_edit_is_kept() {
    use std::io::{BufRead, BufReader, Read};
    let bench = bench();
    bench.write("drag.json", moved(100, 100));
    let mut child = edit(&bench, &["-o", "new.png"]).start();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut messages = String::new();
    stderr.read_line(&mut messages).unwrap();
    assert!(
        messages.starts_with("load"),
        "outputs are checked, and the edit has begun: {messages}"
    );
    bench.write("new.png", OLD);
    stderr.read_to_string(&mut messages).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{messages}");
    assert!(
        messages.contains("new.png: was created by another program during this run"),
        "{messages}"
    );
    assert_eq!(bench.read("new.png"), OLD);
    assert_eq!(bench.names(), ["drag.json", "in.png", "new.png", "old.png"]);
}

/// The input is not overwritten through its path, another path, a hard link or a symbolic link, even with `--overwrite` and `--follow`.
#[cfg(unix)]
#[test]
fn the_input_is_never_the_output() {
    let bench = bench();
    let before = bench.read("in.png");
    fs::hard_link(bench.path("in.png"), bench.path("hard.png")).unwrap();
    std::os::unix::fs::symlink("in.png", bench.path("soft.png")).unwrap();
    std::os::unix::fs::symlink(bench.folder(), bench.path("here")).unwrap();
    let absolute = bench.path("in.png");
    for output in [
        "in.png",
        "./in.png",
        "here/in.png",
        "hard.png",
        "soft.png",
        absolute.to_str().unwrap(),
    ] {
        for flags in [&["--overwrite"][..], &["--overwrite", "--follow"]] {
            let run = edit(&bench, &[&["-o", output], flags].concat());
            assert_ended(&run.ended(), 2, "output.is_input");
        }
    }
    assert!(bench.read("in.png") == before);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_rejected_with_its_target() {
    let bench = bench();
    std::os::unix::fs::symlink("old.png", bench.path("link.png")).unwrap();
    let run = edit(&bench, &["-o", "link.png", "--overwrite"])
        .status(2)
        .stderr_has("link.png: is a link to `old.png`")
        .stderr_has("--follow")
        .run();
    assert_eq!(run.kind(), "output.is_link");
    assert_eq!(bench.read("old.png"), OLD);
}

/// With `--follow` the target of the link is written in its own folder, and the link stays.
#[cfg(unix)]
#[test]
fn follow_writes_the_target_of_a_symbolic_link() {
    use std::os::unix::fs::symlink;
    let bench = bench();
    let expected = expected(&bench);
    fs::create_dir(bench.path("store")).unwrap();
    bench.write("store/there.png", OLD);
    symlink("store/there.png", bench.path("first.png")).unwrap();
    symlink(bench.path("first.png"), bench.path("second.png")).unwrap();
    symlink("store/new.png", bench.path("dangling.png")).unwrap();

    let run = edit(&bench, &["-o", "second.png", "--follow"]);
    assert_ended(&run.ended(), 2, "output.exists");
    assert_eq!(bench.read("store/there.png"), OLD);
    edit(&bench, &["-o", "second.png", "--follow", "--overwrite"]).run();
    assert!(bench.read("store/there.png") == expected);
    edit(&bench, &["-o", "dangling.png", "--follow"]).run();
    assert!(bench.read("store/new.png") == expected);
    // A file that is not a link is written as usual.
    edit(&bench, &["-o", "plain.png", "--follow"]).run();
    for link in ["first.png", "second.png", "dangling.png"] {
        assert!(
            fs::symlink_metadata(bench.path(link)).unwrap().is_symlink(),
            "{link}"
        );
    }
    assert_eq!(names(&bench.path("store")), ["new.png", "there.png"]);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_with_an_invalid_target_is_rejected() {
    use std::os::unix::fs::symlink;
    let bench = bench();
    fs::create_dir(bench.path("store")).unwrap();
    for (link, target, kind) in [
        ("folder.png", "store", "output.not_a_file"),
        ("loop.png", "loop.png", "output.is_link"),
        ("missing.png", "nowhere/new.png", "output.folder"),
        ("device.png", "/dev/null", "output.not_a_file"),
        ("photo.png", "photo.jpg", "output.format"),
        ("drag.png", "drag.json", "output.is_input"),
    ] {
        symlink(target, bench.path(link)).unwrap();
        let before = bench.names();
        let run = edit(&bench, &["-o", link, "--follow", "--overwrite"]);
        assert_ended(&run.ended(), 2, kind);
        assert_eq!(bench.names(), before, "{link}");
    }
    assert!(names(&bench.path("store")).is_empty());
}

/// A replaced file passes its permissions on; a new file gets those of the umask.
#[cfg(unix)]
#[test]
fn permissions_are_kept() {
    use std::os::unix::fs::PermissionsExt;
    let bench = bench();
    let mode = |name: &str| fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o7777;
    for kept in [0o600, 0o640, 0o666, 0o604] {
        fs::set_permissions(bench.path("old.png"), fs::Permissions::from_mode(kept)).unwrap();
        edit(&bench, &["-o", "old.png", "--overwrite"]).run();
        assert_eq!(format!("{:o}", mode("old.png")), format!("{kept:o}"));
    }
    for (umask, expected) in [("022", 0o644), ("077", 0o600), ("000", 0o666)] {
        edit(&bench, &["-o", "new.png"])
            .after_shell(&format!("umask {umask}"))
            .run();
        assert_eq!(
            format!("{:o}", mode("new.png")),
            format!("{expected:o}"),
            "umask {umask}"
        );
        fs::remove_file(bench.path("new.png")).unwrap();
    }
}

/// A closed stdout does not fail the edit.
#[cfg(unix)]
#[test]
fn a_closed_stdout_is_not_an_error() {
    let bench = bench();
    let mut child = edit(&bench, &["-o", "new.png"]).start();
    drop(child.stdout.take());
    let ended = Ended::wait(child);
    assert_eq!(ended.status, Some(0), "{ended}");
    assert!(
        !ended.stderr.contains("error") && !ended.stderr.contains("panicked"),
        "{ended}"
    );
    assert!(bench.path("new.png").is_file());
}
