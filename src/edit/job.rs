//! The job of an edit: everything that decides its pixels, and the hash of it.

use serde::Serialize;

use super::VERSION;
use crate::digest::sha256;
use crate::drag_file::{DragFile, DragRegion, Editable};
use crate::plan::{Amount, Settings};

/// Everything that decides the pixels of an edit. Jobs with the same hash have the same result.
#[derive(Debug, Serialize)]
pub(crate) struct Job<'a> {
    /// SHA-256 of the picture's file.
    pub image: &'a str,
    /// The drag file without its settings.
    pub instruction: Instruction<'a>,
    /// How far the drag is carried out, unless that is the whole drag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// SHA-256 of the areas that the instruction resolved to, including masks.
    pub areas: &'a str,
    /// The drag method.
    pub method: &'static str,
    /// All settings, resolved.
    pub settings: &'a Settings,
    /// Hash of the model's weights; empty when no region moves, because then they are not used.
    pub weights: &'a str,
    /// SHA-256 of the CLIP, for a method that needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<&'a str>,
    /// SHA-256 of the LoRA file that is used instead of training one.
    pub lora: Option<&'a str>,
    /// Whether the result keeps the original outside the editable area.
    pub composite: bool,
    /// Kind of device and number format.
    pub numerics: [&'a str; 2],
}

/// A drag file without its settings: those count only where nothing overrides them, and a job has the resolved settings.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Instruction<'a> {
    version: u32,
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "is_swept")]
    editable: &'a Editable,
    regions: &'a [DragRegion],
}

impl<'a> From<&'a DragFile> for Instruction<'a> {
    fn from(drag: &'a DragFile) -> Self {
        Self {
            version: drag.version,
            prompt: &drag.prompt,
            edit_prompt: drag.edit_prompt.as_deref(),
            editable: &drag.editable,
            regions: &drag.regions,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_swept(editable: &&Editable) -> bool {
    **editable == Editable::Swept
}

impl Job<'_> {
    /// Returns the SHA-256 of the job and the version of this program.
    ///
    /// # Panics
    /// When the job cannot be serialised, which is impossible for its types.
    pub(crate) fn hash(&self) -> String {
        let json = serde_json::to_vec(&(VERSION, self)).expect("a job is text and numbers");
        sha256(&json)
    }
}
