//! `dragnext check`: edits whose results are known are done again and compared.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::compare;
use super::compute::{Compute, ComputeArguments};
use super::instruction::InstructionArguments;
use super::limits::LimitArguments;
use super::model::ModelArguments;
use super::planning::{InputArguments, Inputs};
use super::preview::write as write_drawing;
use super::setting_flags::SettingFlags;
use crate::edit::{Prepared, Provenance};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::golden::{self, Case, Thresholds};
use crate::interrupt::Interrupt;
use crate::metrics;
use crate::model::Model;
use crate::panics;
use crate::picture::{self, Picture};
use crate::pipeline::AnyPipeline;
use crate::plan::Plan;
use crate::preview;
use crate::progress::{self, Progress};
use crate::report::{self, CaseStatus, Checked, CheckedForm};

/// Does edits whose results are known, and compares.
///
/// DIR has a folder for each case, with the picture (input.png, .jpg or .webp), drag.json, and expected.png, which is what is to come of
/// it. Every case is edited as `dragnext edit` does it, with the weights loaded once, and compared with expected.png: inside the editable area
/// within limits, outside of it bit for bit. A limit is taken from its flag, else from the case's own check.json (such as
/// `{"min_psnr": 30}`), else it is the usual one: a PSNR of 40 dB, an SSIM of 0.995 and a mean difference of 0.5, which hold on processors
/// with other vector instructions too.
///
/// Of a case that differs, CASE.actual.png and CASE.triptych.png (expected, difference, actual) are written to the folder of --output. In a job
/// of GitHub Actions, what differs is annotated and a table is written to the summary of the job.
///
/// The exit status is 1 when a case differs, or was blessed, or its edit failed; 2 when something is wrong with the cases, which is found
/// before any edit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n\n  dragnext check golden --model demo\n  dragnext check golden --model demo --only cat,dog\n  dragnext check golden --model demo --bless          accepts what differs now"
)]
pub(super) struct Arguments {
    /// The folder with a folder for each case, or one case.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Only these cases, by the names of their folders.
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    only: Vec<String>,

    /// Write anew what is expected of cases that differ; the exit status is 1 when there were any, so that nobody does it unseen.
    #[arg(long)]
    bless: bool,

    /// Where pictures of cases that differ go, in place of those of earlier runs [default: dragnext-check].
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    compute: ComputeArguments,

    /// Print one line of JSON for each case.
    #[arg(long)]
    json: bool,

    /// Show neither progress nor warnings.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    limits: LimitArguments,

    #[command(flatten)]
    settings: SettingFlags,
}

/// Where pictures go when nobody says.
const OUTPUT: &str = "dragnext-check";

/// Checks the cases, one after the other, and says how each one ended.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let compute = arguments.compute.choose()?;
    if !arguments.quiet {
        report::print_warnings(compute.warning.as_slice());
    }
    let cases = golden::find(&arguments.folder, &arguments.only)?;
    let moves = arguments.examine(&cases)?;
    let model = arguments.model.open(arguments.quiet, interrupt)?;
    let mut bench = Bench::new(arguments, compute, model, moves, interrupt)?;

    let form = if arguments.json {
        CheckedForm::Json
    } else {
        CheckedForm::Text
    };
    let mut all = Vec::new();
    for case in &cases {
        let checked = bench.check(case);
        if let Err(Error::Interrupted { .. }) = &checked {
            report::summarise_checked(&all);
            return checked.map(drop);
        }
        let checked = checked.unwrap_or_else(|error| Checked::failed(case, &error));
        if !arguments.quiet {
            report::print_warnings(&checked.warnings);
        }
        report::print_checked(&checked, form)?;
        all.push(checked);
    }
    report::summarise_checked(&all);
    judge(&all, arguments.output())
}

impl Arguments {
    fn output(&self) -> &Path {
        self.output.as_deref().unwrap_or(Path::new(OUTPUT))
    }

    /// Everything that is wrong with the cases, before weights are loaded; says whether any of them needs weights.
    fn examine(&self, cases: &[Case]) -> Result<bool> {
        if self.output.is_some()
            && let Some(first) = cases.first()
        {
            files::check_output(
                &[],
                &self.output().join(format!("{}.triptych.png", first.name)),
                true,
            )?;
        }
        let model = self.model.open_present()?;
        let plan = |case: &Case| {
            if self.bless {
                files::check_output(
                    &[case.image.clone(), case.drag.clone()],
                    &case.expected,
                    true,
                )?;
            }
            Ok(!self
                .plan(&self.inputs(case)?, model.as_ref())?
                .regions
                .is_empty())
        };
        let (moves, errors): (Vec<_>, Vec<_>) = cases.iter().map(plan).partition(Result::is_ok);
        Error::all(errors.into_iter().filter_map(Result::err).collect())?;
        Ok(moves.into_iter().flatten().any(|moves| moves))
    }

    fn inputs(&self, case: &Case) -> Result<Inputs> {
        let instruction = InstructionArguments {
            drag: Some(case.drag.clone()),
            like: None,
        };
        InputArguments {
            image: case.image.clone(),
            instruction,
            model: self.model.clone(),
        }
        .read()
    }

    fn plan(&self, inputs: &Inputs, model: Option<&Model>) -> Result<Plan> {
        inputs.plan(&self.settings.choice, model)
    }

    /// The limits of a case.
    fn thresholds(&self, case: &Case) -> Thresholds {
        let typed = Thresholds {
            inside: self.limits.limits(),
            outside_max_diff: self.limits.outside_max_diff(),
        };
        typed.over(&case.thresholds).over(&Thresholds::USUAL)
    }
}

/// What all cases share.
struct Bench<'a> {
    arguments: &'a Arguments,
    compute: Compute,
    /// For planning; the editor has one of its own.
    model: Model,
    /// `None` when no case moves anything.
    editor: Option<Box<dyn AnyPipeline>>,
    weights: String,
    progress: Box<dyn Progress>,
    interrupt: &'a Interrupt,
}

/// What an edit gave.
struct Edited {
    picture: Picture,
    png: Vec<u8>,
    prepared: Prepared,
}

impl<'a> Bench<'a> {
    fn new(
        arguments: &'a Arguments,
        compute: Compute,
        model: Model,
        moves: bool,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let mut progress = progress::for_terminal(arguments.quiet);
        let editor = if moves {
            Some(compute.load(arguments.model.open_cached()?, &mut *progress, interrupt)?)
        } else {
            None
        };
        let weights = editor
            .as_ref()
            .map(|editor| editor.digest())
            .unwrap_or_default();
        Ok(Self {
            arguments,
            compute,
            model,
            editor,
            weights,
            progress,
            interrupt,
        })
    }

    /// Does a case and judges it.
    fn check(&mut self, case: &Case) -> Result<Checked> {
        let since = Instant::now();
        let mut checked = Checked::new(case);
        let Edited {
            picture,
            png,
            prepared,
        } = panics::catch(|| self.edit(case, &mut checked))?;
        checked.seconds = since.elapsed().as_secs_f64();
        let expected = expected(case, &picture);
        let editable = prepared.plan.editable_source.as_ref();
        match &expected {
            Ok(expected) => {
                let comparison = metrics::compare(expected, &picture, editable);
                let thresholds = self.arguments.thresholds(case);
                checked.excesses = comparison.excesses(&thresholds.inside, &thresholds.outside());
                checked.comparison = Some(comparison);
                if checked.excesses.is_empty() {
                    checked.status = CaseStatus::Passed;
                    return Ok(checked);
                }
                let triptych = self
                    .arguments
                    .output()
                    .join(format!("{}.triptych.png", case.name));
                write_picture(&triptych, || {
                    write_drawing(
                        &triptych,
                        &preview::triptych(expected, &picture, editable),
                        true,
                    )
                })?;
                checked.written.push(triptych);
            }
            Err(error) => checked.fail(error),
        }
        let actual = if self.arguments.bless {
            checked.status = CaseStatus::Blessed;
            case.expected.clone()
        } else {
            self.arguments
                .output()
                .join(format!("{}.actual.png", case.name))
        };
        write_picture(&actual, || {
            files::write_verified(&actual, &png, true, |written| picture.check_png(written))
        })?;
        checked.written.push(actual);
        Ok(checked)
    }

    /// Does a case's edit, as `dragnext edit` does it.
    fn edit(&mut self, case: &Case, checked: &mut Checked) -> Result<Edited> {
        let inputs = self.arguments.inputs(case)?;
        let plan = self.arguments.plan(&inputs, Some(&self.model))?;
        checked.warnings = inputs
            .warnings
            .iter()
            .chain(&plan.warnings)
            .cloned()
            .collect();
        let mut prepared =
            Prepared::new(inputs.instruction.drag, inputs.original, plan, true, None);
        let means = Provenance {
            weights: &self.weights,
            model: &self.model.name(),
            numerics: self.compute.numerics,
        };
        let note = prepared.identity(means).note;
        let outcome = match &mut self.editor {
            Some(editor) if prepared.moves() => {
                Some(prepared.compute(&mut **editor, &mut *self.progress, self.interrupt)?)
            }
            _ => None,
        };
        self.interrupt.check()?;
        let picture = prepared.composite(outcome.as_ref());
        let png = picture
            .png(Some(&note))
            .map_err(|error| files::cannot_encode(&case.expected, &error))?;
        Ok(Edited {
            picture,
            png,
            prepared,
        })
    }
}

/// What is to come of a case, in the size that did come of it.
fn expected(case: &Case, actual: &Picture) -> Result<Picture> {
    if !case.expected.exists() {
        let reason = "is not there yet".to_owned();
        let hint = "look at what came of the edit; `--bless` takes it for what is expected".into();
        return Err(Error::Given {
            path: case.expected.clone(),
            kind: ErrorKind::CheckNoExpected,
            reason,
            hint,
        });
    }
    let expected = picture::read_any(&case.expected)?.picture;
    compare::same_size(&case.image, actual, &case.expected, &expected)?;
    Ok(expected)
}

/// Writes in place of an earlier run's picture, but not through a link.
fn write_picture(path: &Path, write: impl FnOnce() -> Result<()>) -> Result<()> {
    files::check_output(&[], path, true)?;
    write()
}

fn judge(all: &[Checked], output: &Path) -> Result<()> {
    let count = |status| {
        all.iter()
            .filter(|checked| checked.status == status)
            .count()
    };
    let (failed, blessed) = (count(CaseStatus::Failed), count(CaseStatus::Blessed));
    let cases = if all.len() == 1 { "case" } else { "cases" };
    if failed > 0 {
        let reason = format!("{failed} of {} {cases} failed", all.len());
        let has_pictures = all
            .iter()
            .any(|checked| checked.status == CaseStatus::Failed && !checked.written.is_empty());
        let hint = if has_pictures {
            format!(
                "look at the pictures in `{}`; `--bless` takes what came for what is expected",
                output.display()
            )
        } else {
            String::new()
        };
        return Err(Error::Finding {
            kind: ErrorKind::CheckFailed,
            reason,
            hint,
        });
    }
    if blessed > 0 {
        let reason = format!("{blessed} of {} {cases} blessed", all.len());
        let hint = "look at what changed, commit it, and run this again".into();
        return Err(Error::Finding {
            kind: ErrorKind::CheckBlessed,
            reason,
            hint,
        });
    }
    Ok(())
}
