//! Progress and messages on a terminal: bars where a line can be redrawn, plain lines elsewhere.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};

use crate::bench::fixture::path as fixture;
use crate::bench::{Bench, Run};

/// Returns what a run that ends with `status` writes to a terminal of this width.
fn terminal(run: Run, columns: u16, environment: &[(&str, &str)], status: i32) -> String {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(Some(&size), None).unwrap();
    let mut command = run.into_command();
    let mut child = command
        .env("TERM", "xterm-256color")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(terminal.slave.try_clone().unwrap())
        .stderr(terminal.slave)
        .spawn()
        .unwrap();
    drop(command); // It holds the program's end of the terminal open.
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    // Reading ends when the program's end is closed, on Linux with an error.
    let mut master = File::from(terminal.master);
    while let Ok(read @ 1..) = master.read(&mut part) {
        bytes.extend_from_slice(&part[..read]);
    }
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(status), "{text}");
    text
}

/// Returns what an edit writes to a terminal. It takes long enough for several redraws.
fn edit(columns: u16, environment: &[(&str, &str)]) -> String {
    let bench = Bench::new();
    let run = bench
        .dragnext(["edit", "-o", "out.png", "--size", "80"])
        .arg(fixture("edit/input.png"))
        .arg("--drag")
        .arg(fixture("edit/drag.json"))
        .arg("--model")
        .arg(fixture("tiny"))
        .args(["--lora-steps", "30"]);
    terminal(run, columns, environment, 0)
}

/// Returns the help of `edit` on a terminal of 80 columns.
fn help(environment: &[(&str, &str)]) -> String {
    let bench = Bench::new();
    let run = bench.dragnext(["edit", "--help"]);
    terminal(run, 80, environment, 0)
}

/// Whether the text moves the cursor: with an escape, or with a carriage return that does not belong to the terminal's line ends.
fn moves_the_cursor(text: &str) -> bool {
    text.replace("\r\n", "\n").contains(['\r', '\x1b', '\x08'])
}

const STAGES: [&str; 7] = [
    "load", "encode", "lora", "invert", "drag", "denoise", "decode",
];

#[test]
fn a_terminal_gets_bars_with_the_remaining_time() {
    for columns in [80, 200] {
        let text = edit(columns, &[]);
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
fn without_escape_codes_each_stage_is_one_line() {
    for (columns, environment) in [
        (80, ("NO_COLOR", "1")),
        (80, ("TERM", "dumb")),
        (20, ("TERM", "xterm")),
    ] {
        let text = edit(columns, &[environment]);
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

/// clap colours help and errors, and obeys the same variables.
#[test]
fn the_help_has_no_escape_codes_without_colours() {
    let coloured = help(&[]);
    assert!(
        coloured.contains("\x1b["),
        "the help on a terminal has effects, or this test proves nothing: {coloured:?}"
    );
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert!(!moves_the_cursor(&help(&[environment])), "{environment:?}");
    }
}

/// Messages about a drag file with a long line are cut to the width of the terminal, and coloured unless disabled.
#[test]
fn faults_fit_the_terminal() {
    let bench = Bench::new();
    let long = format!(
        "{{ \"version\": 1, \"comment\": \"{}\", \"regions\": [] }}",
        "a word ".repeat(1000)
    );
    let file = bench.write("drag.json", long);
    let validate = |columns: u16, environment: &[(&str, &str)]| {
        let run = bench.dragnext(["validate"]).arg(&file);
        terminal(run, columns, environment, 2)
    };
    for columns in [40, 80, 200] {
        let plain = validate(columns, &[("NO_COLOR", "1")]);
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
        let coloured = validate(columns, &[]);
        assert!(
            coloured.contains("\x1b[1m")
                && !validate(columns, &[("TERM", "dumb")]).contains('\x1b'),
            "{coloured:?}"
        );
    }
}
