//! Outputs on the disk: rejected, created or replaced as documented, and unchanged when a run fails. The drags move nothing, so no model
//! is needed, but the results are written like others.

mod disk;
mod links;

use std::fs;

use png::{BitDepth, ColorType};

use crate::bench::pictures::noise;
use crate::bench::pictures::png::Png;
use crate::bench::program::names;
use crate::bench::tiny::{moved, still};
use crate::bench::{Bench, Ended, Run};

pub(super) const OLD: &[u8] = b"what was there";

/// Returns a bench with a picture that does not compress, a drag file and an existing output.
pub(super) fn bench() -> Bench {
    let bench = Bench::new();
    bench.write(
        "in.png",
        Png::encode(100, 100, ColorType::Rgb, BitDepth::Eight, &noise(30_000)).bytes(),
    );
    bench.write("drag.json", still(100, 100));
    bench.write("old.png", OLD);
    bench
}

pub(super) fn edit(bench: &Bench, arguments: &[&str]) -> Run {
    bench.shortest_edit(&[&["in.png", "--drag", "drag.json"], arguments].concat())
}

pub(super) fn assert_ended(ended: &Ended, status: i32, kind: &str) {
    assert_eq!(
        (ended.status, ended.kind()),
        (Some(status), kind),
        "{ended}"
    );
}

/// Asserts that the folder is unchanged: no result, no temporary file, and the old file.
pub(super) fn assert_untouched(bench: &Bench) {
    assert_eq!(bench.names(), ["drag.json", "in.png", "old.png"]);
    assert_eq!(bench.read("old.png"), OLD);
}

/// Returns the result of a run without a fault.
pub(super) fn expected(bench: &Bench) -> Vec<u8> {
    edit(bench, &["-o", "expected.png"]).run();
    let bytes = bench.read("expected.png");
    fs::remove_file(bench.path("expected.png")).unwrap();
    bytes
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
