//! Completions and manual pages: shells and readers of manual pages accept them.

use std::path::Path;
use std::process::Command;

use crate::bench::program::names;
use crate::bench::{Bench, report};

/// What `dragnext` prints with these arguments.
fn print(bench: &Bench, arguments: &[&str]) -> String {
    bench.dragnext(arguments).any_stdout().run().stdout
}

/// Runs a program on a file, if it is installed. It must succeed and print nothing to stderr.
fn assert_accepted(program: &str, arguments: &[&str], file: &Path) {
    match Command::new(program).args(arguments).arg(file).output() {
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && stderr.is_empty(),
                "{program}: {stderr}"
            );
        }
        Err(error) => report(&format!("skipped: {program} cannot be run here: {error}")),
    }
}

#[test]
fn shells_accept_the_completions() {
    let bench = Bench::new();
    for (shell, check) in [
        ("bash", Some("-n")),
        ("zsh", Some("-n")),
        ("fish", Some("--no-execute")),
        ("elvish", None),
        ("powershell", None),
    ] {
        let script = print(&bench, &["completions", shell]);
        for word in ["edit", "show", "like", "hard-background"] {
            assert!(script.contains(word), "{shell} completes {word}");
        }
        let file = bench.write(shell, script);
        if let Some(check) = check {
            assert_accepted(shell, &[check], &file);
        }
    }
    bench
        .dragnext(["completions", "dos"])
        .status(2)
        .any_stderr()
        .run();
}

/// In a shell that has read the script, Tab completes the flags of a command.
#[test]
fn bash_completes_flags() {
    let bench = Bench::new();
    bench.write("script", print(&bench, &["completions", "bash"]));
    let ask = "source ./script; COMP_WORDS=(dragnext edit --li); COMP_CWORD=2; _dragnext dragnext --li edit; echo \"${COMPREPLY[@]}\"";
    match Command::new("bash")
        .args(["--norc", "-c", ask])
        .current_dir(bench.folder())
        .output()
    {
        Ok(output) => {
            let (stdout, stderr) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            assert_eq!((stdout.trim(), stderr.trim()), ("--like", ""));
        }
        Err(error) => report(&format!("skipped: bash cannot be run here: {error}")),
    }
}

#[test]
fn manual_pages_are_good_roff() {
    let bench = Bench::new();
    let main = print(&bench, &["man"]);
    assert!(
        main.contains(".TH dragnext 1") && main.contains("stopped by SIGINT"),
        "{main}"
    );
    assert_eq!(print(&bench, &["man", "--dir", "man1"]), "");
    let pages = names(&bench.path("man1"));
    for name in [
        "dragnext.1",
        "dragnext-edit.1",
        "dragnext-show.1",
        "dragnext-man.1",
        "dragnext-completions.1",
    ] {
        assert!(
            pages.iter().any(|page| page == name),
            "{name} is not among {pages:?}"
        );
    }
    assert_eq!(
        bench.text("man1/dragnext.1"),
        main,
        "`man` prints the main page"
    );
    let edit = bench.text("man1/dragnext-edit.1");
    assert!(
        edit.contains("hard\\-background") && edit.contains("SETTINGS OF THE METHOD"),
        "{edit}"
    );
    for page in &pages {
        let page = bench.path("man1").join(page);
        assert_accepted("groff", &["-man", "-Tutf8", "-ww", "-z"], &page);
        assert_accepted("mandoc", &["-T", "lint", "-W", "error"], &page);
    }
}

/// Pages are outputs: an existing file is not replaced without `--overwrite`, and then no page is written.
#[test]
fn manual_pages_do_not_replace_files_without_overwrite() {
    let bench = Bench::new();
    bench.write("dragnext-show.1", "mine");
    bench
        .dragnext(["man", "--dir", "."])
        .status(2)
        .stderr_has("dragnext-show.1: exists already")
        .run();
    assert_eq!(bench.names(), ["dragnext-show.1"]);
    bench.dragnext(["man", "--dir", ".", "--overwrite"]).run();
    assert!(bench.text("dragnext-show.1").starts_with(".ie"));
    // Without a folder there is nothing to overwrite.
    bench
        .dragnext(["man", "--overwrite"])
        .status(2)
        .any_stderr()
        .run();
}

/// The crate's page says of every module where it is.
#[test]
fn the_crates_page_names_every_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let map: String = text
        .lines()
        .filter(|line| line.starts_with("//! | "))
        .collect();
    let modules: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert!(modules.len() > 40, "{modules:?}");
    let missing: Vec<&str> = modules
        .into_iter()
        .filter(|name| {
            !map.contains(&format!("[`{name}`]")) && !map.contains(&format!("[`mod@{name}`]"))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
