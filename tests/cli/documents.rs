//! What packages install beside the program: completions and manual pages, as the shells and the reader of manual pages take them.

use std::path::Path;
use std::process::{Command, Output};

fn dragnext(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = assert_cmd::Command::cargo_bin("dragnext").unwrap();
    command
        .env_clear()
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = dragnext(folder, arguments);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program on a file, where this machine has it; nothing may be said against the file.
fn accepted(program: &str, arguments: &[&str], file: &Path) {
    match Command::new(program).args(arguments).arg(file).output() {
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && stderr.is_empty(),
                "{program}: {stderr}"
            );
        }
        Err(error) => println!("skipped: {program} cannot be run here: {error}"),
    }
}

#[test]
fn shells_take_the_completions() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", Some("-n")),
        ("zsh", Some("-n")),
        ("fish", Some("--no-execute")),
        ("elvish", None),
        ("powershell", None),
    ] {
        let script = prints(folder.path(), &["completions", shell]);
        for word in ["edit", "show", "like", "hard-background"] {
            assert!(script.contains(word), "{shell} completes {word}");
        }
        let file = folder.path().join(shell);
        std::fs::write(&file, script).unwrap();
        if let Some(check) = check {
            accepted(shell, &[check], &file);
        }
    }
    assert_eq!(
        dragnext(folder.path(), &["completions", "dos"])
            .status
            .code(),
        Some(2)
    );
}

/// In a shell that has read the script, the flags of a command are offered.
#[test]
fn bash_completes_flags() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("script"),
        prints(folder.path(), &["completions", "bash"]),
    )
    .unwrap();
    let ask = "source ./script; COMP_WORDS=(dragnext edit --li); COMP_CWORD=2; _dragnext dragnext --li edit; echo \"${COMPREPLY[@]}\"";
    match Command::new("bash")
        .args(["--norc", "-c", ask])
        .current_dir(folder.path())
        .output()
    {
        Ok(output) => {
            let (stdout, stderr) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            assert_eq!((stdout.trim(), stderr.trim()), ("--like", ""));
        }
        Err(error) => println!("skipped: bash cannot be run here: {error}"),
    }
}

#[test]
fn manual_pages_are_good_roff() {
    let folder = tempfile::tempdir().unwrap();
    let main = prints(folder.path(), &["man"]);
    assert!(
        main.contains(".TH dragnext 1") && main.contains("stopped by SIGINT"),
        "{main}"
    );
    assert_eq!(prints(folder.path(), &["man", "--dir", "man1"]), "");
    let mut pages: Vec<_> = std::fs::read_dir(folder.path().join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pages.sort();
    let names: Vec<_> = pages
        .iter()
        .map(|page| page.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for name in [
        "dragnext.1",
        "dragnext-edit.1",
        "dragnext-show.1",
        "dragnext-man.1",
        "dragnext-completions.1",
    ] {
        assert!(
            names.iter().any(|page| page == name),
            "{name} is not among {names:?}"
        );
    }
    assert_eq!(
        std::fs::read_to_string(folder.path().join("man1/dragnext.1")).unwrap(),
        main,
        "what is printed is the main page"
    );
    let edit = std::fs::read_to_string(folder.path().join("man1/dragnext-edit.1")).unwrap();
    assert!(
        edit.contains("hard\\-background") && edit.contains("SETTINGS OF THE METHOD"),
        "{edit}"
    );
    for page in &pages {
        accepted("groff", &["-man", "-Tutf8", "-ww", "-z"], page);
        accepted("mandoc", &["-T", "lint", "-W", "error"], page);
    }
}

/// Pages are outputs like others: what is there is not replaced unless that is asked for, and then nothing is written at all.
#[test]
fn manual_pages_replace_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dragnext-show.1"), "mine").unwrap();
    let refused = dragnext(folder.path(), &["man", "--dir", "."]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("dragnext-show.1: exists already"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    prints(folder.path(), &["man", "--dir", ".", "--overwrite"]);
    assert!(
        std::fs::read_to_string(folder.path().join("dragnext-show.1"))
            .unwrap()
            .starts_with(".ie")
    );
    assert_eq!(
        dragnext(folder.path(), &["man", "--overwrite"])
            .status
            .code(),
        Some(2),
        "there is nothing to overwrite without a folder"
    );
}
