//! README.md and assets/guide.md: their drag files are valid, their commands and flags exist, their links have targets.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Command, CommandFactory, Parser};
use dragnext::cli::Cli;
use dragnext::drag_file::DragFile;
use dragnext::error::{BUG, FAILED, NOT_STARTED, RETRY};

const README: &str = include_str!("../../README.md");
const GUIDE: &str = include_str!("../../assets/guide.md");
const CI: &str = include_str!("../../.ci/run");

/// Returns the contents of the fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let fenced = |text: &str| -> Vec<String> {
        let blocks = text.split("\n```").skip(1).step_by(2);
        let blocks = blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")));
        blocks.map(str::to_owned).collect()
    };
    [fenced(README), fenced(GUIDE)].concat()
}

/// Returns a document without its fenced blocks.
fn without_blocks(text: &str) -> String {
    text.split("\n```").step_by(2).collect()
}

/// Returns README and guide without their fenced blocks.
fn prose() -> String {
    [README, GUIDE].map(without_blocks).concat()
}

/// Returns the lines indented by four spaces: the commands.
fn indented() -> Vec<String> {
    let prose = prose();
    prose
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| !line.starts_with(' '))
        .map(str::to_owned)
        .collect()
}

/// Returns the texts between backticks.
fn code() -> Vec<String> {
    prose()
        .lines()
        .flat_map(|line| {
            line.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn flags(command: &Command) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
    own.chain(command.get_subcommands().flat_map(flags))
        .chain(["--help".into(), "--version".into()])
        .collect()
}

fn variables(command: &Command) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()));
    // Variables without a flag are documented after the help.
    let explained = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let explained = explained
        .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .filter(|word| word.starts_with("DRAGNEXT_"));
    let explained: Vec<String> = explained.map(str::to_owned).collect();
    own.chain(explained)
        .chain(command.get_subcommands().flat_map(variables))
        .collect()
}

#[test]
fn drag_files_are_valid() {
    let blocks = blocks("json");
    let drags: Vec<&String> = blocks
        .iter()
        .filter(|block| block.contains("\"regions\""))
        .collect();
    assert!(!drags.is_empty(), "the README shows a drag file");
    for block in &blocks {
        serde_json::from_str::<serde_json::Value>(block)
            .unwrap_or_else(|error| panic!("{error}:\n{block}"));
    }
    for drag in drags {
        DragFile::parse(drag.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}:\n{drag}"));
    }
}

#[test]
fn commands_are_valid() {
    let typed = indented().into_iter().chain(code());
    let commands: Vec<Vec<String>> = typed
        .filter_map(|line| {
            let line = line.replace("cargo run --release -- ", "dragnext ");
            let words = line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>();
            (words.len() > 1 && words[0] == "dragnext").then_some(words)
        })
        .collect();
    assert!(
        commands.len() >= 3,
        "the README shows commands: {commands:?}"
    );
    for words in commands {
        if let Err(error) = Cli::try_parse_from(&words)
            && !matches!(
                error.kind(),
                clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
            )
        {
            panic!("`{}`: {error}", words.join(" "));
        }
    }
}

#[test]
fn flags_and_variables_exist() {
    let (flags, variables) = (flags(&Cli::command()), variables(&Cli::command()));
    let other_program = |text: &&String| {
        ["cargo ", "python3 "]
            .iter()
            .any(|name| text.starts_with(name))
    };
    let mut seen = 0;
    for text in code()
        .iter()
        .chain(&indented())
        .filter(|text| !other_program(text))
    {
        for word in text.split_whitespace() {
            if word.starts_with("--") && word.len() > 2 {
                assert!(flags.contains(word), "`{word}` is not a flag");
                seen += 1;
            }
            if word.starts_with("DRAGNEXT_") && !word.ends_with('*') {
                let name = word.split('=').next().unwrap();
                assert!(
                    variables.contains(name),
                    "`{name}` is not a variable of the program"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "the README names flags");
}

#[test]
fn links_and_pictures_have_targets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for (text, folder) in [(README, root.to_path_buf()), (GUIDE, root.join("assets"))] {
        let links = text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap());
        let pictures = text
            .split("src=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap());
        for target in links
            .chain(pictures)
            .filter(|target| !target.contains("://"))
        {
            let (path, title) = target.split_once('#').unwrap_or((target, ""));
            let linked = if path.is_empty() {
                text.to_owned()
            } else {
                assert!(folder.join(path).exists(), "{path} does not exist");
                std::fs::read_to_string(folder.join(path)).unwrap_or_default()
            };
            assert!(
                title.is_empty() || anchors(&linked).contains(title),
                "{path} has no heading #{title}"
            );
            seen += 1;
        }
    }
    assert!(seen > 10, "the README has links and pictures");
}

/// Returns the anchors of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |title: &str| {
        let kept = title
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .collect::<String>();
        kept.trim().replace(' ', "-")
    };
    let headings = without_blocks(text);
    headings
        .lines()
        .filter_map(|line| Some(anchor(line.strip_prefix('#')?.trim_start_matches('#'))))
        .collect()
}

/// The first two commands are those that a new user types, so CI runs both.
#[test]
fn ci_runs_the_first_two_commands() {
    let commands = indented();
    let [first, second, ..] = commands.as_slice() else {
        panic!("the README shows at least two commands")
    };
    assert!(first.starts_with("cargo run --release -- edit "), "{first}");
    assert!(second.starts_with("cargo test "), "{second}");
    for command in [first, second] {
        assert!(
            CI.lines().any(|line| line.trim() == command.as_str()),
            "`{command}` is not in .ci/run"
        );
    }
}

#[test]
fn exit_statuses_are_those_of_the_program() {
    for (status, meaning) in [
        (0, "done"),
        (FAILED, "failed"),
        (NOT_STARTED, "not started"),
        (RETRY, "temporary failure"),
        (BUG, "a bug"),
    ] {
        assert!(
            GUIDE.contains(&format!("{status} {meaning}")),
            "the guide says that {status} is `{meaning}`"
        );
    }
    assert!(GUIDE.contains("130 and 143 stopped by a signal"));
}
