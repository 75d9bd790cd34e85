//! Outputs that are refused: the hint names no flag that the command lacks.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::bench::Bench;

/// Every command with an output, given a symbolic link and a file that exists.
#[test]
fn hints_name_flags_of_their_command() {
    let bench = Bench::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/edits/translation-07");
    for (name, from) in [("cat.png", "input.png"), ("cat.json", "drag.json")] {
        bench.write(name, std::fs::read(example.join(from)).unwrap());
    }
    bench.write("there.png", "mine");
    bench.write("records.jsonl", "");
    bench.write(
        "edits/cat.png",
        std::fs::read(example.join("expected.png")).unwrap(),
    );
    bench.write("list.jsonl", r#"{"image": "cat.png", "drag": "cat.json"}"#);
    symlink(bench.path("there.png"), bench.path("link.png")).unwrap();
    let eval = [
        "eval",
        "--manifest",
        "list.jsonl",
        "--edits",
        "edits",
        "--metrics",
        "dai",
    ];
    let merge = [
        "report",
        "merge",
        "records.jsonl",
        "--manifest",
        "list.jsonl",
    ];
    let cases: [(&[&str], &[&str]); 7] = [
        (&["edit"], &["cat.png", "--drag", "cat.json", "-o"]),
        (
            &["edit"],
            &["cat.png", "--drag", "cat.json", "-o", "new.png", "--strip"],
        ),
        (&["preview"], &["cat.png", "--drag", "cat.json", "-o"]),
        (&["draw"], &["cat.png", "-o"]),
        (&["new"], &["cat.png", "-o"]),
        (&eval[..1], &[&eval[1..], &["--sheet"]].concat()),
        (&merge[..2], &[&merge[2..], &["--sheet"]].concat()),
    ];
    for (command, arguments) in cases {
        let help = bench
            .dragnext(command)
            .arg("--help")
            .any_stdout()
            .run()
            .stdout;
        for (output, kind) in [
            ("link.png", "is a link to"),
            ("there.png", "exists already"),
        ] {
            let run = bench.dragnext(command).args(arguments).arg(output);
            let ended = run
                .env("DRAGNEXT_MODEL", "demo")
                .any_stdout()
                .ended()
                .assert(2);
            assert!(ended.stderr.contains(kind), "{command:?}: {ended}");
            let (_, hint) = ended.stderr.split_once("hint: ").unwrap();
            let flags = hint
                .split(|c: char| !(c.is_alphanumeric() || c == '-'))
                .filter(|word| word.starts_with('-') && word.len() > 1);
            for flag in flags {
                assert!(
                    help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                    "{command:?} has no {flag}: {hint}"
                );
            }
        }
    }
    assert_eq!(bench.read("there.png"), b"mine");
}
