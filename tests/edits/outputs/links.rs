//! Hard and symbolic links.

use std::fs;

use super::{OLD, assert_ended, bench, edit, expected};
use crate::bench::program::names;

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
