//! `dragnext edit --method A,B`: one picture with several methods, a result each, and a contact sheet of all.

use std::path::PathBuf;

use super::Arguments;
use super::run::warnings;
use super::series::Series;
use super::session::Session;
use crate::cli::planning::Inputs;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::panics;
use crate::plan::{Choice, Plan, check_methods};
use crate::preview::MethodSheet;
use crate::report::{self, Paths, Record, Status};

/// What is known of a run while it goes on.
struct Run {
    /// One record for each method.
    records: Vec<Record>,
    /// The files that were written.
    written: Vec<PathBuf>,
}

/// Where the results go, with `--follow` after following links.
struct Outputs {
    /// The result of each method.
    each: Vec<PathBuf>,
    /// The contact sheet.
    sheet: PathBuf,
}

/// Edits the picture with each method and prints the records.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let methods = &arguments.settings.methods;
    let records = methods.iter().map(|method| {
        let mut record = Record::new(Paths {
            image: arguments.inputs.image.clone(),
            drag: arguments.inputs.instruction.drag.clone(),
            like: arguments.inputs.instruction.like.clone(),
            out: arguments.method_output(method.name()),
        });
        record.method = Some(method.name());
        record
    });
    let mut run = Run {
        records: records.collect(),
        written: Vec::new(),
    };
    let ended = panics::catch(|| edit(arguments, &mut run, interrupt));
    let Run { records, written } = &mut run;
    for record in &mut *records {
        record.peak_bytes = record.peak_bytes.or_else(report::peak_bytes);
        if let (Err(error), Status::Failed, None) = (&ended, record.status, &record.error) {
            record.fail(error);
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

/// Edits with each method, and writes the results and the contact sheet.
fn edit(arguments: &Arguments, run: &mut Run, interrupt: &Interrupt) -> Result<()> {
    let methods = &arguments.settings.methods;
    arguments.check_alone()?;
    let compute = arguments.compute.choose()?;
    let mut inputs = arguments.read()?;
    inputs.are_several = true;
    let choice = arguments.choice(&Series::Single);
    check_methods(methods, &choice, Some(&inputs.instruction.drag))?;
    let Run { records, written } = run;
    for record in &mut *records {
        record.warnings.extend(inputs.warnings.iter().cloned());
        record.left_out = arguments.left_out();
    }
    // Faults of all edits are reported before gigabytes are fetched for them.
    let choices: Vec<Choice> = methods
        .iter()
        .map(|method| Choice {
            method: Some(*method),
            values: choice.values.clone(),
        })
        .collect();
    if inputs.model.open_present()?.is_none() {
        plans(&choices, &inputs, None)?;
        arguments.method_outputs(&inputs, None)?;
    }
    let model = arguments.with_lora(inputs.model.open(arguments.quiet, interrupt)?)?;
    let needs_clip = |choice| inputs.needs_clip(choice, &model).unwrap_or(false);
    if choices.iter().any(needs_clip) {
        inputs.model.fetch_clip(arguments.quiet, interrupt)?;
    }
    let plans = plans(&choices, &inputs, Some(&model))?;
    let outputs = arguments.method_outputs(&inputs, Some(&model))?;

    // A method whose CLIP is missing has no plan.
    let needs_clip = |plan: &Plan| plan.settings.method.needs().clip;
    let needs_clip = plans.iter().flatten().any(needs_clip);
    let mut session = Session::new(arguments, compute, model, needs_clip)?;
    let original = &inputs.original.picture;
    let mut sheet = MethodSheet::new(original);
    let mut failed = Vec::new();
    for ((plan, record), path) in plans.into_iter().zip(&mut *records).zip(outputs.each) {
        let name = record.method.unwrap_or_default();
        let ended = panics::catch(|| {
            let result = session.edit(&inputs, plan?, record, interrupt)?;
            let note = (!arguments.no_metadata).then_some(result.note.as_str());
            let sha256 = arguments.write(&path, &result.picture, note, interrupt)?;
            Ok((result.picture, sha256))
        });
        match ended {
            Ok((picture, sha256)) => {
                record.done(sha256, picture.kept());
                sheet.add_result(name, record.edit_seconds(), &picture);
                written.push(path);
            }
            // Without the weights, or after a signal, no other method can go on.
            Err(error) if matches!(error, Error::Interrupted { .. }) || session.is_broken() => {
                return Err(error);
            }
            Err(error) => {
                record.fail(&error);
                report::print_line(&format!("{name} failed:"));
                report::print_error(&error);
                sheet.add_failure(name, &error.to_string());
                failed.push(name);
            }
        }
    }
    arguments.write(
        &outputs.sheet,
        &sheet.drawn(),
        Some(MethodSheet::NOTE),
        interrupt,
    )?;
    written.push(outputs.sheet);
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Finding {
        kind: ErrorKind::MethodsFailed,
        reason: format!(
            "{} of {} methods failed: {}",
            failed.len(),
            methods.len(),
            failed.join(", ")
        ),
        hint: String::new(),
    })
}

/// Plans the edit with each choice of a method.
///
/// # Errors
/// The error that all methods have in common, because it is one of the drag file or the picture; some may have more.
fn plans(choices: &[Choice], inputs: &Inputs, model: Option<&Model>) -> Result<Vec<Result<Plan>>> {
    let mut plans: Vec<Result<Plan>> = choices
        .iter()
        .map(|choice| inputs.plan(choice, model, None))
        .collect();
    let messages: Vec<String> = plans
        .iter()
        .filter_map(|plan| plan.as_ref().err().map(Error::to_string))
        .collect();
    let is_common = |message: &String| messages.iter().all(|other| other.contains(message));
    match messages.iter().position(is_common) {
        Some(index) if messages.len() == plans.len() => {
            plans.swap_remove(index).map(|_| Vec::new())
        }
        _ => Ok(plans),
    }
}

impl Arguments {
    /// Refuses flags that belong to a single result.
    fn check_alone(&self) -> Result<()> {
        let flags = [
            ("amounts", !self.amounts.is_empty()),
            ("degrees", !self.degrees.is_empty()),
            ("strip", self.strip.is_some()),
            ("diagnostics", self.diagnostics.is_some()),
            ("save-lora", self.save_lora.is_some()),
        ];
        let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) else {
            return Ok(());
        };
        let names: Vec<&str> = (self.settings.methods.iter())
            .map(|method| method.name())
            .collect();
        Err(Error::Setting {
            name: "method".into(),
            value: names.join(","),
            reason: format!("must be one method with `--{flag}`"),
        })
    }

    /// Returns the path of a method's result, or with the name `methods` that of the contact sheet.
    fn method_output(&self, name: &str) -> PathBuf {
        let mut file = self.inputs.image.file_stem().unwrap_or_default().to_owned();
        file.push(format!(".{name}.png"));
        self.output().join(file)
    }

    /// Returns the outputs.
    ///
    /// # Errors
    /// [`Error::Output`] for an output that is an input or cannot be written, and when `-o` names a picture instead of a folder.
    fn method_outputs(&self, inputs: &Inputs, model: Option<&Model>) -> Result<Outputs> {
        let folder = self.output();
        let is_picture = folder
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        if files::is_stdout(&folder) || is_picture && !folder.is_dir() {
            return Err(Error::Output {
                path: folder,
                kind: ErrorKind::OutputFolder,
                reason: "several methods have a result each, which need a folder".into(),
                hint: "give a folder with -o".into(),
            });
        }
        let mut read = inputs.files(model);
        read.extend(self.lora.clone());
        let checked = |name: &str| {
            let path = self.target(&self.method_output(name))?;
            self.check_output(&read, &path)?;
            Ok(path)
        };
        let methods = self.settings.methods.iter();
        Ok(Outputs {
            each: methods
                .map(|method| checked(method.name()))
                .collect::<Result<_>>()?,
            sheet: checked("methods")?,
        })
    }
}
