//! Results on the disk, through the program: refused, made or replaced as promised, and what was there stays when something goes wrong.
//! A drag that moves nothing does here: it needs no model, and is written like any other.

use std::fs;
use std::process::Command;

use crate::bench::pictures::noise;
use crate::bench::pictures::png::Png;
use crate::bench::program::names;
use crate::bench::tiny::{moved, still};
use crate::bench::{Bench, Ended, Run, report};
use png::{BitDepth, ColorType};

const OLD: &[u8] = b"what was there";

/// A picture that does not pack, a drag file, and an output that exists.
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

/// The folder is as it was: no result, no temporary file, the old file untouched.
fn assert_untouched(bench: &Bench) {
    assert_eq!(bench.names(), ["drag.json", "in.png", "old.png"]);
    assert_eq!(bench.read("old.png"), OLD);
}

/// What `in.png` becomes: the result of an undisturbed run.
fn expected(bench: &Bench) -> Vec<u8> {
    edit(bench, &["-o", "expected.png"]).run();
    let bytes = bench.read("expected.png");
    fs::remove_file(bench.path("expected.png")).unwrap();
    bytes
}

/// A limit on the size of files, of nothing and of one block: the write fails with its reason, and nothing is left of it.
#[cfg(unix)]
#[test]
fn a_limit_on_file_sizes_leaves_no_part_of_a_file() {
    let bench = bench();
    assert!(expected(&bench).len() > 1024, "more than a block");
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

/// A disk that is full, as the system says it and as a test makes it up: retry later, nothing is left.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_part_of_a_file() {
    let bench = bench();
    fs::create_dir(bench.path("disk")).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "none"])
        .arg(bench.path("disk"))
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        report("skipped: this user may not mount a small disk");
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
fn a_disk_that_fills_up_in_the_middle_of_a_write_leaves_no_part_of_a_file() {
    let bench = bench();
    let run = edit(&bench, &["-o", "old.png", "--overwrite"])
        .env("DRAGNEXT_FAILPOINTS", "disk_full")
        .status(75)
        .stderr_has("failpoint disk_full")
        .run();
    assert_eq!(run.kind(), "output.disk_full");
    assert_untouched(&bench);
}

/// What was written is read back before it replaces anything. Here a bit has changed on the way.
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
fn missing_folders_are_made_and_files_are_no_folders() {
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

/// A folder that takes no files is named before any work. Its mode stops everybody but root; a read-only disk stops root too.
#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_is_refused_before_any_work() {
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
                "skipped: this user may write to every folder, and may not mount a read-only one",
            );
            return;
        }
    }
    assert!(
        fs::write(closed.join("probe"), "").is_err(),
        "it takes no files"
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
            "no weight was read: {}",
            run.stderr
        );
    }
    fs::remove_dir(&closed).unwrap();
    assert_untouched(&bench);
}

/// The output lies on another disk than the folder for temporary files: the file is made beside its target, so that it can be renamed.
#[cfg(target_os = "linux")]
#[test]
fn the_folder_for_temporary_files_is_not_used() {
    let bench = bench();
    let expected = expected(&bench);
    edit(&bench, &["-o", "new.png"])
        .env("TMPDIR", "/proc/nowhere")
        .run();
    assert!(bench.read("new.png") == expected);
}

#[test]
fn an_existing_output_is_refused_before_any_work() {
    let bench = bench();
    bench.write("drag.json", moved(100, 100));
    let run = edit(&bench, &["-o", "old.png"])
        .status(2)
        .stderr_has("hint: use --overwrite")
        .run();
    assert_eq!(run.kind(), "output.exists");
    assert!(
        !run.stderr.contains("load"),
        "no weight was read: {}",
        run.stderr
    );
    assert_untouched(&bench);
}

/// Something else makes the file while the edit is at work: it is kept, and the run has failed.
#[cfg(unix)]
#[test]
fn an_output_that_appears_during_the_work_is_kept() {
    use std::io::{BufRead, BufReader, Read};
    let bench = bench();
    bench.write("drag.json", moved(100, 100));
    let mut child = edit(&bench, &["-o", "new.png"]).start();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    stderr.read_line(&mut told).unwrap();
    assert!(
        told.starts_with("load"),
        "outputs are checked, and the work has begun: {told}"
    );
    bench.write("new.png", OLD);
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{told}");
    assert!(
        told.contains("new.png: was created by another program during this run"),
        "{told}"
    );
    assert_eq!(bench.read("new.png"), OLD);
    assert_eq!(bench.names(), ["drag.json", "in.png", "new.png", "old.png"]);
}

/// The input under its own name, another name, a hard link, a link: never written, with `--overwrite` and `--follow` too.
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
fn a_link_is_refused_with_its_target() {
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

/// With `--follow` the file that the link leads to is written, in its own folder, and the link stays.
#[cfg(unix)]
#[test]
fn a_link_is_followed_when_asked() {
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
fn a_link_that_leads_nowhere_good_is_refused() {
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

/// A file that is replaced leaves its permissions to the new one; a new file gets those of any new file.
#[cfg(unix)]
#[test]
fn permissions_stay() {
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

/// Who reads the record may go away early: a quiet end, and the result is there.
#[cfg(unix)]
#[test]
fn a_reader_that_went_away_is_no_error() {
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
