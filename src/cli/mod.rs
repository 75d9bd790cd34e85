//! The command line: one file for each subcommand, with its arguments and its `run`. The only module that uses clap; the flags of settings
//! come from the tables of [`crate::method`] and [`crate::settings`] (`setting_flags`).

mod batch;
mod cache;
mod check;
mod compare;
mod completions;
mod compute;
mod doctor;
mod draw;
mod edit;
mod eval;
mod fetch;
mod import;
mod instruction;
mod limits;
mod man;
mod methods;
mod metric_networks;
mod model;
mod new;
mod planning;
mod preview;
mod program;
mod report;
mod schema;
mod setting_flags;
mod settings;
mod show;
mod validate;

use clap::{Parser, Subcommand};

use crate::error::Result;
use crate::interrupt::Interrupt;

pub use program::main;

/// Edits pictures by dragging: mark a part of a picture and say where it should go, and a diffusion model moves it there.
///
/// A small JSON file, the drag file, describes the drag. It lists regions of the picture, and for each how it moves, turns or stretches.
/// Only the area around the drag changes; everything else keeps its pixels.
#[derive(Debug, Parser)]
#[command(name = "dragnext", version, arg_required_else_help = true, propagate_version = true, max_term_width = 100, after_long_help = EXIT_STATUS)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    failed, or at least one item of a batch or one of several methods failed
  2    not started: invalid input
  75   temporary failure (no network, disk full); try again later
  130  stopped by SIGINT; 143 by SIGTERM
  101  a bug; please report it";

#[derive(Debug, Subcommand)]
enum Command {
    Edit(Box<edit::Arguments>),
    Batch(Box<batch::Arguments>),
    Validate(Box<validate::Arguments>),
    Preview(Box<preview::Arguments>),
    Draw(draw::Arguments),
    New(new::Arguments),
    Import(import::Arguments),
    Methods(methods::Arguments),
    Settings(Box<settings::Arguments>),
    Schema(schema::Arguments),
    Compare(Box<compare::Arguments>),
    Check(Box<check::Arguments>),
    Eval(Box<eval::Arguments>),
    Report(report::Arguments),
    Show(show::Arguments),
    Fetch(fetch::Arguments),
    Doctor(doctor::Arguments),
    Cache(cache::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Cli {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// The error that stopped the subcommand, with its exit status: [`crate::error::Error::exit_status`].
    fn run(self, interrupt: &Interrupt) -> Result<()> {
        match self.command {
            Command::Edit(arguments) => edit::run(&arguments, interrupt),
            Command::Batch(arguments) => batch::run(&arguments, interrupt),
            Command::Compare(arguments) => compare::run(&arguments),
            Command::Check(arguments) => check::run(&arguments, interrupt),
            Command::Eval(arguments) => eval::run(&arguments, interrupt),
            Command::Report(arguments) => report::run(&arguments),
            Command::Show(arguments) => show::run(&arguments),
            Command::Completions(arguments) => completions::run(&arguments),
            Command::Man(arguments) => man::run(&arguments),
            Command::Fetch(arguments) => fetch::run(&arguments, interrupt),
            Command::Doctor(arguments) => doctor::run(&arguments),
            Command::Cache(arguments) => cache::run(&arguments),
            Command::Preview(arguments) => preview::run(&arguments, interrupt),
            Command::Validate(arguments) => validate::run(&arguments),
            Command::Draw(arguments) => draw::run(&arguments),
            Command::New(arguments) => new::run(&arguments),
            Command::Import(arguments) => import::run(&arguments, interrupt),
            Command::Methods(arguments) => methods::run(&arguments),
            Command::Settings(arguments) => settings::run(&arguments),
            Command::Schema(arguments) => schema::run(&arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_has_an_environment_variable_of_its_name() {
        let command = Cli::command();
        let edit = command
            .find_subcommand("edit")
            .expect("edit is a subcommand");
        let variables: Vec<&str> = edit
            .get_arguments()
            .filter_map(|argument| argument.get_env()?.to_str())
            .collect();
        for setting in crate::method::groups()
            .iter()
            .flat_map(|group| group.settings)
        {
            let expected = format!("DRAGNEXT_{}", setting.name.to_uppercase());
            assert!(
                variables.contains(&expected.as_str()),
                "{expected} is missing"
            );
        }
    }
}
