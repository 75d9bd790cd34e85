//! One run of `dragnext edit` with one method: edits, writes the results, and prints the records.

use std::path::{Path, PathBuf};

use super::Arguments;
use super::series::Series;
use super::session::{DegreeResult, Session};
use crate::cli::instruction::InstructionArguments;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::panics;
use crate::picture::Picture;
use crate::preview;
use crate::report::{self, Paths, Record, Status};
use crate::warning::{Warning, WarningKind};

/// What is known of a run while it goes on.
struct Run {
    /// One record, or one for each result of a series once the edits are planned.
    records: Vec<Record>,
    /// The files that were written.
    written: Vec<PathBuf>,
}

/// Edits the picture and prints the records.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let output = arguments.output();
    let InstructionArguments { drag, like } = arguments.inputs.instruction.clone();
    let record = Record::new(Paths {
        image: arguments.inputs.image.clone(),
        drag,
        like,
        out: output.clone(),
    });
    let mut run = Run {
        records: vec![record],
        written: Vec::new(),
    };
    let ended = panics::catch(|| edit(arguments, &output, &mut run, interrupt));
    let Run { records, written } = &mut run;
    let is_done = |record: &Record| record.status == Status::Done;
    let are_done = records.iter().all(is_done);
    for record in &mut *records {
        record.peak_bytes = record.peak_bytes.or_else(report::peak_bytes);
        match &ended {
            // After the last result, what failed belongs to all of them.
            Err(error) if are_done || !is_done(record) => record.fail(error),
            Err(_) | Ok(()) => {}
        }
    }
    if !arguments.quiet {
        report::print_warnings(&warnings(records));
        for path in written {
            report::print_written(path);
        }
    }
    let printed = if arguments.json {
        records.iter().try_for_each(report::print_json)
    } else {
        Ok(())
    };
    ended.and(printed)
}

/// Returns the warnings of all records: once what several have in common.
pub(super) fn warnings(records: &[Record]) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    for warning in records.iter().flat_map(|record| &record.warnings) {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    warnings
}

/// Edits the picture once, or once for each result of a series, and writes the results.
fn edit(arguments: &Arguments, output: &Path, run: &mut Run, interrupt: &Interrupt) -> Result<()> {
    let series = Series::of(arguments)?;
    let compute = arguments.compute.choose()?;
    let inputs = arguments.read()?;
    run.records[0].left_out = arguments.left_out();
    run.records[0]
        .warnings
        .extend(inputs.warnings.iter().cloned());
    // Faults of the edit are reported before gigabytes are fetched for it.
    if inputs.model.open_present()?.is_none() {
        arguments.plans(&inputs, &series, None)?;
        arguments.outputs(output, &series, &inputs, None)?;
    }
    let model = arguments.with_lora(inputs.model.open(arguments.quiet, interrupt)?)?;
    let needs_clip = inputs.needs_clip(&arguments.choice(&series), &model)?;
    if needs_clip {
        inputs.model.fetch_clip(arguments.quiet, interrupt)?;
    }
    let plans = arguments.plans(&inputs, &series, Some(&model))?;
    let outputs = arguments.outputs(output, &series, &inputs, Some(&model))?;
    run.records = outputs.records(&run.records[0], &series);

    let Run { records, written } = run;
    let mut session = Session::new(arguments, compute, model, needs_clip)?;
    let captions = series.captions();
    let (mut panels, mut trained) = (Vec::new(), None);
    // The picture is written before anything else, so that a later failure does not lose it.
    let mut keep = |index: usize, picture: &Picture, note: &str, record: &mut Record| {
        if outputs.row.is_some() {
            panels.push((captions[index].clone(), picture.clone()));
            return Ok(());
        }
        let note = (!arguments.no_metadata).then_some(note);
        let path = &outputs.each[index];
        let sha256 = arguments.write(path, picture, note, interrupt)?;
        record.done(sha256, picture.kept());
        written.push(path.clone());
        Ok(())
    };
    if let (Series::Degrees(degrees), Some(plan)) = (&series, plans.first()) {
        let mut each = |index: usize, result: DegreeResult, record: &mut Record| {
            trained = trained.take().or(result.lora);
            keep(index, &result.picture, &result.note, record)
        };
        session.edit_degrees(
            &inputs,
            plan.clone(),
            degrees,
            records,
            interrupt,
            &mut each,
        )?;
    } else {
        let mut drawings = Vec::new();
        for (index, (plan, record)) in plans.into_iter().zip(&mut *records).enumerate() {
            let mut result = session.edit(&inputs, plan, record, interrupt)?;
            trained = trained.or_else(|| result.outcome.as_mut()?.lora.take());
            keep(index, &result.picture, &result.note, record)?;
            drawings.extend(arguments.write_drawings(&outputs, &result, record)?);
        }
        written.extend(drawings);
    }
    if let Some(path) = outputs.row {
        let row = preview::row(&panels);
        let sha256 = arguments.write(&path, &row, None, interrupt)?;
        for record in &mut *records {
            record.done(sha256.clone(), row.kept());
        }
        written.push(path);
    }
    if let Some(path) = outputs.lora {
        if let Some(trained) = trained {
            arguments.save_lora(&path, &trained, session.model_name())?;
            written.push(path);
        } else {
            for record in records {
                let message = "no LoRA was trained, so `--save-lora` wrote no file".to_owned();
                record.warnings.push(Warning {
                    kind: WarningKind::LoraNotTrained,
                    message,
                });
            }
        }
    }
    Ok(())
}
