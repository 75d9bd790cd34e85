//! `dragnext import`: turns data sets and annotations into drag files.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;

use crate::error::{Error, ErrorKind, Result};
use crate::foreign::{self, Kind};
use crate::import::{Options, import, list, list_data};
use crate::interrupt::Interrupt;
use crate::report::{self, print_import};

/// The word for a kind that is recognised.
const AUTO: &str = "auto";

/// Turns a data set of the field, or what was drawn in an annotation tool, into drag files and a manifest for `batch`.
///
/// Pictures are copied, so that the folder is complete. Masks become PNG files. What the source does not say, such as the type of a region,
/// is chosen; the choice is reported and stands as a comment in the drag file.
///
/// Every sample is checked as `batch` will check it before anything is written. Pickles are read without running anything.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Arguments {
    /// The kind of the source; `auto` recognises it.
    #[arg(required_unless_present = "list", value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name).into_iter().chain([AUTO])))]
    kind: Option<String>,

    /// The source: a folder, or a file of annotations.
    #[arg(required_unless_present = "list")]
    path: Option<PathBuf>,

    /// The output folder; `manifest.jsonl` in it lists all samples.
    #[arg(long, short, value_name = "DIR", required_unless_present = "list")]
    output: Option<PathBuf>,

    /// The folder with the pictures, if it is not that of the annotations.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,

    /// How far regions move for which no line is drawn, in pixels to the right and down.
    #[arg(long = "move", value_name = "DX,DY", value_parser = motion, allow_hyphen_values = true)]
    motion: Option<[f64; 2]>,

    /// Import the samples without faults although others have some. The exit status is then 1.
    #[arg(long)]
    keep_going: bool,

    /// Replace files of the output folder that have other content.
    #[arg(long)]
    overwrite: bool,

    /// List the kinds, and what is known of each.
    #[arg(long, conflicts_with_all = ["kind", "path", "output"])]
    list: bool,

    /// Print one line of JSON for each sample, and a summary at the end; with `--list` one line with all kinds.
    #[arg(long)]
    json: bool,

    /// Do not print what was chosen.
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:

  dragnext import dragbench drag_bench_data -o bench
  dragnext batch --manifest bench/manifest.jsonl -o edited

  dragnext import labelme photos -o drags
      What was drawn in labelme
  dragnext import auto photos -o drags
      What was drawn in any of the tools, by its content
  dragnext import coco all.json --images photos -o drags --move 40,0

`dragnext import --list` shows the layout of each kind, and how to draw a drag.";

/// Reads `DX,DY`.
fn motion(text: &str) -> std::result::Result<[f64; 2], &'static str> {
    text.split_once(',')
        .and_then(|(x, y)| Some([x.trim().parse().ok()?, y.trim().parse().ok()?]))
        .filter(|motion: &[f64; 2]| motion.iter().all(|number| number.is_finite()))
        .ok_or("expected two numbers, such as `40,0`")
}

/// Returns the kind with this name, or the one that the source at `path` has.
fn kind_of(name: &str, path: &Path) -> Result<Kind> {
    if name != AUTO
        && let Some(kind) = Kind::from_name(name)
    {
        return Ok(kind);
    }
    std::fs::metadata(path).map_err(|source| Error::File {
        path: path.into(),
        source,
    })?;
    foreign::recognise(path).ok_or_else(|| Error::Given {
        path: path.into(),
        kind: ErrorKind::ImportNothing,
        reason: "is of no known kind".into(),
        hint: "`dragnext import --list` shows what each kind looks like".into(),
    })
}

pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let (Some(kind), Some(path), Some(output)) =
        (&arguments.kind, &arguments.path, &arguments.output)
    else {
        return if arguments.json {
            report::print_json(&list_data())
        } else {
            report::print_text(&list())
        };
    };
    let kind = kind_of(kind, path)?;
    let options = Options {
        images: arguments.images.clone(),
        motion: arguments.motion,
        keep_going: arguments.keep_going,
        overwrite: arguments.overwrite,
    };
    let imported = import(kind, path, output, &options, interrupt)?;
    print_import(&imported, arguments.json, arguments.quiet)?;
    imported.result()
}
