//! `assets/cli.md`, the reference of the command line, is generated from the program's own help and from its lists of error and
//! warning kinds. After a change of either:
//!
//!     UPDATE=1 cargo test --release --features failpoints,cuda --test cli reference

use std::fmt::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use dragnext::cli::Cli;
use dragnext::error::ErrorKind;
use dragnext::warning::WarningKind;

const COLUMNS: usize = 100;

const HEAD: &str = "# The command line

Generated from the program's own help; `dragnext help COMMAND` prints the same. At the end: all
[kinds of errors](#kinds-of-errors) and [kinds of warnings](#kinds-of-warnings).
";

/// A command's long help, without terminal effects and without what the environment holds just now.
fn section(command: &mut Command, text: &mut String) {
    let name = command
        .get_bin_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(
        text,
        "\n## {name}\n\n```text\n{}\n```\n",
        help.join("\n").trim_end()
    )
    .unwrap();
    for under in command
        .get_subcommands_mut()
        .filter(|under| !under.is_hide_set())
    {
        section(under, text);
    }
}

/// The tables of kinds, as they occur in `--json` output and in records.
fn kinds(text: &mut String) {
    text.push_str(
        "
## Kinds of errors

The field `kind` of an error in `--json` output and in records, and the exit status of a command that ends with it.
Scripts can rely on these names; messages may change.

| kind | status | meaning |
|---|--:|---|
",
    );
    for kind in ErrorKind::ALL {
        let (status, meaning) = (kind.exit_status(), kind.meaning());
        writeln!(text, "| `{kind}` | {status} | {meaning} |").unwrap();
    }
    text.push_str(
        "
## Kinds of warnings

The field `kind` of a warning.

| kind | meaning |
|---|---|
",
    );
    for kind in WarningKind::ALL {
        writeln!(text, "| `{kind}` | {} |", kind.meaning()).unwrap();
    }
}

fn prepared(command: Command) -> Command {
    let command = command
        .term_width(COLUMNS)
        .mut_args(|argument| argument.hide_env_values(true));
    command.mut_subcommands(prepared)
}

#[test]
fn the_reference_is_up_to_date() {
    let mut command = prepared(Cli::command()).disable_help_subcommand(true);
    command.build();
    let mut text = HEAD.to_owned();
    section(&mut command, &mut text);
    kinds(&mut text);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/cli.md");
    let committed = std::fs::read_to_string(&path)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    if committed == text {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
        panic!(
            "assets/cli.md is written anew: look at what changed, commit it, and run this again"
        );
    }
    let differing = committed
        .lines()
        .zip(text.lines())
        .position(|(old, new)| old != new);
    let line = differing.unwrap_or_else(|| committed.lines().count().min(text.lines().count()));
    let of = |text: &str| text.lines().nth(line).unwrap_or("(nothing)").to_owned();
    panic!(
        "line {} of assets/cli.md is not what the help says; UPDATE=1 writes it anew\n  file: {}\n  help: {}",
        line + 1,
        of(&committed),
        of(&text)
    );
}
