//! A stdout that cannot be written: on a full disk every command fails in the same way, with the status of a failure that may pass.

use std::path::Path;

use crate::bench::{Bench, Run};

fn bench() -> Bench {
    let bench = Bench::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/edits/translation-07");
    for (name, from) in [("cat.png", "input.png"), ("cat.json", "drag.json")] {
        bench.write(name, std::fs::read(example.join(from)).unwrap());
    }
    bench
}

fn to_full_disk(bench: &Bench, arguments: &[&str]) -> Run {
    let run = bench.dragnext(arguments).env("DRAGNEXT_MODEL", "demo");
    run.after_shell("exec > /dev/full").any_stderr().status(75)
}

#[test]
fn every_command_says_that_the_disk_is_full() {
    if !Path::new("/dev/full").exists() {
        crate::bench::report("skipped: there is no /dev/full");
        return;
    }
    let bench = bench();
    bench.write("records.jsonl", "");
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help", "edit"],
        &["schema"],
        &["methods"],
        &["methods", "--json"],
        &["settings"],
        &["completions", "bash"],
        &["man"],
        &["doctor"],
        &["new", "cat.png", "-o", "new.json"],
        &["validate", "cat.json", "--image", "cat.png"],
        &["validate", "cat.json", "--json"],
        &["compare", "cat.png", "cat.png"],
        &["report", "merge", "records.jsonl"],
        &["edit", "cat.png", "--drag", "cat.json", "--json"],
        &["edit", "cat.png", "--drag", "cat.json", "-o", "-"],
        &["preview", "cat.png", "--drag", "cat.json", "-o", "-"],
        &["show", "cat.edited.png"],
        &["batch", ".", "-o", "out", "--json"],
    ] {
        let ended = to_full_disk(&bench, arguments).run();
        let last = ended
            .stderr
            .lines()
            .find(|line| line.starts_with("error: "));
        assert!(
            last.is_some_and(|line| line.starts_with("error: stdout: No space left")),
            "{arguments:?}: {ended}"
        );
    }
    assert!(
        bench.path("cat.edited.png").is_file(),
        "results that were written are kept"
    );
}
