//! `-` for stdin and stdout, and inputs in each other's place.

use super::command::{TRANSLATION, bench};
use crate::bench::tiny::{SHORT, model};
use crate::bench::{Bench, Run};

/// Returns a short edit with exactly these arguments, the model and settings.
fn edit(bench: &Bench, arguments: &[&str]) -> Run {
    bench
        .dragnext(["edit"])
        .args(arguments)
        .args(SHORT)
        .arg("--model")
        .arg(model())
        .any_stderr()
        .any_stdout()
}

#[test]
fn a_drag_file_can_come_from_stdin_and_the_result_go_to_stdout() {
    let bench = bench();
    edit(&bench, &["in.png", "--drag", "drag.json", "-o", "file.png"]).run();
    let expected = bench.read("file.png");
    let piped = edit(&bench, &["in.png", "--drag", "-", "-o", "-"]).stdout_bytes(TRANSLATION);
    assert!(piped == expected, "the same bytes through pipes");
    assert!(!bench.path("-").exists(), "no file is named -");
    let preview = bench
        .dragnext(["preview", "in.png", "--drag", "-", "-o", "-"])
        .any_stderr()
        .stdout_bytes(TRANSLATION);
    assert!(image::load_from_memory(&preview).is_ok());
}

#[test]
fn stdout_takes_one_thing() {
    let bench = bench();
    edit(
        &bench,
        &["in.png", "--drag", "drag.json", "-o", "-", "--json"],
    )
    .ended()
    .assert(2)
    .stderr_has("stdout");
    edit(
        &bench,
        &["in.png", "--drag", "drag.json", "-o", "-", "--strip", "-"],
    )
    .ended()
    .assert(2)
    .stderr_has("two outputs");
    edit(
        &bench,
        &[
            "in.png",
            "--drag",
            "drag.json",
            "-o",
            "-",
            "--method",
            "pbsi,fast-drag",
        ],
    )
    .ended()
    .assert(2)
    .stderr_has("give a folder with -o");
}

#[test]
fn inputs_in_each_others_place_are_recognised() {
    let bench = bench();
    let hint = "`dragnext edit cat.png --drag cat.json`";
    edit(&bench, &["drag.json", "--drag", "in.png"])
        .ended()
        .assert(2)
        .stderr_has_all(&["in.png: not a drag file: the file is a picture (PNG)", hint]);
    edit(&bench, &["drag.json", "--drag", "drag.json"])
        .ended()
        .assert(2)
        .stderr_has_all(&["drag.json: is not a picture but JSON", hint]);
    bench.write("page.png", "<!DOCTYPE html><title>404</title>");
    edit(&bench, &["page.png", "--drag", "drag.json"])
        .ended()
        .assert(2)
        .stderr_has("is a web page, not the file itself");
    bench.write(
        "lfs.json",
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    );
    edit(&bench, &["in.png", "--drag", "lfs.json"])
        .ended()
        .assert(2)
        .stderr_has_all(&["a Git LFS pointer", "git lfs pull"]);
}

/// What a list, a folder or an address is given for is said with what to do.
#[test]
fn lists_folders_and_addresses_in_other_places_are_named() {
    let bench = bench();
    bench.write(
        "list.jsonl",
        "{\"image\": \"in.png\", \"drag\": \"drag.json\"}\n",
    );
    let fails = |arguments: &[&str], parts: &[&str]| {
        bench
            .dragnext(arguments)
            .any_stdout()
            .any_stderr()
            .ended()
            .assert(2)
            .stderr_has_all(parts);
    };
    fails(
        &["validate", "list.jsonl"],
        &["a list of pictures", "`dragnext batch` with `--manifest`"],
    );
    fails(&["validate", "."], &["give the path of a file"]);
    for (file, hint) in [
        ("in.png", "`dragnext edit` edits one picture"),
        ("drag.json", "is given with `--drag`"),
        ("list.jsonl", "a list is given with `--manifest`"),
    ] {
        fails(
            &["batch", file, "-o", "out", "--model", "demo"],
            &["is a file, not a folder", hint],
        );
    }
    fails(
        &[
            "edit",
            "https://example.org/cat.png",
            "--drag",
            "drag.json",
            "--model",
            "demo",
        ],
        &["download the picture first"],
    );
    fails(
        &[
            "edit",
            "in.png",
            "--drag",
            "drag.json",
            "--model",
            "https://huggingface.co/a/b/tree/main",
        ],
        &["is an address", "`a/b`"],
    );
}

/// PowerShell writes UTF-16 by default, and Notepad a byte order mark.
#[test]
fn drag_files_in_utf_16_are_read() {
    let bench = bench();
    let utf16: Vec<u8> = std::iter::once(0xFEFF)
        .chain(TRANSLATION.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    bench.write("wide.json", utf16);
    bench.write("marked.json", format!("\u{feff}{TRANSLATION}"));
    for file in ["wide.json", "marked.json"] {
        bench
            .dragnext(["validate", file, "--image", "in.png"])
            .any_stdout()
            .any_stderr()
            .run();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_too_long_is_refused_before_any_work() {
    let bench = bench();
    let long = format!("{}.png", "x".repeat(250));
    std::fs::copy(bench.path("in.png"), bench.path(&long)).unwrap();
    let ended = edit(&bench, &[&long, "--drag", "drag.json"])
        .ended()
        .assert(2);
    ended
        .stderr_has("its name has 261 bytes")
        .stderr_lacks("encode");
    let folder = format!("new/{}/out.png", "y".repeat(256));
    edit(&bench, &["in.png", "--drag", "drag.json", "-o", &folder])
        .ended()
        .assert(2)
        .stderr_has("cannot be created");
    assert!(!bench.path("new").exists(), "nothing was created");
    // 255 bytes fit, with the temporary file too.
    let fits = format!("{}.png", "z".repeat(251));
    edit(&bench, &["in.png", "--drag", "drag.json", "-o", &fits]).run();
}
