//! Reads and plans one edit: picture, drag and model. Every subcommand that handles a single edit starts here.

use std::path::PathBuf;

use super::instruction::{Instruction, InstructionArguments};
use super::model::ModelArguments;
use crate::error::Result;
use crate::geometry::Size;
use crate::model::Model;
use crate::picture::{self, Original};
use crate::plan::{Amount, Choice, Draft, ModelFacts, Plan, Request};
use crate::warning::{Warning, WarningKind};

/// The inputs of one edit.
#[derive(Debug, clap::Args)]
pub(super) struct InputArguments {
    /// The picture; it is never written to.
    pub(super) image: PathBuf,

    #[command(flatten)]
    pub(super) instruction: InstructionArguments,

    /// Edit a JPEG of which rows are missing; they are grey. Without this it is refused.
    #[arg(long)]
    pub(super) accept_damaged: bool,

    #[command(flatten)]
    pub(super) model: ModelArguments,
}

/// Picture and drag, read before the model is opened.
pub(super) struct Inputs {
    image: PathBuf,
    pub(super) instruction: Instruction,
    pub(super) original: Original,
    /// The model: the given one, else the one in the report, else the default.
    pub(super) model: ModelArguments,
    /// Whether the edit is done with several methods, so that what is given may be a setting of another.
    pub(super) are_several: bool,
    /// Warnings about the picture, and about what differs from the report's edit.
    pub(super) warnings: Vec<Warning>,
}

impl InputArguments {
    /// Reads drag and picture.
    ///
    /// # Errors
    /// Those of [`InstructionArguments::read`] and [`picture::read`].
    pub(super) fn read(&self) -> Result<Inputs> {
        let instruction = self.instruction.read()?;
        let original = if self.accept_damaged {
            picture::read_damaged(&self.image)?
        } else {
            picture::read(&self.image)?
        };
        let (model, replaced) = instruction.model(&self.model);
        let mut warnings = original.warnings.clone();
        warnings.extend(replaced);
        warnings.extend(instruction.differences(original.picture.size()));
        Ok(Inputs {
            image: self.image.clone(),
            instruction,
            original,
            model,
            are_several: false,
            warnings,
        })
    }
}

impl Inputs {
    /// Leaves out the picture's EXIF, XMP and text, and the warnings about them.
    pub(super) fn strip_metadata(&mut self) {
        self.original.strip_metadata();
        self.warnings
            .retain(|warning| warning.kind != WarningKind::ImageMetadata);
    }

    /// Resolves and checks the edit, with the choices of the command line. `model` may not be on this machine yet.
    /// The drag is carried out to `amount`, else as far as in the report's edit.
    pub(super) fn plan(
        &self,
        flags: &Choice,
        model: Option<&Model>,
        amount: Option<Amount>,
    ) -> Result<Plan> {
        let facts = ModelFacts::of_present(model)?;
        let above = [flags];
        let mut request = self.request(&above, &facts);
        request.amount = amount.unwrap_or(request.amount);
        let plan = request.plan(self.size());
        let plan = plan.map_err(|error| self.instruction.explain(error))?;
        if let Some(model) = model {
            // The edit itself warns about a prompt that is cut.
            let _cut = plan.check_model(model)?;
        }
        Ok(plan)
    }

    /// Returns whether the method needs a CLIP.
    pub(super) fn needs_clip(&self, flags: &Choice, model: &Model) -> Result<bool> {
        let facts = ModelFacts::of(model)?;
        let settings = self.request(&[flags], &facts).settings()?;
        Ok(settings.method.needs().clip)
    }

    /// Returns the parts of the plan that could be resolved, and the faults.
    pub(super) fn draft(&self, flags: &Choice, model: Option<&Model>) -> Result<Draft> {
        let facts = ModelFacts::of_present(model)?;
        self.request(&[flags], &facts).draft(self.size())
    }

    fn request<'a>(&'a self, above: &'a [&Choice], model: &'a ModelFacts) -> Request<'a> {
        Request {
            drag: &self.instruction.drag,
            above,
            model,
            amount: self.instruction.amount(),
            is_one_of_several: self.are_several,
        }
    }

    fn size(&self) -> Size {
        self.original.picture.size()
    }

    /// Returns all files that are read, which no output may replace.
    pub(super) fn files(&self, model: Option<&Model>) -> Vec<PathBuf> {
        let drag = &self.instruction.drag;
        let model = model.map(Model::files).unwrap_or_default();
        [self.image.clone(), drag.path.clone()]
            .into_iter()
            .chain(drag.mask_paths(&drag.path))
            .chain(model)
            .collect()
    }
}
