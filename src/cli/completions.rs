//! `dragnext completions`: completion scripts for shells.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::error::Result;
use crate::report;

/// Prints the completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLE: &str = "\
Installation for one user:
  bash        dragnext completions bash > ~/.local/share/bash-completion/completions/dragnext
  zsh         dragnext completions zsh > _dragnext, in a folder of $fpath
  fish        dragnext completions fish > ~/.config/fish/completions/dragnext.fish
  elvish      dragnext completions elvish >> ~/.config/elvish/rc.elv
  powershell  dragnext completions powershell >> $PROFILE";

/// Prints the script.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "dragnext",
        &mut script,
    );
    report::print_text(&String::from_utf8_lossy(&script))
}
