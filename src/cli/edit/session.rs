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
use crate::pipeline::{AnyPipeline, Outcome, Trained};
use crate::plan::{Degree, Plan};
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

/// The result of one of several degrees.
pub(super) struct DegreeResult {
    pub(super) picture: Picture,
    /// The report for the PNG, as JSON.
    pub(super) note: String,
    /// The LoRA that was trained for all of them, with the first.
    pub(super) lora: Option<Trained>,
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
        let mut progress = progress::for_terminal(self.arguments.quiet);
        let (mut prepared, weights) =
            self.prepare(inputs, plan, record, &mut *progress, interrupt)?;
        let Identity { job, note } = self.identity(&prepared, &weights);
        record.job = Some(job);
        let pipeline = self.pipeline.as_deref_mut();
        let outcome = pipeline
            .filter(|_| prepared.moves())
            .map(|pipeline| prepared.compute(pipeline, &mut *progress, interrupt))
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

    /// Does one edit with a result for each of `degrees`, and tells the record of each. `each` gets the results in this order.
    pub(super) fn edit_degrees(
        &mut self,
        inputs: &Inputs,
        plan: Plan,
        degrees: &[Degree],
        records: &mut [Record],
        interrupt: &Interrupt,
        each: &mut dyn FnMut(usize, DegreeResult, &mut Record) -> Result<()>,
    ) -> Result<()> {
        let mut progress = progress::for_terminal(self.arguments.quiet);
        let Some((first, others)) = records.split_first_mut() else {
            return Ok(());
        };
        let (mut prepared, weights) =
            self.prepare(inputs, plan, first, &mut *progress, interrupt)?;
        for record in others {
            *record = Record {
                degree: record.degree,
                paths: record.paths.clone(),
                ..first.clone()
            };
        }
        let values: Vec<f64> = degrees.iter().map(|degree| degree.value()).collect();
        let mut pipeline = self.pipeline.take_if(|_| prepared.moves());
        let mut left = records.iter_mut().enumerate();
        let ended = prepared.compute_degrees(
            pipeline.as_mut().map(|pipeline| &mut **pipeline as _),
            &values,
            &mut *progress,
            interrupt,
            &mut |prepared, mut outcome| {
                let Some((index, record)) = left.next() else {
                    return Ok(());
                };
                let Identity { job, note } = self.identity(prepared, &weights);
                record.job = Some(job);
                if let Some(outcome) = &outcome {
                    record.computed(outcome);
                }
                let result = DegreeResult {
                    picture: prepared.composite(outcome.as_ref()),
                    note,
                    lora: outcome.as_mut().and_then(|outcome| outcome.lora.take()),
                };
                each(index, result, record)
            },
        );
        self.pipeline = pipeline;
        ended
    }

    /// Prepares an edit, and loads the weights where something moves: when nothing does, the output is the input and none is read. Returns the hash of
    /// the weights too, which is empty without any.
    fn prepare(
        &mut self,
        inputs: &Inputs,
        plan: Plan,
        record: &mut Record,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Prepared, String)> {
        let (arguments, instruction) = (self.arguments, &inputs.instruction);
        let lora = arguments.lora()?;
        let on = self.compute.names();
        record.planned(&plan, on, &self.name, &self.additions);
        record
            .warnings
            .extend(self.compute.warnings.iter().cloned());
        let hash = lora.as_ref().map(|lora| lora.sha256.as_str());
        record.warnings.extend(instruction.other_lora(hash));

        let keeps_outside = !(arguments.no_composite || instruction.takes_every_pixel());
        let (drag, original) = (instruction.drag.clone(), inputs.original.clone());
        let prepared = Prepared::new(drag, original, plan, keeps_outside, lora);
        record.warnings.extend(prepared.warnings());
        if let Some(model) = self.model.take_if(|_| prepared.moves()) {
            self.pipeline = Some(self.load(model, progress, interrupt)?);
        }
        let pipeline = self.pipeline.as_ref().filter(|_| prepared.moves());
        let Some(weights) = pipeline.map(|pipeline| pipeline.digest()) else {
            return Ok((prepared, String::new()));
        };
        record
            .warnings
            .extend(instruction.other_weights(&weights, &self.additions));
        record.warnings.extend(instruction.other_clip(&self.clip));
        Ok((prepared, weights))
    }

    fn identity(&self, prepared: &Prepared, weights: &str) -> Identity {
        prepared.identity(Provenance {
            weights,
            clip: &self.clip,
            model: &self.name,
            additions: &self.additions,
            numerics: self.compute.numerics,
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
