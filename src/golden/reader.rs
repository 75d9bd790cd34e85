//! Reads and plans the edits of golden cases.

use std::path::Path;

use super::Case;
use crate::drag_file::DragFile;
use crate::error::{Error, Result};
use crate::files;
use crate::model::Model;
use crate::picture::{self, Original};
use crate::plan::Plan;
use crate::settings::{Overrides, Settings};

/// Reads cases with the settings of the command line.
#[derive(Debug)]
pub struct CaseReader<'a> {
    /// Settings of the command line and the environment.
    pub flags: &'a Overrides,
    /// Shorter side, in pixels, of the pictures that a model which is not present yet was trained on.
    pub native_size: usize,
}

/// The inputs of a case, and its plan.
pub(super) struct ReadCase {
    pub(super) drag: DragFile,
    pub(super) original: Original,
    pub(super) plan: Plan,
}

impl CaseReader<'_> {
    /// Checks that all cases can be read and planned and that their outputs can be written. Returns whether any edit needs the network.
    ///
    /// # Errors
    /// The error of each case that is wrong; [`Error::Several`] for more than one.
    pub fn check(
        &self,
        cases: &[Case],
        model: Option<&Model>,
        output: &OutputRules,
    ) -> Result<bool> {
        output.check_folder(cases)?;
        let needs_network = |case: &Case| {
            output.check_expected(case)?;
            Ok(!self.read(case, model)?.plan.regions.is_empty())
        };
        let (needs, errors): (Vec<_>, Vec<_>) =
            cases.iter().map(needs_network).partition(Result::is_ok);
        Error::all(errors.into_iter().filter_map(Result::err).collect())?;
        Ok(needs.into_iter().flatten().any(|needs| needs))
    }

    /// Reads and plans a case.
    pub(super) fn read(&self, case: &Case, model: Option<&Model>) -> Result<ReadCase> {
        let drag = DragFile::read(&case.drag)?;
        let original = picture::read(&case.image)?;
        let plan = self.resolve(&drag, &case.drag, &original, model)?;
        Ok(ReadCase {
            drag,
            original,
            plan,
        })
    }

    /// Resolves an edit: settings, moving regions and editable area.
    fn resolve(
        &self,
        drag: &DragFile,
        path: &Path,
        original: &Original,
        model: Option<&Model>,
    ) -> Result<Plan> {
        let defaults = model
            .map(|model| model.defaults().clone())
            .unwrap_or_default();
        let native_size = model.map_or(self.native_size, Model::native_size);
        let settings = Settings::resolve(&self.flags.over(&drag.settings).over(&defaults))?;
        let plan = Plan::new(drag, path, original.picture.size(), &settings, native_size)?;
        if let Some(model) = model {
            model.check(&settings, &plan.prompt)?;
        }
        Ok(plan)
    }
}

/// Where pictures are written, for the checks before any edit.
#[derive(Debug)]
pub struct OutputRules<'a> {
    /// The folder for pictures of cases that differ, if it was given.
    pub folder: Option<&'a Path>,
    /// Whether expected pictures are replaced.
    pub bless: bool,
}

impl OutputRules<'_> {
    fn check_folder(&self, cases: &[Case]) -> Result<()> {
        match (self.folder, cases.first()) {
            (Some(folder), Some(first)) => files::check_output(&[], &first.triptych(folder), true),
            _ => Ok(()),
        }
    }

    fn check_expected(&self, case: &Case) -> Result<()> {
        if !self.bless {
            return Ok(());
        }
        let inputs = [case.image.clone(), case.drag.clone()];
        files::check_output(&inputs, &case.expected, true)
    }
}
