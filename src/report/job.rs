//! What decides the pixels of an edit, and its hash.

use serde::Serialize;

use crate::digest::sha256;
use crate::drag_file::DragFile;
use crate::settings::Settings;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything that decides the pixels of an edit. Two jobs with the same hash have the same result.
#[derive(Debug, Serialize)]
pub struct Job<'a> {
    /// SHA-256 of the picture's file.
    pub image: &'a str,
    /// The drag file, parsed.
    pub instruction: &'a DragFile,
    /// SHA-256 of the areas that the instruction resolved to, masks included.
    pub areas: &'a str,
    /// All settings, resolved.
    pub settings: &'a Settings,
    /// Hash of the model's weights.
    pub weights: &'a str,
    /// SHA-256 of the LoRA file that is used instead of training one.
    pub lora: Option<&'a str>,
    /// Whether the original is kept outside the editable area.
    pub composite: bool,
    /// Kind of device and number format.
    pub numerics: [&'a str; 2],
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

/// The note inside the PNG: no times, paths or memory.
#[derive(Debug, Serialize)]
pub struct Note<'a> {
    v: u8,
    version: &'static str,
    job: &'a str,
    model: &'a str,
    seed: u64,
    settings: &'a Settings,
    instruction: &'a DragFile,
}

impl<'a> Note<'a> {
    /// The note about `job`, whose hash is `hash`, made with the model called `model`.
    pub fn new(job: &Job<'a>, hash: &'a str, model: &'a str) -> Self {
        let (settings, instruction) = (job.settings, job.instruction);
        Self { v: 1, version: VERSION, job: hash, model, seed: settings.seed, settings, instruction }
    }

    /// The note as JSON.
    ///
    /// # Panics
    /// When the note cannot be written as JSON, which holds for no value of its types.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a note is text and numbers")
    }
}
