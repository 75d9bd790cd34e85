//! The resolver of an edit: a drag file, settings from several sources, and what is known of the model become [`Settings`] and a [`Plan`].
//!
//! Every command that plans an edit, and the library, resolve through [`Request`]. Sources in falling precedence: the command line with the
//! environment, a line of a manifest, the drag file, the model's own defaults, the method's defaults.

use std::path::Path;

use super::{Choice, Draft, Plan, Settings};
use crate::drag_file::DragFile;
use crate::error::Result;
use crate::geometry::Size;
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
}

/// An edit that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The drag file.
    pub drag: &'a DragFile,
    /// Its path, for messages; masks are found relative to its folder.
    pub path: &'a Path,
    /// Choices that take precedence over the drag file's, the first over the others.
    pub above: &'a [&'a Choice],
    /// The model.
    pub model: &'a ModelFacts,
}

impl Request<'_> {
    /// Resolves the settings.
    ///
    /// # Errors
    /// [`crate::Error::Setting`].
    pub fn settings(&self) -> Result<Settings> {
        let file = Choice {
            method: self.drag.method,
            values: self.drag.settings.clone(),
        };
        let above = self
            .above
            .iter()
            .fold(Choice::default(), |above, choice| above.over(choice));
        Settings::resolve(&above.over(&file).over_model(&self.model.defaults))
    }

    /// Plans the edit of an upright picture of size `picture`.
    ///
    /// # Errors
    /// [`crate::Error::Setting`]; [`crate::Error::Instruction`] with everything in the drag file that does not fit the picture or the method.
    pub fn plan(&self, picture: Size) -> Result<Plan> {
        let Draft { plan, faults } = self.draft(picture)?;
        plan.check_method(self.model.decoder_stages)?;
        if faults.is_empty() {
            Ok(plan)
        } else {
            Err(crate::Error::Instruction {
                path: self.path.to_owned(),
                faults,
            })
        }
    }

    /// As [`Request::plan`], with as much of the plan as can be made in spite of faults.
    ///
    /// # Errors
    /// [`crate::Error::Setting`].
    pub fn draft(&self, picture: Size) -> Result<Draft> {
        let settings = self.settings()?;
        Ok(Plan::draft(
            self.drag,
            self.path,
            picture,
            &settings,
            self.model.native_size,
        ))
    }
}
