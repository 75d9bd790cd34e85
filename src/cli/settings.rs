//! `dragnext settings`, and how settings are taken from the command line.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::model::ModelArguments;
use super::planning::native_size;
use crate::drag_file::DragFile;
use crate::error::Result;
use crate::report;
use crate::settings::{DESCRIPTIONS, Layer, Origin, Overrides, in_force};

/// Shows every number of the method.
///
/// For each setting: its value with the flags, the environment, the drag file and the model that are given, where that value came from,
/// its bounds, what it does, and its source in the literature.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A drag file whose `settings` count.
    #[arg(long, short, value_name = "FILE")]
    drag: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,

    /// Print one line of JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    given: Given,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let drag = arguments.drag.as_deref().map(DragFile::read).transpose()?;
    let drag = drag.map(|drag| drag.settings).unwrap_or_default();
    let model = arguments.model.open_present()?;
    let defaults = model
        .as_ref()
        .map(|model| model.defaults().clone())
        .unwrap_or_default();
    let layers = [
        Layer {
            given: &arguments.given.settings,
            origin: &|name| arguments.given.origin(name),
        },
        Layer {
            given: &drag,
            origin: &|_| Origin::DragFile,
        },
        Layer {
            given: &defaults,
            origin: &|_| Origin::Model,
        },
    ];
    report::print_settings(
        &in_force(&layers, native_size(model.as_ref()))?,
        arguments.json,
    )
}

/// Settings of the command line and of the environment, told apart.
#[derive(Debug, Default)]
struct Given {
    settings: Overrides,
    /// Names of those that are only in the environment.
    environment: Vec<&'static str>,
}

impl Given {
    fn origin(&self, name: &str) -> Origin {
        if self.environment.contains(&name) {
            Origin::Environment
        } else {
            Origin::Flag
        }
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> std::result::Result<Self, clap::Error> {
        let in_environment =
            |name: &&str| matches.value_source(name) == Some(ValueSource::EnvVariable);
        let environment = DESCRIPTIONS
            .iter()
            .map(|setting| setting.name)
            .filter(in_environment)
            .collect();
        Ok(Self {
            settings: Overrides::from_arg_matches_mut(matches)?,
            environment,
        })
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        Overrides::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Overrides::augment_args_for_update(command)
    }
}
