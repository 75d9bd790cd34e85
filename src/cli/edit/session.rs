//! The edits of one run of `dragnext edit`: they share the model, which the first one that moves something loads, and the cache.

use super::Arguments;
use crate::cli::cache::{use_cache, use_memory};
use crate::cli::planning::Inputs;
use crate::device::Compute;
use crate::edit::{Identity, Prepared, Provenance};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::model::{AdditionNotes, Model};
use crate::picture::Picture;
use crate::pipeline::{AnyPipeline, Outcome};
use crate::plan::Plan;
use crate::progress::{self, Progress};
use crate::report::Record;

/// The model, and where it computes.
pub(super) struct Session<'a> {
    arguments: &'a Arguments,
    compute: Compute,
    name: String,
    /// What was added to the model.
    additions: AdditionNotes,
    /// Hash of the CLIP, where the method needs one.
    clip: String,
    /// The model until an edit needs its weights.
    model: Option<Model>,
    /// The model with its weights, once an edit needs them.
    pipeline: Option<Box<dyn AnyPipeline>>,
}

/// What one edit gave.
pub(super) struct EditResult {
    pub(super) prepared: Prepared,
    /// `None` when nothing moves.
    pub(super) outcome: Option<Outcome>,
    pub(super) picture: Picture,
    /// The report for the PNG, as JSON.
    pub(super) note: String,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        arguments: &'a Arguments,
        compute: Compute,
        model: Model,
        needs_clip: bool,
    ) -> Result<Self> {
        let clip = if needs_clip {
            model.clip()?.sha256()?
        } else {
            String::new()
        };
        Ok(Self {
            arguments,
            compute,
            name: model.name(),
            additions: model.additions(),
            clip,
            model: Some(model),
            pipeline: None,
        })
    }

    /// Returns whether loading the weights failed.
    pub(super) fn is_broken(&self) -> bool {
        self.model.is_none() && self.pipeline.is_none()
    }

    pub(super) fn model_name(&self) -> &str {
        &self.name
    }

    /// Does one edit, and tells `record`.
    pub(super) fn edit(
        &mut self,
        inputs: &Inputs,
        plan: Plan,
        record: &mut Record,
        interrupt: &Interrupt,
    ) -> Result<EditResult> {
        let (arguments, instruction) = (self.arguments, &inputs.instruction);
        let lora = arguments.lora()?;
        let numerics = self.compute.numerics;
        let on = self.compute.names();
        record.planned(&plan, on, &self.name, &self.additions);
        record.warnings.extend(self.compute.warning.clone());
        let hash = lora.as_ref().map(|lora| lora.sha256.as_str());
        record.warnings.extend(instruction.other_lora(hash));

        let keeps_outside = !(arguments.no_composite || instruction.takes_every_pixel());
        let (drag, original) = (instruction.drag.clone(), inputs.original.clone());
        let mut prepared = Prepared::new(drag, original, plan, keeps_outside, lora);
        let mut progress = progress::for_terminal(arguments.quiet);
        // When nothing moves, the output is the input and no weight is read.
        if let Some(model) = self.model.take_if(|_| prepared.moves()) {
            self.pipeline = Some(self.load(model, &mut *progress, interrupt)?);
        }
        let mut pipeline = self.pipeline.as_deref_mut().filter(|_| prepared.moves());
        let weights = pipeline
            .as_ref()
            .map(|pipeline| pipeline.digest())
            .unwrap_or_default();
        if pipeline.is_some() {
            record
                .warnings
                .extend(instruction.other_weights(&weights, &self.additions));
            record.warnings.extend(instruction.other_clip(&self.clip));
        }
        let Identity { job, note } = prepared.identity(Provenance {
            weights: &weights,
            clip: &self.clip,
            model: &self.name,
            additions: &self.additions,
            numerics,
        });
        record.job = Some(job);
        let outcome = pipeline
            .as_mut()
            .map(|pipeline| prepared.compute(&mut **pipeline, &mut *progress, interrupt))
            .transpose()?;
        if let Some(outcome) = &outcome {
            record.computed(outcome);
        }
        Ok(EditResult {
            picture: prepared.composite(outcome.as_ref()),
            prepared,
            outcome,
            note,
        })
    }

    /// Reads the weights, and lets the edits use the cache. Several edits of one picture share what they compute even without one.
    fn load(
        &self,
        model: Model,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn AnyPipeline>> {
        let arguments = self.arguments;
        let mut pipeline = self.compute.load(model, progress, interrupt)?;
        if arguments.has_several_results() {
            use_memory(&mut *pipeline, !arguments.no_cache)?;
        } else if !arguments.no_cache {
            use_cache(&mut *pipeline)?;
        }
        Ok(pipeline)
    }
}
