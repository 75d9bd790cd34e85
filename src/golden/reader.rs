//! Reads and plans the edits of golden cases.

use std::path::Path;

use super::Case;
use crate::drag_file::DragFile;
use crate::error::{Error, Result};
use crate::files;
use crate::model::Model;
use crate::picture::{self, Original};
use crate::plan::{Amount, Choice, ModelFacts, Plan, Request};

/// Reads cases with the settings of the command line.
#[derive(Debug)]
pub(crate) struct CaseReader<'a> {
    /// Method and settings of the command line and the environment.
    pub flags: &'a Choice,
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
    pub(crate) fn check(
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
        let request = Request {
            drag: &drag,
            above: &[self.flags],
            model: &ModelFacts::of_present(model)?,
            amount: Amount::WHOLE,
            is_one_of_several: false,
        };
        let plan = request.plan(original.picture.size())?;
        if let Some(model) = model {
            let _cut = plan.check_model(model)?;
        }
        Ok(ReadCase {
            drag,
            original,
            plan,
        })
    }
}

/// Where pictures are written, for the checks before any edit.
#[derive(Debug)]
pub(crate) struct OutputRules<'a> {
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
