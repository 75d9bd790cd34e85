//! One edit from its inputs in memory to the edited picture: what every command that edits has in common.
//!
//! [`Prepared`] holds everything that is known before the network runs, [`Prepared::compute`] runs the pipeline, and
//! [`Prepared::composite`] blends the result into the original. The three parts may run on different threads. [`Job`] is the hash of
//! everything that decides the pixels, [`Note`] the report inside the PNG. This module neither reads nor writes files and prints nothing.

mod canvas;
mod diagnostics;
mod job;
mod note;
mod transparency;

pub(crate) use canvas::Canvas;
pub(crate) use diagnostics::DIAGNOSTICS;
pub(crate) use job::{Instruction, Job};
pub(crate) use note::{Note, NoteHeader, ParsedNote};
pub(crate) use transparency::warped;

use crate::diffusion::Seeded;
use crate::digest::sha256;
use crate::drag_file::DragFile;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::method::MethodSettings;
use crate::model::AdditionNotes;
use crate::picture::{Original, Picture};
use crate::pipeline::{AnyPipeline, GivenLora, Outcome, Work};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::warning::Warning;

/// A LoRA file that is used instead of training one.
#[derive(Debug)]
pub(crate) struct OwnLora {
    /// How it is used.
    pub given: GivenLora,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// An edit that is ready for the network.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The drag file.
    pub drag: DragFile,
    /// The picture.
    pub original: Original,
    /// The plan of the edit.
    pub plan: Plan,
    /// Whether the original is kept outside the editable area.
    pub keeps_outside: bool,
    lora: Option<GivenLora>,
    /// SHA-256 of the file of a given LoRA.
    lora_sha256: Option<String>,
    canvas: Canvas,
    /// SHA-256 of the areas that the drag file's shapes resolve to.
    areas: String,
}

/// What identifies an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Hash of everything that decides the pixels.
    pub job: String,
    /// The report for the PNG, as JSON.
    pub note: String,
}

/// What computes an edit, as far as it decides pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Provenance<'a> {
    /// Hash of the model's weights.
    pub weights: &'a str,
    /// Hash of the CLIP; empty where no method needs one.
    pub clip: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// What was added to the model; its numbers are part of the weights' hash.
    pub additions: &'a AdditionNotes,
    /// Kind of device and number format.
    pub numerics: [&'a str; 2],
}

impl<'a> Provenance<'a> {
    /// Returns the hash of the CLIP, for a method that needs one.
    pub(crate) fn clip_of(&self, method: &MethodSettings) -> Option<&'a str> {
        method.needs().clip.then_some(self.clip)
    }
}

impl Prepared {
    /// Prepares an edit: makes the working picture and hashes the areas.
    ///
    /// # Panics
    /// When the plan belongs to a picture of another size.
    pub(crate) fn new(
        drag: DragFile,
        original: Original,
        plan: Plan,
        keeps_outside: bool,
        lora: Option<OwnLora>,
    ) -> Self {
        let canvas = Canvas::new(&original.picture, &plan);
        let areas = areas(&plan);
        Self {
            drag,
            original,
            plan,
            keeps_outside,
            lora_sha256: lora.as_ref().map(|lora| lora.sha256.clone()),
            lora: lora.map(|lora| lora.given),
            canvas,
            areas,
        }
    }

    /// Returns what is known to be doubtful about the edit beside what picture and plan report on their own.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = transparency::invisible_regions(&self.original.picture, &self.plan);
        warnings.extend(self.canvas.details());
        warnings
    }

    /// Returns whether anything moves. If not, the result has the picture's pixels, and no weight is read.
    pub(crate) fn moves(&self) -> bool {
        !self.plan.regions.is_empty()
    }

    /// Returns what identifies this edit when it is computed with this provenance.
    pub(crate) fn identity(&self, provenance: Provenance) -> Identity {
        let job = Job {
            lora: self.lora_sha256.as_deref(),
            ..job(
                &self.drag,
                &self.original.sha256,
                &self.plan,
                &self.areas,
                self.keeps_outside,
                provenance,
            )
        };
        let hash = job.hash();
        let note = Note::new(&job, &hash, self.original.picture.size(), provenance).to_json();
        Identity { job: hash, note }
    }

    /// Returns the pipeline's input. A given LoRA is moved out, so this is called once.
    pub(crate) fn work(&mut self) -> Work<'_> {
        let lora = self.lora.take();
        self.canvas.work(&self.plan, lora)
    }

    /// Runs the pipeline.
    ///
    /// # Errors
    /// As [`AnyPipeline::edit`].
    ///
    /// # Panics
    /// When nothing moves.
    pub(crate) fn compute(
        &mut self,
        pipeline: &mut dyn AnyPipeline,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        let mut noise = Seeded::of(&self.plan.settings.diffusion, &self.plan.settings.lora);
        pipeline.edit(self.work(), &mut noise, progress, interrupt)
    }

    /// Runs the pipeline once for results at all of `degrees`. `each` gets them in this order, with this edit at the result's degree; without a
    /// pipeline, because nothing moves, it gets no outcomes.
    ///
    /// # Errors
    /// As [`AnyPipeline::edit_degrees`], and those of `each`, which end the edit.
    pub(crate) fn compute_degrees(
        &mut self,
        pipeline: Option<&mut dyn AnyPipeline>,
        degrees: &[f64],
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
        each: &mut dyn FnMut(&Self, Option<Outcome>) -> Result<()>,
    ) -> Result<()> {
        let plan = self.plan.clone();
        let lora = self.lora.take();
        let with_work = pipeline.map(|pipeline| (pipeline, self.canvas.work(&plan, lora)));
        let mut given = degrees.iter();
        let mut at_next = |outcome: Option<Outcome>| {
            if let Some(degree) = given.next() {
                self.plan.settings.diffusion.degree = *degree;
            }
            each(self, outcome)
        };
        let Some((pipeline, work)) = with_work else {
            return degrees.iter().try_for_each(|_| at_next(None));
        };
        let mut noise = Seeded::of(&plan.settings.diffusion, &plan.settings.lora);
        pipeline.edit_degrees(
            work,
            degrees,
            &mut noise,
            progress,
            interrupt,
            &mut |outcome| at_next(Some(outcome)),
        )
    }

    /// Returns the result: the outcome blended into the original, or the original without an outcome.
    pub(crate) fn composite(&self, outcome: Option<&Outcome>) -> Picture {
        let Some(outcome) = outcome else {
            return self.original.picture.clone();
        };
        let picture = &self.original.picture;
        self.canvas
            .result(picture, &self.plan, outcome, self.keeps_outside)
    }

    /// Returns the pictures that show how the result `edited` came about, each with its file's name: those of [`DIAGNOSTICS`] that the edit
    /// has.
    pub(crate) fn diagnostics(
        &self,
        outcome: Option<&Outcome>,
        edited: &Picture,
    ) -> Vec<(&'static str, Picture)> {
        self.canvas
            .diagnostics(&self.original.picture, &self.plan, outcome, edited)
    }
}

/// Returns the job hash of an edit from the hash of its picture, without the pixels.
pub(crate) fn job_hash(
    drag: &DragFile,
    image: &str,
    plan: &Plan,
    keeps_outside: bool,
    provenance: Provenance,
) -> String {
    job(drag, image, plan, &areas(plan), keeps_outside, provenance).hash()
}

fn job<'a>(
    drag: &'a DragFile,
    image: &'a str,
    plan: &'a Plan,
    areas: &'a str,
    keeps_outside: bool,
    provenance: Provenance<'a>,
) -> Job<'a> {
    // When nothing moves, the result does not depend on weights.
    let weights = if plan.regions.is_empty() {
        ""
    } else {
        provenance.weights
    };
    let (instruction, settings, numerics) = (drag.into(), &plan.settings, provenance.numerics);
    Job {
        image,
        instruction,
        amount: (!plan.amount.is_whole()).then_some(plan.amount),
        areas,
        method: settings.method.method().name(),
        settings,
        weights,
        clip: provenance.clip_of(&settings.method),
        lora: None,
        composite: keeps_outside,
        numerics,
    }
}

/// Returns the SHA-256 of the areas that the drag file resolves to, because masks in files decide pixels too.
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
