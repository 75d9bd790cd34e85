//! What decides the pixels of an edit, and its hash.

use serde::Serialize;

use super::VERSION;
use crate::digest::sha256;
use crate::drag_file::{DragFile, DragRegion, Editable};
use crate::settings::Settings;

/// Everything that decides the pixels of an edit. Two jobs with the same hash have the same result.
#[derive(Debug, Serialize)]
pub struct Job<'a> {
    /// SHA-256 of the picture's file.
    pub image: &'a str,
    /// What was asked for.
    pub instruction: Instruction<'a>,
    /// SHA-256 of the areas that the instruction resolved to, masks included.
    pub areas: &'a str,
    /// All settings, resolved.
    pub settings: &'a Settings,
    /// Hash of the model's weights; empty when nothing moves, because then none are read.
    pub weights: &'a str,
    /// SHA-256 of the LoRA file that is used instead of training one.
    pub lora: Option<&'a str>,
    /// Whether the original is kept outside the editable area.
    pub composite: bool,
    /// Kind of device and number format.
    pub numerics: [&'a str; 2],
}

/// A drag file without the settings it brings along, which count only as far as nothing overrides them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Instruction<'a> {
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
    reason = "serde hands the field by reference"
)]
fn is_swept(editable: &&Editable) -> bool {
    **editable == Editable::Swept
}

impl Job<'_> {
    /// SHA-256 over the job and the version of this program.
    ///
    /// # Panics
    /// When the job cannot be written as JSON, which holds for no value of its types.
    pub fn hash(&self) -> String {
        let json = serde_json::to_vec(&(VERSION, self)).expect("a job is text and numbers");
        sha256(&json)
    }
}
