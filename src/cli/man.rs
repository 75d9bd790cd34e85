//! `dragnext man`: manual pages, made from the same descriptions as the help.

use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Cli;
use crate::error::{Error, Result};
use crate::{files, report};

/// Prints the manual page of this program, or writes those of all its commands.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// Write one page for each command to this folder: dragnext.1, dragnext-edit.1 and so on.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,

    /// Replace pages that exist.
    #[arg(long, requires = "dir")]
    overwrite: bool,
}

const EXAMPLE: &str = "\
  dragnext man | man -l -                          reads the main page
  dragnext man --dir ~/.local/share/man/man1       installs all pages for one user";

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

/// A command and all commands under it that are shown.
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

/// The page in roff. As the one of `clap_mangen`, but for the heading of the text behind the options.
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
            // Its lines are set by hand: tables and examples.
            let mut roff = Roff::default();
            roff.control("SH", ["NOTES"])
                .control("nf", [])
                .text([roman(text.to_string())])
                .control("fi", []);
            roff.to_writer(&mut page)?;
        }
        man.render_version_section(&mut page)
    };
    render().map_err(|error| Error::Bug(format!("a manual page cannot be made: {error}")))?;
    String::from_utf8(page)
        .map_err(|error| Error::Bug(format!("a manual page is no text: {error}")))
}
