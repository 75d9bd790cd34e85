//! A picture, an instruction and a model, read and planned: what every subcommand begins with that is about one edit.

use std::path::PathBuf;

use super::instruction::{Instruction, InstructionArguments};
use super::model::ModelArguments;
use crate::error::Result;
use crate::geometry::Size;
use crate::model::Model;
use crate::picture::{self, Original};
use crate::plan::{Choice, Draft, ModelFacts, Plan, Request};
use crate::warning::Warning;

/// What one edit is about.
#[derive(Debug, clap::Args)]
pub(super) struct InputArguments {
    /// The picture; it is never written to.
    pub(super) image: PathBuf,

    #[command(flatten)]
    pub(super) instruction: InstructionArguments,

    #[command(flatten)]
    pub(super) model: ModelArguments,
}

/// Everything that was read before a model is looked for.
pub(super) struct Inputs {
    image: PathBuf,
    pub(super) instruction: Instruction,
    pub(super) original: Original,
    /// Which model: the one that was given, else the one that the instruction names.
    pub(super) model: ModelArguments,
    /// What is doubtful about the picture and about doing again what was done before.
    pub(super) warnings: Vec<Warning>,
}

impl InputArguments {
    /// Reads the instruction and the picture.
    pub(super) fn read(&self) -> Result<Inputs> {
        let instruction = self.instruction.read()?;
        let original = picture::read(&self.image)?;
        let (model, replaced) = instruction.model(&self.model);
        let mut warnings = original.warnings.clone();
        warnings.extend(replaced);
        warnings.extend(instruction.differences(original.picture.size()));
        Ok(Inputs {
            image: self.image.clone(),
            instruction,
            original,
            model,
            warnings,
        })
    }
}

impl Inputs {
    /// Resolves and checks the edit, with the choices of the command line. `model` may not be on this machine yet.
    pub(super) fn plan(&self, flags: &Choice, model: Option<&Model>) -> Result<Plan> {
        let facts = ModelFacts::of_present(model)?;
        let plan = self.request(&[flags], &facts).plan(self.size());
        let plan = plan.map_err(|error| self.instruction.explain(error))?;
        if let Some(model) = model {
            model.check_prompt(&plan.prompt)?;
        }
        Ok(plan)
    }

    /// Returns as much of the plan as can be made, with the faults.
    pub(super) fn draft(&self, flags: &Choice, model: Option<&Model>) -> Result<Draft> {
        let facts = ModelFacts::of_present(model)?;
        self.request(&[flags], &facts).draft(self.size())
    }

    fn request<'a>(&'a self, above: &'a [&Choice], model: &'a ModelFacts) -> Request<'a> {
        Request {
            drag: &self.instruction.drag,
            above,
            model,
        }
    }

    fn size(&self) -> Size {
        self.original.picture.size()
    }

    /// All files that were read, or will be.
    pub(super) fn files(&self, model: Option<&Model>) -> Vec<PathBuf> {
        let Instruction { drag, path, .. } = &self.instruction;
        let model = model.map(Model::files).unwrap_or_default();
        [self.image.clone(), path.clone()]
            .into_iter()
            .chain(drag.mask_paths(path))
            .chain(model)
            .collect()
    }
}
