//! `dragnext edit`: one picture, one drag file, one result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cache::use_cache;
use super::compute::ComputeArguments;
use super::instruction::InstructionArguments;
use super::planning::{InputArguments, Inputs};
use super::preview::write as write_drawing;
use super::setting_flags::SettingFlags;
use crate::digest::sha256;
use crate::edit::{GivenLora, Identity, Prepared, Provenance};
use crate::error::{Error, Result};
use crate::files;
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::model::lora::{self, LoraFile};
use crate::panics;
use crate::pipeline::Trained;
use crate::plan::{Choice, Plan};
use crate::preview;
use crate::progress;
use crate::report::{self, Paths, Record};
use crate::warning::{Warning, WarningKind};

/// Edits one picture.
///
/// Reads IMAGE (PNG, JPEG or WebP), does what the drag file says, and writes a PNG. Outside the area that may change,
/// the result has the pixels of IMAGE, bit for bit.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    inputs: InputArguments,

    /// Path of the result [default: that of the picture with `.edited.png`].
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Replace an existing output.
    #[arg(long)]
    overwrite: bool,

    /// Write through a symbolic link. Without this, an output that is a link is refused.
    #[arg(long)]
    follow: bool,

    #[command(flatten)]
    compute: ComputeArguments,

    /// Use this LoRA instead of training one on the picture.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save_lora", "no_lora"])]
    lora: Option<PathBuf>,

    /// Write the LoRA that is trained on the picture to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "no_lora")]
    save_lora: Option<PathBuf>,

    /// Train no LoRA, as `--lora-steps 0`. The starts `moved` and `paper` then keep less of the picture.
    #[arg(long)]
    no_lora: bool,

    /// Do not use the cache: train and invert again, and store neither.
    #[arg(long)]
    no_cache: bool,

    /// Take every pixel from the model instead of keeping the original ones outside the editable area.
    #[arg(long)]
    no_composite: bool,

    /// Write no report of the edit into the PNG.
    #[arg(long)]
    no_metadata: bool,

    /// Also write a picture of input, preview and result side by side.
    #[arg(long, value_name = "FILE")]
    strip: Option<PathBuf>,

    /// Print the record of the run to stdout, as one line of JSON.
    #[arg(long)]
    json: bool,

    /// Show neither progress nor warnings.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    settings: SettingFlags,
}

const EXAMPLE: &str = r#"Example: move what is in a rectangle 60 pixels to the right.

  cat.json:
    { "version": 1, "prompt": "a cat on a sofa",
      "regions": [ { "type": "translation", "region": { "rect": [40, 80, 120, 160] },
                     "handle": [80, 120], "target": [140, 120] } ] }

  dragnext edit cat.png --drag cat.json          writes cat.edited.png
  dragnext edit dog.png --like cat.edited.png    repeats the edit on another picture

`dragnext edit --help` also shows all settings. A setting is
taken from its flag, else from the environment (DRAGNEXT_SEED for --seed),
else from the drag file or the picture given by --like, else from the model's dragnext.json."#;

/// Edits the picture and prints the record.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let output = arguments.output();
    let InstructionArguments { drag, like } = arguments.inputs.instruction.clone();
    let mut record = Record::new(Paths {
        image: arguments.inputs.image.clone(),
        drag,
        like,
        out: output.clone(),
    });
    let mut written = Vec::new();
    let ended = panics::catch(|| edit(arguments, &output, &mut record, &mut written, interrupt));
    record.peak_bytes = record.peak_bytes.or_else(report::peak_bytes);
    if let Err(error) = &ended {
        record.fail(error);
    }
    if !arguments.quiet {
        report::print_warnings(&record.warnings);
        for path in &written {
            report::print_written(path);
        }
    }
    let printed = if arguments.json {
        report::print_json(&record)
    } else {
        Ok(())
    };
    ended.and(printed)
}

/// Edits the picture, and appends every file that it wrote to `written`.
fn edit(
    arguments: &Arguments,
    output: &Path,
    record: &mut Record,
    written: &mut Vec<PathBuf>,
    interrupt: &Interrupt,
) -> Result<()> {
    let compute = arguments.compute.choose()?;
    let inputs = arguments.inputs.read()?;
    record.warnings.extend(inputs.warnings.iter().cloned());
    // Faults of the edit are reported before gigabytes are fetched for it.
    if inputs.model.open_present()?.is_none() {
        arguments.plan(&inputs, output, None)?;
    }
    let model = inputs.model.open(arguments.quiet, interrupt)?;
    let (plan, outputs) = arguments.plan(&inputs, output, Some(&model))?;
    let Inputs {
        instruction,
        original,
        ..
    } = inputs;

    let (name, lora) = (model.name(), arguments.lora()?);
    record.planned(&plan, [&compute.device, compute.numerics[1]], &name);
    record.warnings.extend(compute.warning.clone());
    record
        .warnings
        .extend(instruction.other_lora(lora.as_ref().map(|lora| lora.sha256.as_str())));

    let mut progress = progress::for_terminal(arguments.quiet);
    let keeps_outside = !(arguments.no_composite || instruction.takes_every_pixel());
    let mut prepared = Prepared::new(
        instruction.drag.clone(),
        original,
        plan,
        keeps_outside,
        lora,
    );
    // When nothing moves, the output is the input and no weight is read.
    let mut pipeline = if prepared.moves() {
        Some(compute.load(model, &mut *progress, interrupt)?)
    } else {
        None
    };
    if let (Some(pipeline), false) = (&mut pipeline, arguments.no_cache) {
        use_cache(&mut **pipeline)?;
    }
    let weights = pipeline
        .as_ref()
        .map(|pipeline| pipeline.digest())
        .unwrap_or_default();
    record.warnings.extend(
        pipeline
            .as_ref()
            .and_then(|_| instruction.other_weights(&weights)),
    );
    let Identity { job, note } = prepared.identity(Provenance {
        weights: &weights,
        model: &name,
        numerics: compute.numerics,
    });
    record.job = Some(job);

    let outcome = pipeline
        .as_mut()
        .map(|pipeline| prepared.compute(&mut **pipeline, &mut *progress, interrupt))
        .transpose()?;
    if let Some(outcome) = &outcome {
        record.computed(outcome);
    }
    let edited = prepared.composite(outcome.as_ref());
    let trained = outcome.and_then(|outcome| outcome.lora);
    if arguments.save_lora.is_some() && trained.is_none() {
        let message = "no LoRA was trained, so `--save-lora` wrote no file".to_owned();
        record.warnings.push(Warning {
            kind: WarningKind::LoraNotTrained,
            message,
        });
    }

    let png = edited
        .png((!arguments.no_metadata).then_some(note.as_str()))
        .map_err(|error| files::cannot_encode(output, &error))?;
    interrupt.check()?;
    // The picture is written first, so that a later failure does not lose it.
    files::write_verified(&outputs.picture, &png, arguments.overwrite, |written| {
        edited.check_png(written)
    })?;
    record.done(sha256(&png));
    written.push(outputs.picture);
    if arguments.save_lora(outputs.lora.as_deref(), trained.as_ref(), &name)? {
        written.extend(outputs.lora);
    }
    if let Some(strip) = outputs.strip {
        write_drawing(
            &strip,
            &preview::strip(
                &prepared.drag,
                &prepared.plan,
                &prepared.original.picture,
                &edited,
            ),
            arguments.overwrite,
        )?;
        written.push(strip);
    }
    Ok(())
}

/// The paths that an edit writes to, with `--follow` after following links.
struct Outputs {
    picture: PathBuf,
    strip: Option<PathBuf>,
    lora: Option<PathBuf>,
}

impl Arguments {
    fn output(&self) -> PathBuf {
        self.output
            .clone()
            .unwrap_or_else(|| self.inputs.image.with_extension("edited.png"))
    }

    fn choice(&self) -> Choice {
        let mut choice = self.settings.choice.clone();
        if self.no_lora {
            choice.values.set("lora_steps", 0);
        }
        if self.no_composite {
            // Without the original, the model has to see every pixel.
            choice.values.set_default("window", "full");
        }
        choice
    }

    /// Plans the edit and checks the outputs. `model` may not be on this machine yet.
    fn plan(
        &self,
        inputs: &Inputs,
        output: &Path,
        model: Option<&Model>,
    ) -> Result<(Plan, Outputs)> {
        Ok((
            inputs.plan(&self.choice(), model)?,
            self.outputs(output, inputs.files(model))?,
        ))
    }

    /// Opens the LoRA file to use instead of training.
    fn lora(&self) -> Result<Option<GivenLora>> {
        let Some(path) = &self.lora else {
            return Ok(None);
        };
        let file = LoraFile::open(path)?;
        let bytes = std::fs::read(path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        Ok(Some(GivenLora {
            file,
            sha256: sha256(&bytes),
        }))
    }

    /// Writes the trained LoRA to `path`, and returns whether it did.
    fn save_lora(
        &self,
        path: Option<&Path>,
        trained: Option<&Trained>,
        model: &str,
    ) -> Result<bool> {
        let (Some(path), Some(trained)) = (path, trained) else {
            return Ok(false);
        };
        let notes = BTreeMap::from([("dragnext_model".to_owned(), model.to_owned())]);
        let bytes = lora::write(&trained.places, &trained.parameters, &notes);
        files::write_verified(path, &bytes, self.overwrite, |_| Ok(()))?;
        Ok(true)
    }

    /// Returns the outputs.
    ///
    /// # Errors
    /// [`Error::Output`] for an output that is an input, another output, or cannot be written.
    fn outputs(&self, output: &Path, mut inputs: Vec<PathBuf>) -> Result<Outputs> {
        inputs.extend(self.lora.clone());
        let target = |path: &Path| {
            if self.follow {
                files::follow(path)
            } else {
                Ok(path.to_path_buf())
            }
        };
        let outputs = Outputs {
            picture: target(output)?,
            strip: self.strip.as_deref().map(target).transpose()?,
            lora: self.save_lora.as_deref().map(target).transpose()?,
        };
        let pictures = std::iter::once(&outputs.picture).chain(&outputs.strip);
        for picture in pictures.clone() {
            files::check_png_name(picture)?;
        }
        let all: Vec<&PathBuf> = pictures.chain(&outputs.lora).collect();
        for (index, output) in all.iter().enumerate() {
            files::check_output(&inputs, output, self.overwrite)?;
            for other in &all[..index] {
                files::check_distinct(other, output)?;
            }
        }
        Ok(outputs)
    }
}
