//! `dragnext edit`: one picture, one drag file, one result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::compute::{self, Compute, Device, Dtype};
use super::model::ModelArguments;
use crate::diffusion::Seeded;
use crate::digest::sha256;
use crate::drag_file::{DragFile, Editable, Shape};
use crate::error::{Error, Result};
use crate::files;
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
use crate::model::Model;
use crate::model::lora::{self, LoraFile};
use crate::picture::{self, Picture, Source};
use crate::pipeline::{self, Editor, Outcome, Trained};
use crate::plan::Plan;
use crate::progress;
use crate::report::{self, Job, Loss, Moved, Note, Record};
use crate::settings::{Overrides, Settings};
use crate::warning::Warning;

/// Edits one picture.
///
/// Reads IMAGE (PNG, JPEG or WebP), does what the drag file says, and writes a PNG. Outside the area that may change,
/// the result has the pixels of IMAGE, bit for bit.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Arguments {
    /// The picture to edit; it is never written to.
    image: PathBuf,

    /// The drag file: which regions move, and where to.
    #[arg(long, short, value_name = "FILE")]
    drag: PathBuf,

    /// Where the result goes [default: the picture's name with `.edited.png`, beside it].
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Replace the output when it exists.
    #[arg(long)]
    overwrite: bool,

    /// Write to where the output leads when it is a link; without this a link is refused.
    #[arg(long)]
    follow: bool,

    #[command(flatten)]
    model: ModelArguments,

    /// Where to compute: auto, cpu or cuda[:N].
    #[arg(long, default_value = "auto", env = "DRAGNEXT_DEVICE")]
    device: Device,

    /// The number format; the CPU computes in f32.
    #[arg(long, value_enum, default_value = "auto", env = "DRAGNEXT_DTYPE")]
    dtype: Dtype,

    /// Use this LoRA instead of training one on the picture.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save_lora", "no_lora"])]
    lora: Option<PathBuf>,

    /// Keep the LoRA that was trained on the picture.
    #[arg(long, value_name = "FILE", conflicts_with = "no_lora")]
    save_lora: Option<PathBuf>,

    /// Train no LoRA: faster, but the result keeps less of the picture.
    #[arg(long)]
    no_lora: bool,

    /// Take every pixel from the model instead of keeping the original ones outside the editable area.
    #[arg(long)]
    no_composite: bool,

    /// Leave out the PNG's text that says how the result was made.
    #[arg(long)]
    no_metadata: bool,

    /// Print the record of the run to stdout, as one line of JSON.
    #[arg(long)]
    json: bool,

    /// Show neither progress nor warnings.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    settings: Overrides,
}

const EXAMPLE: &str = r#"Example: move what is in a rectangle 60 pixels to the right.

  cat.json:
    { "version": 1, "prompt": "a cat on a sofa",
      "regions": [ { "type": "translation", "region": { "rect": [40, 80, 120, 160] },
                     "handle": [80, 120], "target": [140, 120] } ] }

  dragnext edit cat.png --drag cat.json          writes cat.edited.png

`dragnext edit --help` also shows the settings of the method. A setting is
taken from its flag, else from the environment (DRAGNEXT_SEED for --seed),
else from the drag file, else from the model's dragnext.json."#;

/// Edits the picture, and prints the record of how it went.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let output = arguments.output();
    let mut record = Record::new(&arguments.image, &arguments.drag, &output);
    let ended = edit(arguments, &output, &mut record, interrupt);
    record.peak_bytes = report::peak_bytes();
    if let Err(error) = &ended {
        record.fail(error);
    }
    if !arguments.quiet {
        report::print_warnings(&record.warnings);
    }
    let printed = if arguments.json { report::print_json(&record) } else { Ok(()) };
    ended.and(printed)
}

fn edit(arguments: &Arguments, output: &Path, record: &mut Record, interrupt: &Interrupt) -> Result<()> {
    let compute = compute::choose(arguments.device, arguments.dtype)?;
    let drag = DragFile::read(&arguments.drag)?;
    let source = picture::read(&arguments.image)?;
    let model = arguments.model.open()?;
    let settings = Settings::resolve(&arguments.settings().over(&drag.settings).over(model.defaults()))?;
    let plan = Plan::new(&drag, &arguments.drag, source.picture.size(), &settings, model.native_size())?;
    model.check(&settings)?;
    let (output, lora_output) = arguments.check_outputs(output, &drag, &model)?;

    let (name, lora) = (model.name(), arguments.lora()?);
    record_plan(record, &source, &plan, compute, &name);

    let mut progress = progress::for_terminal(arguments.quiet);
    // When nothing moves, the output is the input and no weight is read.
    let mut editor = if plan.regions.is_empty() { None } else { Some(Editor::load(Cpu, model, &mut *progress)?) };
    let job = Job {
        image: &source.sha256,
        instruction: &drag,
        areas: &areas(&plan),
        settings: &plan.settings,
        weights: &editor.as_ref().map(Editor::digest).unwrap_or_default(),
        lora: lora.as_ref().map(|(_, hash)| hash.as_str()),
        composite: !arguments.no_composite,
        numerics: [compute.device, compute.dtype],
    };
    let hash = job.hash();
    let note = Note::new(&job, &hash, &name).to_json();
    record.job = Some(hash.clone());

    let (edited, trained) = if let Some(editor) = &mut editor {
        let lora = lora.map(|(file, _)| file);
        let work = pipeline::Job { plan: &plan, picture: source.picture.working(&plan.frame), lora };
        let mut outcome = editor.edit(work, &mut Seeded::new(plan.settings.seed), &mut *progress, interrupt)?;
        let edited = composite(&source.picture, &plan, &outcome, arguments.no_composite);
        let trained = outcome.lora.take();
        record_outcome(record, outcome);
        (edited, trained)
    } else {
        (source.picture, None)
    };
    if arguments.save_lora.is_some() && trained.is_none() {
        let message = "no LoRA was trained, so `--save-lora` wrote none".to_owned();
        record.warnings.push(Warning { kind: "lora.not_trained", message });
    }

    let png = edited.png((!arguments.no_metadata).then_some(note.as_str())).map_err(|error| cannot_encode(&output, &error))?;
    interrupt.check()?;
    arguments.save_lora(lora_output.as_deref(), trained.as_ref(), &name)?;
    files::write_verified(&output, &png, arguments.overwrite, |written| edited.check_png(written))?;
    record.done(sha256(&png));
    Ok(())
}

impl Arguments {
    fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| self.image.with_extension("edited.png"))
    }

    fn settings(&self) -> Overrides {
        if self.no_lora { Overrides { lora_steps: Some(0), ..self.settings.clone() } } else { self.settings.clone() }
    }

    /// The LoRA file to use instead of training, with its hash.
    fn lora(&self) -> Result<Option<(LoraFile, String)>> {
        let Some(path) = &self.lora else { return Ok(None) };
        let file = LoraFile::open(path)?;
        let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.clone(), source })?;
        Ok(Some((file, sha256(&bytes))))
    }

    /// Writes the LoRA that was trained, where that was asked for.
    fn save_lora(&self, path: Option<&Path>, trained: Option<&Trained>, model: &str) -> Result<()> {
        let (Some(path), Some(trained)) = (path, trained) else { return Ok(()) };
        let notes = BTreeMap::from([("dragnext_model".to_owned(), model.to_owned())]);
        let bytes = lora::write(&trained.places, &trained.parameters, &notes);
        files::write_verified(path, &bytes, self.overwrite, |_| Ok(()))
    }

    /// The paths to write to, picture and LoRA. Refuses outputs that are inputs, each other, or cannot be written.
    fn check_outputs(&self, output: &Path, drag: &DragFile, model: &Model) -> Result<(PathBuf, Option<PathBuf>)> {
        let folder = self.drag.parent().unwrap_or(Path::new(""));
        let mut inputs = vec![self.image.clone(), self.drag.clone()];
        inputs.extend(self.lora.clone());
        inputs.extend(masks(drag).map(|mask| folder.join(mask)));
        inputs.extend(model.files());
        let target = |path: &Path| if self.follow { files::follow(path) } else { Ok(path.to_path_buf()) };

        let output = target(output)?;
        files::check_png_name(&output)?;
        files::check_output(&inputs, &output, self.overwrite)?;
        let Some(lora) = &self.save_lora else { return Ok((output, None)) };
        let lora = target(lora)?;
        files::check_output(&inputs, &lora, self.overwrite)?;
        files::check_distinct(&output, &lora)?;
        Ok((output, Some(lora)))
    }
}

fn composite(original: &Picture, plan: &Plan, outcome: &Outcome, everywhere: bool) -> Picture {
    let blend = if everywhere { None } else { plan.blend() };
    original.composite(&plan.frame, &outcome.picture, blend.as_deref())
}

/// The pictures that the drag file names.
fn masks(drag: &DragFile) -> impl Iterator<Item = &Path> {
    let editable = match &drag.editable {
        Editable::Shape(shape) => Some(shape),
        Editable::Swept | Editable::Everything => None,
    };
    drag.regions.iter().map(|region| &region.shape).chain(editable).filter_map(|shape| match shape {
        Shape::Mask { mask } => Some(mask.as_path()),
        Shape::Outline(_) => None,
    })
}

/// Hash of the areas that the instruction resolved to: masks in files decide pixels as much as its text does.
fn areas(plan: &Plan) -> String {
    let masks = plan.regions.iter().map(|region| &region.mask).chain(&plan.editable_source);
    let cells: Vec<u8> = masks.flat_map(|mask| mask.data.iter().map(|inside| u8::from(*inside))).collect();
    sha256(&cells)
}

fn record_plan(record: &mut Record, source: &Source, plan: &Plan, compute: Compute, model: &str) {
    let size = source.picture.size();
    record.seed = Some(plan.settings.seed);
    record.size = Some([size.width, size.height]);
    record.device = Some(compute.device.to_owned());
    record.dtype = Some(compute.dtype.to_owned());
    record.model = Some(model.to_owned());
    record.regions =
        plan.regions.iter().chain(&plan.still).map(|region| Moved { id: region.id.clone(), moved_px: region.moved_px() }).collect();
    record.warnings.extend(source.warnings.iter().chain(&plan.warnings).cloned());
}

fn record_outcome(record: &mut Record, outcome: Outcome) {
    record.loss = outcome.loss.map(|(first, last)| Loss { first, last });
    record.steps = Some(outcome.steps);
    record.seconds = outcome.seconds;
    if !outcome.lora_absent.is_empty() {
        let absent = outcome.lora_absent;
        let message = format!("the LoRA file says nothing about {} of the model's attentions, such as `{}`", absent.len(), absent[0]);
        record.warnings.push(Warning { kind: "lora.partial", message });
    }
}

fn cannot_encode(output: &Path, error: &png::EncodingError) -> Error {
    Error::Output { path: output.to_path_buf(), kind: "output.write", reason: error.to_string(), hint: String::new() }
}
