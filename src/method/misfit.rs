//! Why an edit does not fit a method.

use crate::geometry::Frame;
use crate::mask::Mask;
use crate::region::Region;
use crate::settings::DiffusionSettings;

/// What a plan tells a method that has to say whether it fits.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The regions that move.
    pub regions: &'a [Region],
    /// How the picture lies in the latent.
    pub frame: &'a Frame,
    /// What the edited picture shows: the drag file's `edit_prompt`, else its prompt.
    pub goal: &'a str,
    /// Decoder stages of the model; `None` while the model is not known.
    pub decoder_stages: Option<usize>,
    /// The settings of the diffusion process.
    pub diffusion: &'a DiffusionSettings,
    /// Where the working picture may change; `None` is everywhere.
    pub editable: Option<&'a Mask>,
}

/// Why an edit does not fit a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// A setting's value.
    Setting {
        /// The setting's name, as in files.
        name: &'static str,
        /// The value, or the part of it that does not fit.
        value: String,
        /// Predicate of the sentence about the value, such as `is no decoder stage of this model`.
        reason: String,
    },
    /// A region.
    Region {
        /// Its `id`.
        id: String,
        /// Key of the region in the drag file, such as `/target`.
        key: &'static str,
        /// Reason.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The text that the method follows.
    Prompt {
        /// Reason.
        message: String,
        /// What to do.
        hint: String,
    },
}
