//! `dragnext man`: manual pages, generated from the help texts.

use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Cli;
use crate::error::{Error, Result};
use crate::{files, report};

/// Prints the main manual page, or writes the pages of all commands.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// Write one page per command to this folder: dragnext.1, dragnext-edit.1 and so on.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,

    /// Replace existing pages.
    #[arg(long, requires = "dir")]
    overwrite: bool,
}

const EXAMPLE: &str = "\
  dragnext man | man -l -                          show the main page
  dragnext man --dir ~/.local/share/man/man1       install all pages for one user";

/// Prints or writes the pages.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &arguments.dir else {
        return report::print_text(&page(&command)?);
    };
    let pages = family(&command)
        .into_iter()
        .map(|command| Ok((folder.join(name(command)), page(command)?)));
    let pages: Vec<(PathBuf, String)> = pages.collect::<Result<_>>()?;
    for (path, _) in &pages {
        files::check_output(&[], path, arguments.overwrite)?;
    }
    pages.iter().try_for_each(|(path, page)| {
        files::write_verified(path, page.as_bytes(), arguments.overwrite, |_| Ok(()))
    })
}

/// Returns a command and all its visible subcommands.
fn family(command: &Command) -> Vec<&Command> {
    let under = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .flat_map(family);
    std::iter::once(command).chain(under).collect()
}

fn name(command: &Command) -> String {
    format!(
        "{}.1",
        command
            .get_display_name()
            .unwrap_or_else(|| command.get_name())
    )
}

/// Renders a page in roff. Unlike `clap_mangen`, it puts the text after the options under the heading NOTES and keeps its line breaks.
fn page(command: &Command) -> Result<String> {
    let man = Man::new(command.clone().term_width(80)).manual("dragnext");
    let mut page = Vec::new();
    let mut render = || -> std::io::Result<()> {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut page)?;
        }
        if let Some(text) = command.get_after_long_help().or(command.get_after_help()) {
            // Tables and examples keep their line breaks.
            let mut roff = Roff::default();
            roff.control("SH", ["NOTES"])
                .control("nf", [])
                .text([roman(text.to_string())])
                .control("fi", []);
            roff.to_writer(&mut page)?;
        }
        man.render_version_section(&mut page)
    };
    render().map_err(|error| Error::Bug(format!("a manual page cannot be rendered: {error}")))?;
    String::from_utf8(page)
        .map_err(|error| Error::Bug(format!("a manual page is not UTF-8: {error}")))
}
