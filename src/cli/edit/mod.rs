//! `dragnext edit`: one picture, one drag file, one result, or several results: of several amounts of the drag, or of several degrees of what it optimised.

mod methods;
mod outputs;
mod results;
mod run;
mod series;
mod session;

use std::path::PathBuf;

use super::compute::ComputeArguments;
use super::planning::{InputArguments, Inputs};
use super::setting_flags::SettingFlags;
use crate::digest::sha256;
use crate::edit::OwnLora;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::model::lora::LoraFile;
use crate::pipeline::GivenLora;
use crate::plan::{Choice, Degree, Plan};
use crate::report::LeftOut;
use series::Series;

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

    /// Path of the result [default: that of the picture with `.edited.png`; `.amounts.png` with --amounts, `.degrees.png` with --degrees], or the folder of the results of several methods. `-` writes to stdout.
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Edit several times, with the drag carried out to each of these multiples of its motion, 0 to 4.
    ///
    /// 0 is the picture itself, 1 the whole drag, and 1.5 goes on beyond the target by half as much. The results are written side by side to OUT,
    /// in 8 bits with captions; with a folder as OUT (one that exists, or a path that ends in `/`), each is written to its own file, such as
    /// `cat.0.50.png`, with a report. They share the window and, where the drag file gives no other, the editable area, those of the largest
    /// amount. The LoRA is trained once. --json prints one record for each amount.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = number, allow_negative_numbers = true, conflicts_with_all = ["strip", "diagnostics", "degrees"])]
    amounts: Vec<f64>,

    /// Take what the drag optimised to each of these degrees (see --degree), 0 to 4, and denoise each. The optimisation runs once.
    ///
    /// 0 is no drag, 1 is where the optimisation led, 1.5 goes on beyond by half as much. The results are written side by side to OUT, or with a
    /// folder as OUT each to its own file with a report, such as `cat.degree-0.50.png`. Each has the same pixels as an edit with that
    /// --degree. --json prints one record for each degree. A method that optimises nothing is refused.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = number, allow_negative_numbers = true, conflicts_with_all = ["strip", "diagnostics"])]
    degrees: Vec<f64>,

    /// Replace an existing output.
    #[arg(long)]
    overwrite: bool,

    /// Write through a symbolic link. Without this, an output that is a link is refused.
    #[arg(long)]
    follow: bool,

    #[command(flatten)]
    compute: ComputeArguments,

    /// Use this LoRA instead of training one on the picture: one of --save-lora, diffusers, peft, kohya, LyCORIS or ComfyUI.
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

    /// Leave out the picture's own EXIF, XMP and text, such as its date and place. Without this the result keeps them, except for a thumbnail. The colour profile stays.
    #[arg(long)]
    strip_metadata: bool,

    /// Also write a picture of input, preview and result side by side.
    #[arg(long, value_name = "FILE")]
    strip: Option<PathBuf>,

    /// Also write pictures of how the result came about into this folder, at the picture's size.
    ///
    /// `warped.png` is the warped picture, as `preview --warped` writes it.
    ///
    /// `vacated.png` has the share of each pixel that was filled in, from black for none to white for all.
    ///
    /// `agreement.png` shows how far the network's result agrees with what the VAE keeps of the warped picture. Where it is white, all of the
    /// picture's own detail is carried along.
    ///
    /// `contribution.png` shows what the network contributed, the result less the warped picture: 128 for no difference, 4 levels for each level.
    ///
    /// A warning names the files that the edit does not have: `agreement.png` with --detail 0, all of them with another --start than `warped` besides.
    #[arg(long, value_name = "DIR")]
    diagnostics: Option<PathBuf>,

    /// Print the record of the run to stdout, as one line of JSON.
    #[arg(long)]
    json: bool,

    /// Show neither progress nor warnings.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    settings: SettingFlags<true>,
}

const EXAMPLE: &str = r#"Example: move what is in a rectangle 60 pixels to the right.

  cat.json:
    { "version": 1, "prompt": "a cat on a sofa",
      "regions": [ { "type": "translation", "region": { "rect": [40, 80, 120, 160] },
                     "handle": [80, 120], "target": [140, 120] } ] }

  dragnext edit cat.png --drag cat.json          writes cat.edited.png
  dragnext edit dog.png --like cat.edited.png    repeats the edit on another picture
  dragnext edit cat.png --drag cat.json --amounts 0,0.5,1,1.5    writes cat.amounts.png
  dragnext edit cat.png --drag cat.json --method drag-diffusion --degrees 0.5,1,1.5    writes cat.degrees.png
  dragnext edit cat.png --drag cat.json --method pbsi,region-drag -o out/    compares methods

`dragnext edit --help` also shows all settings. A setting is
taken from its flag, else from the environment (DRAGNEXT_SEED for --seed),
else from the drag file or the picture given by --like, else from the model's dragnext.json."#;

/// Edits the picture and prints the records.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    if arguments.settings.methods.is_empty() {
        run::run(arguments, interrupt)
    } else {
        methods::run(arguments, interrupt)
    }
}

/// Reads an amount or a degree. Bounds are checked for all of them together.
fn number(text: &str) -> std::result::Result<f64, std::num::ParseFloatError> {
    text.trim().parse()
}

impl Arguments {
    fn output(&self) -> PathBuf {
        let extension = if !self.settings.methods.is_empty() {
            "methods"
        } else if !self.amounts.is_empty() {
            "amounts.png"
        } else if !self.degrees.is_empty() {
            "degrees.png"
        } else {
            "edited.png"
        };
        self.output
            .clone()
            .unwrap_or_else(|| self.inputs.image.with_extension(extension))
    }

    /// Returns what the results leave out.
    const fn left_out(&self) -> LeftOut {
        LeftOut {
            stripped: self.strip_metadata,
            unreported: self.no_metadata,
        }
    }

    /// Reads drag and picture.
    fn read(&self) -> Result<Inputs> {
        let mut inputs = self.inputs.read()?;
        if self.strip_metadata {
            inputs.strip_metadata();
        }
        Ok(inputs)
    }

    fn choice(&self, series: &Series) -> Choice {
        let mut choice = Degree::first_of(series.degrees(), &self.settings.choice);
        if self.no_lora {
            choice.values.set("lora_steps", 0);
        }
        if self.no_composite {
            // Without the original, the model has to see every pixel.
            choice.values.set_default("window", "full");
        }
        choice
    }

    /// Plans one edit, for all degrees alike, or one for each amount. `model` may not be on this machine yet.
    fn plans(&self, inputs: &Inputs, series: &Series, model: Option<&Model>) -> Result<Vec<Plan>> {
        let (choice, amounts) = (self.choice(series), series.amounts());
        if amounts.is_empty() {
            let plan = inputs.plan(&choice, model, None)?;
            Degree::check(series.degrees(), &plan.settings)?;
            return Ok(vec![plan]);
        }
        let plans = amounts
            .iter()
            .map(|amount| inputs.plan(&choice, model, Some(*amount)));
        plans.collect()
    }

    /// Returns whether the run has several results, which share what they compute.
    fn has_several_results(&self) -> bool {
        !(self.amounts.is_empty() && self.settings.methods.is_empty())
    }

    /// Returns the model, with the LoRA that is used instead of training in its weights if that cannot be attached.
    fn with_lora(&self, model: Model) -> Result<Model> {
        let Some(path) = &self.lora else {
            return Ok(model);
        };
        let file = LoraFile::open(path)?;
        model.check_lora(&file)?;
        if file.rank().is_some() {
            Ok(model)
        } else {
            model.with_own_lora(path)
        }
    }

    /// Opens the LoRA file to use instead of training.
    fn lora(&self) -> Result<Option<OwnLora>> {
        let Some(path) = &self.lora else {
            return Ok(None);
        };
        let file = LoraFile::open(path)?;
        let given = match file.rank() {
            Some(rank) => GivenLora::Attached {
                file: Box::new(file),
                rank,
            },
            None => GivenLora::Merged,
        };
        let bytes = std::fs::read(path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        Ok(Some(OwnLora {
            given,
            sha256: sha256(&bytes),
        }))
    }
}
