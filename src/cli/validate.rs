//! `dragnext validate`: checks drag files without an edit.

use std::path::{Path, PathBuf};

use super::instruction::{STDIN, read_drag_file};
use super::model::ModelArguments;
use super::setting_flags::SettingFlags;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::model::Model;
use crate::plan::{Amount, ModelFacts, Request, check_masks, long_prompts, unused_edit_prompt};
use crate::report::{self, RegionMotion, Validation};
use crate::warning::Warning;
use crate::{picture, report::print_warnings};

/// Checks drag files and reports every fault of every file.
///
/// With --image, also reports what does not fit the picture: points outside, regions that are too small, masks of another size.
/// No weights are read. The exit status is 2 when a file has faults.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Drag files; `-` reads stdin.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The picture to check them against.
    #[arg(long, short, value_name = "IMAGE")]
    image: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,

    /// Print one line of JSON for each file.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: SettingFlags,
}

/// The picture and the model that the files are checked against.
struct Target {
    size: Size,
    /// `None` when the model is not on this machine.
    model: Option<Model>,
}

/// Checks the files and prints the result of each.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.target()?;
    let mut errors = Vec::new();
    for file in &arguments.files {
        let name = if file.as_os_str() == "-" {
            Path::new(STDIN)
        } else {
            file
        };
        let mut validation = Validation::new(name);
        let checked = arguments.check(file, name, target.as_ref(), &mut validation);
        if let Err(error) = &checked {
            validation.fail(error);
        }
        if arguments.json {
            report::print_json(&validation)?;
        } else if checked.is_ok() {
            print_warnings(&named(name, &validation.warnings));
            report::print_validation(&validation)?;
        }
        errors.extend(checked.err());
    }
    Error::all(errors)
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
        validation: &mut Validation,
    ) -> Result<()> {
        let drag = read_drag_file(file)?;
        validation.count = Some(drag.regions.len());
        let model = target.and_then(|target| target.model.as_ref());
        let request = Request {
            drag: &drag,
            above: &[&self.settings.choice],
            model: &ModelFacts::of_present(model)?,
            amount: Amount::WHOLE,
            is_one_of_several: false,
        };
        let Some(Target { size, .. }) = target else {
            let settings = request.settings()?;
            check_masks(&drag, name)?;
            let unused = unused_edit_prompt(&drag, &settings.method);
            validation.warnings.extend(unused);
            validation
                .warnings
                .extend(long_prompts(&drag, &settings.method));
            return Ok(());
        };
        let plan = request.plan(*size)?;
        let cut = match model {
            Some(model) => plan.check_model(model)?,
            None => long_prompts(&drag, &plan.settings.method),
        };
        validation.working = Some([plan.frame.content.width, plan.frame.content.height]);
        validation.regions = plan
            .regions
            .iter()
            .chain(&plan.still)
            .map(RegionMotion::from)
            .collect();
        validation.warnings = plan.warnings;
        validation.warnings.extend(cut);
        Ok(())
    }
}

/// Returns the warnings with the name of their file, since there may be several files.
fn named(file: &Path, warnings: &[Warning]) -> Vec<Warning> {
    let name = |warning: &Warning| Warning {
        message: format!("{}: {}", file.display(), warning.message),
        ..warning.clone()
    };
    warnings.iter().map(name).collect()
}
