//! A picture, a drag file and a model, read and planned: what every subcommand begins with that is about one edit.

use std::path::{Path, PathBuf};

use super::model::ModelArguments;
use crate::drag_file::{DragFile, Editable, Shape};
use crate::error::Result;
use crate::model::Model;
use crate::picture::{self, Source};
use crate::plan::{Draft, Plan};
use crate::settings::{Overrides, Settings};

/// What one edit is about.
#[derive(Debug, clap::Args)]
pub(super) struct InputArguments {
    /// The picture; it is never written to.
    pub(super) image: PathBuf,

    /// The drag file: which regions move, and where to.
    #[arg(long, short, value_name = "FILE")]
    pub(super) drag: PathBuf,

    #[command(flatten)]
    pub(super) model: ModelArguments,
}

/// Everything that was read.
pub(super) struct Inputs<'a> {
    arguments: &'a InputArguments,
    pub(super) drag: DragFile,
    pub(super) source: Source,
    pub(super) model: Model,
    settings: Settings,
}

impl InputArguments {
    /// Reads drag file, picture and the model's configuration, and resolves the settings: `flags` before those of the drag file before
    /// those of the model.
    pub(super) fn read(&self, flags: &Overrides) -> Result<Inputs<'_>> {
        let drag = DragFile::read(&self.drag)?;
        let source = picture::read(&self.image)?;
        let model = self.model.open()?;
        let settings = Settings::resolve(&flags.over(&drag.settings).over(model.defaults()))?;
        Ok(Inputs { arguments: self, drag, source, model, settings })
    }
}

impl Inputs<'_> {
    /// The edit's plan.
    pub(super) fn plan(&self) -> Result<Plan> {
        let plan = Plan::new(&self.drag, &self.arguments.drag, self.source.picture.size(), &self.settings, self.model.native_size())?;
        self.model.check(&self.settings)?;
        Ok(plan)
    }

    /// What of the edit can be planned, and what cannot.
    pub(super) fn draft(&self) -> Result<Draft> {
        self.model.check(&self.settings)?;
        Ok(Plan::draft(&self.drag, &self.arguments.drag, self.source.picture.size(), &self.settings, self.model.native_size()))
    }

    /// All files that were read, or will be.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let InputArguments { image, drag, .. } = self.arguments;
        let folder = drag.parent().unwrap_or(Path::new(""));
        let masks = masks(&self.drag).map(|mask| folder.join(mask));
        [image.clone(), drag.clone()].into_iter().chain(masks).chain(self.model.files()).collect()
    }
}

/// The pictures that the drag file names.
fn masks(drag: &DragFile) -> impl Iterator<Item = &Path> {
    let editable = match &drag.editable {
        Editable::Shape(shape) => Some(shape),
        Editable::Swept | Editable::Everything => None,
    };
    drag.regions.iter().map(|region| &region.shape).chain(editable).filter_map(|shape| match shape {
        Shape::Mask { mask } => Some(mask.as_path()),
        Shape::Outline(_) => None,
    })
}
