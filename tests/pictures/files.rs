//! Checks of outputs and their writing: the old file or the complete new one, and never an input.

use std::fs;
use std::path::Path;

use dragnext::error::Error;
use dragnext::files::{check_distinct, check_output, check_png_name, write_verified};

use crate::bench::Bench;

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the file is there")
}

fn kind(rejected: Result<(), Error>) -> &'static str {
    rejected.expect_err("it is rejected").kind().name()
}

#[expect(clippy::unnecessary_wraps, reason = "the type of a check")]
fn valid(_: &[u8]) -> Result<(), String> {
    Ok(())
}

#[test]
fn an_output_that_exists_needs_overwrite() {
    let bench = Bench::new();
    let (input, output) = (bench.write("in.png", "in"), bench.write("out.png", "old"));
    let rejected =
        check_output(std::slice::from_ref(&input), &output, false).expect_err("it exists");
    assert_eq!(
        (rejected.kind().name(), rejected.exit_status()),
        ("output.exists", 2)
    );
    check_output(std::slice::from_ref(&input), &output, true).expect("--overwrite was given");
    assert_eq!(
        bench.names(),
        ["in.png", "out.png"],
        "the check leaves no file"
    );
}

#[test]
fn inputs_are_never_outputs() {
    let bench = Bench::new();
    let (input, drag) = (bench.write("in.png", "in"), bench.write("in.json", "{}"));
    fs::hard_link(&input, bench.path("hard.png")).expect("the temporary folder has hard links");
    for output in [
        &input,
        &drag,
        &bench.path("hard.png"),
        &bench.path("./in.png"),
    ] {
        assert_eq!(
            kind(check_output(&[input.clone(), drag.clone()], output, true)),
            "output.is_input",
            "{}",
            output.display()
        );
    }
}

#[test]
fn one_file_is_not_two_outputs() {
    let bench = Bench::new();
    fs::create_dir(bench.path("inner")).expect("the temporary folder takes folders");
    for other in ["out.png", "./out.png", "inner/../out.png"] {
        assert_eq!(
            kind(check_distinct(&bench.path("out.png"), &bench.path(other))),
            "output.not_distinct",
            "{other}"
        );
    }
    check_distinct(&bench.path("out.png"), &bench.path("inner/out.png")).expect("they are two");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let bench = Bench::new();
    let (input, other) = (
        bench.write("in.png", "in"),
        bench.write("other.png", "other"),
    );
    for (name, target, expected) in [
        ("to_input.png", &input, "output.is_input"),
        ("to_other.png", &other, "output.is_link"),
        ("dangling.png", &bench.path("nowhere.png"), "output.is_link"),
    ] {
        std::os::unix::fs::symlink(target, bench.path(name))
            .expect("the temporary folder has links");
        let rejected = check_output(std::slice::from_ref(&input), &bench.path(name), true)
            .expect_err("it is a link");
        assert_eq!(rejected.kind().name(), expected);
        assert!(
            expected == "output.is_input"
                || rejected.to_string().contains(&target.display().to_string()),
            "{rejected}"
        );
    }
}

#[test]
fn folders_and_devices_are_not_outputs() {
    let bench = Bench::new();
    assert_eq!(
        kind(check_output(&[], bench.folder(), true)),
        "output.not_a_file"
    );
    assert_eq!(
        kind(check_output(&[], &bench.path("new/"), true)),
        "output.not_a_file"
    );
    #[cfg(unix)]
    assert_eq!(
        kind(check_output(&[], Path::new("/dev/null"), true)),
        "output.not_a_file"
    );
}

#[test]
fn a_file_cannot_be_the_folder() {
    let bench = Bench::new();
    let file = bench.write("file", "");
    for output in [file.join("out.png"), file.join("deeper/out.png")] {
        let rejected = check_output(&[], &output, false).expect_err("a file is not a folder");
        assert_eq!(
            (rejected.kind().name(), rejected.exit_status()),
            ("output.folder", 2)
        );
        assert_eq!(
            kind(write_verified(&output, b"new", false, valid)),
            "output.write"
        );
    }
}

#[cfg(unix)]
#[test]
#[expect(clippy::print_stdout, reason = "a test that cannot run says why")]
fn a_read_only_folder_is_rejected_before_any_work() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let closed = bench.path("closed");
    fs::create_dir(&closed).expect("the temporary folder takes folders");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("it is ours");
    if fs::write(closed.join("probe"), "").is_ok() {
        println!("skipped: this user may write to every folder");
        return;
    }
    assert_eq!(
        kind(check_output(&[], &closed.join("out.png"), false)),
        "output.folder"
    );
    assert_eq!(
        kind(write_verified(
            &closed.join("out.png"),
            b"new",
            false,
            valid
        )),
        "output.write"
    );
}

#[test]
fn missing_folders_are_created_when_writing_and_not_before() {
    let bench = Bench::new();
    let output = bench.path("a/b/out.png");
    check_output(&[], &output, false).expect("the folders can be made");
    assert!(bench.names().is_empty());
    write_verified(&output, b"new", false, valid).expect("the folders can be made");
    assert_eq!(read(&output), "new");
}

#[test]
fn a_file_that_fails_the_check_replaces_nothing() {
    let bench = Bench::new();
    let output = bench.write("out.png", "old");
    let mut seen = Vec::new();
    let rejected = write_verified(&output, b"new", true, |written| {
        seen.extend_from_slice(written);
        assert_eq!(bench.names().len(), 2, "the new file is beside the old one");
        Err("not a picture".into())
    });
    assert_eq!(seen, b"new", "the check reads the file on the disk");
    assert_eq!(kind(rejected), "output.verify");
    assert_eq!(
        (read(&output).as_str(), bench.names()),
        ("old", vec!["out.png".to_owned()])
    );
}

#[test]
fn overwriting_leaves_only_the_new_file() {
    let bench = Bench::new();
    let output = bench.path("out.png");
    write_verified(&output, b"first", false, valid).expect("the folder takes files");
    write_verified(&output, b"second", true, valid).expect("--overwrite was given");
    assert_eq!(
        (read(&output).as_str(), bench.names()),
        ("second", vec!["out.png".to_owned()])
    );
}

#[test]
fn a_file_that_appears_during_the_write_is_kept() {
    let bench = Bench::new();
    let output = bench.path("out.png");
    check_output(&[], &output, false).expect("nothing is there yet");
    let rejected = write_verified(&output, b"new", false, |_| {
        bench.write("out.png", "another program's");
        Ok(())
    });
    assert_eq!(kind(rejected), "output.appeared");
    assert_eq!(
        (read(&output).as_str(), bench.names()),
        ("another program's", vec!["out.png".to_owned()])
    );
}

#[cfg(unix)]
#[test]
fn a_new_file_has_the_permissions_of_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let usual = fs::metadata(bench.write("usual", ""))
        .expect("just written")
        .permissions()
        .mode();
    write_verified(&bench.path("out.png"), b"new", false, valid).expect("the folder takes files");
    assert_eq!(
        fs::metadata(bench.path("out.png"))
            .expect("just written")
            .permissions()
            .mode(),
        usual
    );
}

#[test]
fn only_png_outputs_are_accepted() {
    for name in ["out.jpg", "out.JPEG", "out.webp", "a.png/out.gif"] {
        assert_eq!(
            kind(check_png_name(Path::new(name))),
            "output.format",
            "{name}"
        );
    }
    for name in ["out.png", "out.PNG", "out", "out.tmp", "cat.edited.png"] {
        check_png_name(Path::new(name)).expect("it promises no other format");
    }
}
