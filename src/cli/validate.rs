//! `dragnext validate`: everything that is wrong with drag files, before any edit.

use std::path::{Path, PathBuf};

use super::model::ModelArguments;
use super::planning::native_size;
use crate::drag_file::DragFile;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::model::Model;
use crate::plan::{Plan, check_masks, unused_edit_prompt};
use crate::report::{self, Moved, Verdict};
use crate::settings::{Overrides, Settings};
use crate::warning::Warning;
use crate::{picture, report::print_warnings};

/// Says what is wrong with drag files: every fault of every file.
///
/// With a picture, also what does not fit it: points outside, regions that vanish, masks of another size. No weights are read.
/// The exit status is 2 when any file is wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Drag files; `-` is stdin.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The picture that they are for.
    #[arg(long, short, value_name = "IMAGE")]
    image: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,

    /// Print one line of JSON for each file.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: Overrides,
}

/// What the files are checked against.
struct Target {
    size: Size,
    /// `None` where it would have to be fetched.
    model: Option<Model>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.target()?;
    let mut errors = Vec::new();
    for file in &arguments.files {
        let name = if file.as_os_str() == "-" {
            Path::new("stdin")
        } else {
            file
        };
        let mut verdict = Verdict::new(name);
        let checked = arguments.check(file, name, target.as_ref(), &mut verdict);
        if let Err(error) = &checked {
            verdict.fail(error);
        }
        if arguments.json {
            report::print_json(&verdict)?;
        } else if checked.is_ok() {
            print_warnings(&named(name, &verdict.warnings));
            report::print_verdict(&verdict)?;
        }
        errors.extend(checked.err());
    }
    match errors.len() {
        0 => Ok(()),
        1 => errors.into_iter().try_for_each(Err),
        _ => Err(Error::Several { errors }),
    }
}

impl Arguments {
    fn target(&self) -> Result<Option<Target>> {
        let Some(image) = &self.image else {
            return Ok(None);
        };
        Ok(Some(Target {
            size: picture::size(image)?,
            model: self.model.open_present()?,
        }))
    }

    fn check(
        &self,
        file: &Path,
        name: &Path,
        target: Option<&Target>,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let drag = if file.as_os_str() == "-" {
            DragFile::read_from(std::io::stdin(), name)?
        } else {
            DragFile::read(file)?
        };
        verdict.count = Some(drag.regions.len());
        let Some(Target { size, model }) = target else {
            Settings::resolve(&self.settings.over(&drag.settings))?;
            check_masks(&drag, name)?;
            verdict.warnings.extend(unused_edit_prompt(&drag));
            return Ok(());
        };
        let defaults = model
            .as_ref()
            .map(|model| model.defaults().clone())
            .unwrap_or_default();
        let settings = Settings::resolve(&self.settings.over(&drag.settings).over(&defaults))?;
        let plan = Plan::new(&drag, name, *size, &settings, native_size(model.as_ref()))?;
        if let Some(model) = model {
            model.check(&settings, &plan.prompt)?;
        }
        verdict.working = Some([plan.frame.content.width, plan.frame.content.height]);
        let moved = |region: &crate::region::Region| Moved {
            id: region.id.clone(),
            moved_px: region.moved_px(),
        };
        verdict.regions = plan.regions.iter().chain(&plan.still).map(moved).collect();
        verdict.warnings = plan.warnings;
        Ok(())
    }
}

/// Warnings with the file that they are about, since there may be others.
fn named(file: &Path, warnings: &[Warning]) -> Vec<Warning> {
    let name = |warning: &Warning| Warning {
        message: format!("{}: {}", file.display(), warning.message),
        ..warning.clone()
    };
    warnings.iter().map(name).collect()
}
