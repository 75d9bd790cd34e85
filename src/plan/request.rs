//! The resolver of an edit: a drag file, settings from several sources, and what is known of the model become [`Settings`] and a [`Plan`].
//!
//! Every command that plans an edit, and the library, resolve through [`Request`]. Sources in falling precedence: the command line with the
//! environment, a line of a manifest, the drag file, the model's own defaults, the method's defaults.

use super::{Amount, Choice, Draft, Plan, Settings};
use crate::drag_file::DragFile;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::method::Misfit;
use crate::model::Model;

/// Shorter side of the pictures that Stable Diffusion 1.5 was trained on, which is assumed while the model is not known.
pub const SD15_SIZE: usize = 512;

/// What planning knows of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFacts {
    /// The model's own defaults.
    pub defaults: Choice,
    /// Shorter side, in pixels, of the pictures the model was trained on.
    pub native_size: usize,
    /// Decoder stages of its UNet; `None` while the model is not known.
    pub decoder_stages: Option<usize>,
}

impl Default for ModelFacts {
    /// A model that is not on this machine yet: Stable Diffusion 1.5 is assumed.
    fn default() -> Self {
        Self {
            defaults: Choice::default(),
            native_size: SD15_SIZE,
            decoder_stages: None,
        }
    }
}

impl ModelFacts {
    /// Reads the facts of a model.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when its `dragnext.json` holds a key that is no setting.
    pub fn of(model: &Model) -> Result<Self> {
        Ok(Self {
            defaults: super::defaults::read(model)?,
            native_size: model.native_size(),
            decoder_stages: Some(model.decoder_stages()),
        })
    }

    /// Reads the facts of a model that may not be on this machine yet.
    ///
    /// # Errors
    /// As [`ModelFacts::of`].
    pub fn of_present(model: Option<&Model>) -> Result<Self> {
        model.map_or_else(|| Ok(Self::default()), Self::of)
    }
}

/// An edit that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The drag file.
    pub drag: &'a DragFile,
    /// Choices that take precedence over the drag file's, the first over the others.
    pub above: &'a [&'a Choice],
    /// The model.
    pub model: &'a ModelFacts,
    /// How far the drag is carried out.
    pub amount: Amount,
    /// Whether the method is one of several, so that what is given for all of them may be a setting of another
    /// ([`check_methods`](super::check_methods)): then settings that the method does not have are left out instead of refused.
    pub is_one_of_several: bool,
}

impl Request<'_> {
    /// Resolves the settings.
    ///
    /// # Errors
    /// [`crate::Error::Setting`].
    pub fn settings(&self) -> Result<Settings> {
        let file = Choice::from(self.drag);
        let above = self
            .above
            .iter()
            .fold(Choice::default(), |above, choice| above.over(choice));
        let given = above.over(&file).over_model(&self.model.defaults);
        Settings::resolve(&if self.is_one_of_several {
            given.of_its_method()
        } else {
            given
        })
    }

    /// Plans the edit of an upright picture of size `picture`.
    ///
    /// # Errors
    /// [`crate::Error::Setting`]; [`crate::Error::Instruction`] with everything in the drag file that does not fit the picture or the method.
    pub fn plan(&self, picture: Size) -> Result<Plan> {
        let Draft { plan, faults } = self.draft(picture)?;
        if !faults.is_empty() {
            let path = self.drag.path.clone();
            return Err(Error::Instruction { path, faults });
        }
        plan.check_settings(self.model.decoder_stages)?;
        Ok(plan)
    }

    /// As [`Request::plan`], with as much of the plan as can be made in spite of faults.
    ///
    /// # Errors
    /// [`crate::Error::Setting`].
    pub fn draft(&self, picture: Size) -> Result<Draft> {
        let settings = self.settings()?;
        let size = self.model.native_size;
        let path = &self.drag.path;
        let mut draft = Plan::draft(self.drag, path, picture, &settings, size, self.amount);
        for misfit in draft.plan.misfits(self.model.decoder_stages) {
            let (kind, pointer, message, hint) = match misfit {
                Misfit::Setting { .. } => continue,
                Misfit::Region {
                    id,
                    key,
                    message,
                    hint,
                } => {
                    let index = self.drag.regions.iter().position(|region| region.id == id);
                    let pointer =
                        index.map_or(String::new(), |index| format!("/regions/{index}{key}"));
                    (ErrorKind::RegionMethod, pointer, message, hint)
                }
                Misfit::Prompt { message, hint } => {
                    let pointer = if self.drag.edit_prompt.is_some() {
                        "/edit_prompt"
                    } else {
                        "/prompt"
                    };
                    let kind = ErrorKind::InstructionPromptMissing;
                    (kind, pointer.to_owned(), message, hint)
                }
            };
            let fault = self.drag.fault(kind, &pointer, message, Some(hint));
            draft.faults.push(fault);
        }
        Ok(draft)
    }
}
