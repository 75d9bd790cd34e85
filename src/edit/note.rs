//! The note inside a result's PNG: everything that decides the pixels, as JSON.
//!
//! It has no times, paths or memory figures, so that the same edit gives the same file.

mod parsed;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::job::{Instruction, Job};
use super::{Provenance, VERSION};
use crate::geometry::Size;
use crate::model::AdditionNotes;
use crate::plan::{Amount, Settings};
pub(crate) use parsed::{NoteHeader, ParsedNote};

/// Version of the format.
const FORMAT: u64 = 1;

/// The note of one edit, ready to be written.
#[derive(Debug, Serialize)]
pub(crate) struct Note<'a> {
    v: u64,
    version: &'static str,
    job: &'a str,
    image: &'a str,
    size: [usize; 2],
    areas: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    weights: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lora: Option<&'a str>,
    #[serde(flatten)]
    additions: &'a AdditionNotes,
    composite: bool,
    device: &'a str,
    dtype: &'a str,
    seed: u64,
    method: &'static str,
    settings: &'a Settings,
    instruction: Instruction<'a>,
}

impl<'a> Note<'a> {
    /// Returns the note of `job` with this hash, on a picture of `size`.
    pub(crate) fn new(
        job: &Job<'a>,
        hash: &'a str,
        size: Size,
        provenance: Provenance<'a>,
    ) -> Self {
        let Provenance {
            model, additions, ..
        } = provenance;
        let Job {
            image,
            instruction,
            amount,
            areas,
            method,
            settings,
            weights,
            clip,
            lora,
            composite,
            numerics: [device, dtype],
        } = *job;
        let (v, version, size) = (FORMAT, VERSION, [size.width, size.height]);
        let seed = settings.diffusion.seed;
        Self {
            v,
            version,
            job: hash,
            image,
            size,
            areas,
            amount,
            model,
            weights,
            clip,
            lora,
            additions,
            composite,
            device,
            dtype,
            seed,
            method,
            settings,
            instruction,
        }
    }

    /// Returns the note as JSON.
    ///
    /// # Panics
    /// When the note cannot be serialised, which is impossible for its types.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a note is text and numbers")
    }
}
