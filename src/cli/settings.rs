//! `dragnext settings`: the settings in force, and where each value comes from.

use std::path::PathBuf;

use super::model::ModelArguments;
use super::setting_flags::SettingFlags;
use crate::drag_file::DragFile;
use crate::error::Result;
use crate::plan::{Choice, Layer, ModelFacts, Origin, in_force};
use crate::report;

/// Shows every setting of the method and of what all methods share.
///
/// For each setting: its value given the flags, environment, drag file and model; where that value comes from; its bounds; its meaning; and its
/// source in the literature.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A drag file whose `method` and `settings` apply.
    #[arg(long, short, value_name = "FILE")]
    drag: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,

    /// Print one line of JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    flags: SettingFlags,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let drag = arguments.drag.as_deref().map(DragFile::read).transpose()?;
    let drag = drag.map(|drag| Choice::from(&drag)).unwrap_or_default();
    let model = arguments.model.open_present()?;
    let facts = ModelFacts::of_present(model.as_ref())?;
    let SettingFlags {
        choice,
        environment,
        ..
    } = &arguments.flags;
    let layers = [
        Layer {
            choice,
            origin: &|name| {
                if environment.contains(&name) {
                    Origin::Environment
                } else {
                    Origin::Flag
                }
            },
        },
        Layer {
            choice: &drag,
            origin: &|_| Origin::DragFile,
        },
        Layer {
            choice: &facts.defaults,
            origin: &|_| Origin::Model,
        },
    ];
    let (method, settings) = in_force(&layers, facts.native_size)?;
    report::print_settings(method, &settings, arguments.json)
}
