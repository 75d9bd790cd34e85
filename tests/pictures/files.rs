//! Writing results: the old file or the complete new one, and never an input.

use std::fs;
use std::path::{Path, PathBuf};

use dragnext::error::Error;
use dragnext::files::{check_distinct, check_output, check_png_name, write_verified};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("the system has room for a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.path(name), content).expect("the temporary folder takes files");
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the file is there")
}

fn kind(refused: Result<(), Error>) -> &'static str {
    refused.expect_err("it must be refused").kind().name()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "stands where a check that can fail is expected"
)]
fn sound(_: &[u8]) -> Result<(), String> {
    Ok(())
}

#[test]
fn an_output_that_exists_needs_overwrite() {
    let folder = Folder::new();
    let (input, output) = (folder.with("in.png", "in"), folder.with("out.png", "old"));
    let refused =
        check_output(std::slice::from_ref(&input), &output, false).expect_err("it exists");
    assert_eq!(
        (refused.kind().name(), refused.exit_status()),
        ("output.exists", 2)
    );
    check_output(std::slice::from_ref(&input), &output, true).expect("--overwrite was given");
    assert_eq!(
        folder.names(),
        ["in.png", "out.png"],
        "checking leaves nothing behind"
    );
}

#[test]
fn inputs_are_never_outputs() {
    let folder = Folder::new();
    let (input, drag) = (folder.with("in.png", "in"), folder.with("in.json", "{}"));
    fs::hard_link(&input, folder.path("hard.png")).expect("the temporary folder has hard links");
    for output in [
        &input,
        &drag,
        &folder.path("hard.png"),
        &folder.path("./in.png"),
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
    let folder = Folder::new();
    fs::create_dir(folder.path("inner")).expect("the temporary folder takes folders");
    for other in ["out.png", "./out.png", "inner/../out.png"] {
        assert_eq!(
            kind(check_distinct(&folder.path("out.png"), &folder.path(other))),
            "output.not_distinct",
            "{other}"
        );
    }
    check_distinct(&folder.path("out.png"), &folder.path("inner/out.png")).expect("they are two");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let folder = Folder::new();
    let (input, other) = (
        folder.with("in.png", "in"),
        folder.with("other.png", "other"),
    );
    for (name, target, expected) in [
        ("to_input.png", &input, "output.is_input"),
        ("to_other.png", &other, "output.is_link"),
        (
            "dangling.png",
            &folder.path("nowhere.png"),
            "output.is_link",
        ),
    ] {
        std::os::unix::fs::symlink(target, folder.path(name))
            .expect("the temporary folder has links");
        let refused = check_output(std::slice::from_ref(&input), &folder.path(name), true)
            .expect_err("it is a link");
        assert_eq!(refused.kind().name(), expected);
        assert!(
            expected == "output.is_input"
                || refused.to_string().contains(&target.display().to_string()),
            "{refused}"
        );
    }
}

#[test]
fn folders_and_devices_are_not_outputs() {
    let folder = Folder::new();
    assert_eq!(
        kind(check_output(&[], folder.0.path(), true)),
        "output.not_a_file"
    );
    assert_eq!(
        kind(check_output(&[], &folder.path("new/"), true)),
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
    let folder = Folder::new();
    let file = folder.with("file", "");
    for output in [file.join("out.png"), file.join("deeper/out.png")] {
        let refused = check_output(&[], &output, false).expect_err("a file holds no files");
        assert_eq!(
            (refused.kind().name(), refused.exit_status()),
            ("output.folder", 2)
        );
        assert_eq!(
            kind(write_verified(&output, b"new", false, sound)),
            "output.write"
        );
    }
}

#[cfg(unix)]
#[test]
#[expect(clippy::print_stdout, reason = "a test that cannot run says why")]
fn a_folder_that_takes_no_files_is_named_before_any_work() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let closed = folder.path("closed");
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
            sound
        )),
        "output.write"
    );
}

#[test]
fn missing_folders_are_created_when_writing_and_not_before() {
    let folder = Folder::new();
    let output = folder.path("a/b/out.png");
    check_output(&[], &output, false).expect("the folders can be made");
    assert!(folder.names().is_empty());
    write_verified(&output, b"new", false, sound).expect("the folders can be made");
    assert_eq!(read(&output), "new");
}

#[test]
fn a_file_that_fails_the_check_replaces_nothing() {
    let folder = Folder::new();
    let output = folder.with("out.png", "old");
    let mut seen = Vec::new();
    let refused = write_verified(&output, b"new", true, |written| {
        seen.extend_from_slice(written);
        assert_eq!(
            folder.names().len(),
            2,
            "the new file lies beside the old one"
        );
        Err("not a picture".into())
    });
    assert_eq!(seen, b"new", "the check saw what was on the disk");
    assert_eq!(kind(refused), "output.verify");
    assert_eq!(
        (read(&output).as_str(), folder.names()),
        ("old", vec!["out.png".to_owned()])
    );
}

#[test]
fn overwriting_leaves_the_new_file_alone() {
    let folder = Folder::new();
    let output = folder.path("out.png");
    write_verified(&output, b"first", false, sound).expect("the folder takes files");
    write_verified(&output, b"second", true, sound).expect("--overwrite was given");
    assert_eq!(
        (read(&output).as_str(), folder.names()),
        ("second", vec!["out.png".to_owned()])
    );
}

#[test]
fn a_file_that_appears_meanwhile_is_kept() {
    let folder = Folder::new();
    let output = folder.path("out.png");
    check_output(&[], &output, false).expect("nothing is there yet");
    let refused = write_verified(&output, b"new", false, |_| {
        folder.with("out.png", "another program's");
        Ok(())
    });
    assert_eq!(kind(refused), "output.appeared");
    assert_eq!(
        (read(&output).as_str(), folder.names()),
        ("another program's", vec!["out.png".to_owned()])
    );
}

#[cfg(unix)]
#[test]
fn a_new_file_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let usual = fs::metadata(folder.with("usual", ""))
        .expect("just written")
        .permissions()
        .mode();
    write_verified(&folder.path("out.png"), b"new", false, sound).expect("the folder takes files");
    assert_eq!(
        fs::metadata(folder.path("out.png"))
            .expect("just written")
            .permissions()
            .mode(),
        usual
    );
}

#[test]
fn only_png_is_promised() {
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
