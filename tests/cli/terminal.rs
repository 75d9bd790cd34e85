//! Progress as a terminal sees it: bars where a line can be redrawn, plain lines everywhere else.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};

/// All that a program that succeeded wrote to its terminal.
fn shown(columns: u16, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    ended(0, columns, environment, arguments)
}

/// All that a program wrote to its terminal before it ended with this status.
fn ended(status: i32, columns: u16, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = tempfile::tempdir().unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(Some(&size), None).unwrap();
    let (ours, theirs) = (terminal.master, terminal.slave);
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("dragnext"));
    command
        .env_clear()
        .env("TERM", "xterm-256color")
        .envs(environment.iter().copied())
        .args(arguments);
    if arguments.is_empty() {
        command
            .arg("edit")
            .arg(fixtures.join("edit/input.png"))
            .arg("--drag")
            .arg(fixtures.join("edit/drag.json"));
        command
            .arg("--model")
            .arg(fixtures.join("tiny"))
            .arg("-o")
            .arg(folder.path().join("out.png"))
            .args(["--size", "80"]);
        // Long enough to be drawn more than once.
        command.args(["--lora-steps", "30"]);
    }
    let mut run = command
        .stdin(Stdio::null())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .spawn()
        .unwrap();
    drop(command); // holds the program's end open
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    // When the last of their ends is closed, reading ends; Linux says so with an error.
    let mut ours = File::from(ours);
    while let Ok(read @ 1..) = ours.read(&mut part) {
        bytes.extend_from_slice(&part[..read]);
    }
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(status), "{text}");
    text
}

/// A terminal ends a line with a carriage return of its own; any other one, and any escape, moves its cursor.
fn moves_the_cursor(text: &str) -> bool {
    text.replace("\r\n", "\n").contains(['\r', '\x1b', '\x08'])
}

const STAGES: [&str; 7] = [
    "load", "encode", "lora", "invert", "drag", "denoise", "decode",
];

#[test]
fn a_terminal_sees_bars_with_the_time_that_is_left() {
    for columns in [80, 200] {
        let text = shown(columns, &[], &[]);
        assert!(moves_the_cursor(&text), "{text:?}");
        let drawn: Vec<&str> = text
            .split(['\r', '\n', '\x1b'])
            .filter(|line| line.contains("loss "))
            .collect();
        assert!(drawn.iter().any(|line| line.contains("left")), "{drawn:?}");
        assert!(
            drawn
                .iter()
                .all(|line| line.chars().count() <= usize::from(columns) + 4),
            "no line is wider than the terminal: {drawn:?}"
        );
    }
}

#[test]
fn who_wants_no_escape_codes_gets_one_line_for_each_stage() {
    for (columns, environment) in [
        (80, ("NO_COLOR", "1")),
        (80, ("TERM", "dumb")),
        (20, ("TERM", "xterm")),
    ] {
        let text = shown(columns, &[environment], &[]);
        assert!(
            !moves_the_cursor(&text),
            "{environment:?} at {columns} columns: {text:?}"
        );
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(
            lines.split_last(),
            Some((&"wrote", &STAGES[..])),
            "{environment:?} at {columns} columns"
        );
    }
}

/// Help and errors too: colours are clap's own, and it asks the same questions.
#[test]
fn the_help_is_plain_for_who_wants_it_plain() {
    let coloured = shown(80, &[], &["edit", "--help"]);
    assert!(
        coloured.contains("\x1b["),
        "a terminal gets the help with effects, else this test shows nothing: {coloured:?}"
    );
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert!(
            !moves_the_cursor(&shown(80, &[environment], &["edit", "--help"])),
            "{environment:?}"
        );
    }
}

/// Faults of a drag file are as wide as the terminal, on lines far longer than it, and in colours for who wants them.
#[test]
fn faults_fit_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("drag.json");
    let long = format!(
        "{{ \"version\": 1, \"comment\": \"{}\", \"regions\": [] }}",
        "a word ".repeat(1000)
    );
    std::fs::write(&file, long).unwrap();
    let arguments = ["validate", file.to_str().unwrap()];
    for columns in [40, 80, 200] {
        let plain = ended(2, columns, &[("NO_COLOR", "1")], &arguments);
        assert!(!moves_the_cursor(&plain), "{plain:?}");
        let line = plain.lines().find(|line| line.starts_with("1 |")).unwrap();
        let width = line.chars().count();
        assert!(
            width <= usize::from(columns) && width * 2 >= usize::from(columns),
            "{columns} columns: {line}"
        );
        assert!(
            plain.contains("/drag.json:1:7043") && line.contains("\"regions\": []"),
            "{plain}"
        );
        let coloured = ended(2, columns, &[], &arguments);
        assert!(
            coloured.contains("\x1b[1m")
                && !ended(2, columns, &[("TERM", "dumb")], &arguments).contains('\x1b'),
            "{coloured:?}"
        );
    }
}
