//! One edit from what was read to the bytes of its result: what every command that edits has in common.
//!
//! It comes in three parts, which may run on threads of their own: [`Prepared`] is all that is known before the network is asked,
//! [`Prepared::compute`] asks it, and [`Prepared::composite`] lays its answer over the original. Where files come from and go to, and
//! what is said about them, is for whoever asks.

mod job;
mod note;

pub use job::{Instruction, Job};
pub use note::{Note, NoteHeader, ParsedNote};

use crate::diffusion::Seeded;
use crate::digest::sha256;
use crate::drag_file::DragFile;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::model::lora::LoraFile;
use crate::picture::{Original, Picture};
use crate::pipeline::{Edits, Outcome, Work};
use crate::plan::Plan;
use crate::progress::Progress;

/// A LoRA that is used instead of training one.
#[derive(Debug)]
pub struct GivenLora {
    /// The file, its numbers still on the disk.
    pub file: LoraFile,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// An edit that is ready for the network.
#[derive(Debug)]
pub struct Prepared {
    /// What was asked for.
    pub drag: DragFile,
    /// The picture.
    pub original: Original,
    /// The edit, resolved.
    pub plan: Plan,
    /// Whether the original is kept outside the editable area.
    pub keeps_outside: bool,
    lora: Option<GivenLora>,
    /// What the network sees (padded height, padded width, 3); empty when nothing moves.
    working: Vec<f32>,
    /// SHA-256 of what the instruction's shapes resolved to.
    areas: String,
}

/// What an edit is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Hash of all that decides the pixels.
    pub job: String,
    /// The same as text, for the PNG.
    pub note: String,
}

/// With what an edit is computed, as far as it decides pixels.
#[derive(Debug, Clone, Copy)]
pub struct Provenance<'a> {
    /// Hash of the model's weights.
    pub weights: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// Kind of device and number format.
    pub numerics: [&'a str; 2],
}

impl Prepared {
    /// Makes the copy of the picture that the network sees.
    ///
    /// # Panics
    /// When the plan belongs to a picture of another size.
    pub fn new(
        drag: DragFile,
        original: Original,
        plan: Plan,
        keeps_outside: bool,
        lora: Option<GivenLora>,
    ) -> Self {
        let working = if plan.regions.is_empty() {
            Vec::new()
        } else {
            original.picture.working(&plan.frame)
        };
        let areas = areas(&plan);
        Self {
            drag,
            original,
            plan,
            keeps_outside,
            lora,
            working,
            areas,
        }
    }

    /// Does anything move? If not, the result has the picture's pixels, and no weight is read.
    pub fn moves(&self) -> bool {
        !self.plan.regions.is_empty()
    }

    /// What this edit is known by, when it is computed with these means.
    pub fn identity(&self, means: Provenance) -> Identity {
        let lora = self.lora.as_ref().map(|lora| lora.sha256.as_str());
        let job = Job {
            lora,
            ..job(
                &self.drag,
                &self.original.sha256,
                &self.plan,
                &self.areas,
                self.keeps_outside,
                means,
            )
        };
        let hash = job.hash();
        let note = Note::new(&job, &hash, self.original.picture.size(), means.model).to_json();
        Identity { job: hash, note }
    }

    /// What the network works on. A given LoRA is handed over.
    pub fn work(&mut self) -> Work<'_> {
        Work {
            plan: &self.plan,
            picture: self.working.clone(),
            lora: self.lora.take().map(|lora| lora.file),
        }
    }

    /// Asks the network.
    ///
    /// # Errors
    /// As [`Edits::edit`].
    ///
    /// # Panics
    /// When nothing moves.
    pub fn compute(
        &mut self,
        editor: &mut dyn Edits,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        let mut noise = Seeded::of(&self.plan.settings);
        editor.edit(self.work(), &mut noise, progress, interrupt)
    }

    /// The result: what the network made of the picture, laid over the original; without an outcome, the original.
    pub fn composite(&self, outcome: Option<&Outcome>) -> Picture {
        let Some(outcome) = outcome else {
            return self.original.picture.clone();
        };
        let blend = if self.keeps_outside {
            self.plan.blend()
        } else {
            None
        };
        self.original
            .picture
            .composite(&self.plan.frame, &outcome.picture, blend.as_deref())
    }
}

/// The job hash of an edit whose picture has this size's plan and this hash, without its pixels.
pub fn job_hash(
    drag: &DragFile,
    image: &str,
    plan: &Plan,
    keeps_outside: bool,
    means: Provenance,
) -> String {
    job(drag, image, plan, &areas(plan), keeps_outside, means).hash()
}

fn job<'a>(
    drag: &'a DragFile,
    image: &'a str,
    plan: &'a Plan,
    areas: &'a str,
    keeps_outside: bool,
    means: Provenance<'a>,
) -> Job<'a> {
    // When nothing moves, no weight decides anything.
    let weights = if plan.regions.is_empty() {
        ""
    } else {
        means.weights
    };
    let (instruction, settings, numerics) = (drag.into(), &plan.settings, means.numerics);
    Job {
        image,
        instruction,
        areas,
        settings,
        weights,
        lora: None,
        composite: keeps_outside,
        numerics,
    }
}

/// Hash of the areas that the instruction resolved to: masks in files decide pixels as much as its text does.
fn areas(plan: &Plan) -> String {
    let masks = plan
        .regions
        .iter()
        .map(|region| &region.mask)
        .chain(&plan.editable_source);
    let cells: Vec<u8> = masks
        .flat_map(|mask| mask.data.iter().map(|inside| u8::from(*inside)))
        .collect();
    sha256(&cells)
}

/// The version of this program, which decides pixels too.
const VERSION: &str = env!("CARGO_PKG_VERSION");
