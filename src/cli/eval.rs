//! `dragnext eval`: the metrics of the papers over many edits.

mod edits;
mod metrics;
mod sheet;

use std::path::PathBuf;

use crate::batch::Seeds;
use crate::error::Result;
use crate::eval;
use crate::interrupt::Interrupt;
use crate::method::Method;
use crate::metrics::Family;
use crate::preview::contact_sheet;
use crate::report::{self, EvalFormat, EvalLines, EvalReport};

use super::metric_networks::MetricNetworks;
use super::preview::write as write_drawing;
use super::setting_flags::method;

/// Measures edits with the metrics of the papers.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Arguments {
    /// A folder of pictures with their drag files, as `batch` takes it.
    #[arg(value_name = "DIR", required_unless_present_any = ["manifest", "records"])]
    folder: Option<PathBuf>,

    /// A list of items, as `batch` takes it; `category` in a line is the group that the item is reported in.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with = "folder")]
    manifest: Option<PathBuf>,

    /// The folder of the edits: the output folder of `batch`, or results of another program under the same names.
    ///
    /// Where it has the results of `batch --methods`, such as `cat.pbsi.png`, each method is evaluated on its own. The folder of the originals itself
    /// stands for edits that change nothing. Nothing is written to it.
    #[arg(long, value_name = "DIR", required_unless_present = "records")]
    edits: Option<PathBuf>,

    /// Take pictures, drag files and results from these record files instead. With `--manifest`, its items without a record count as failed.
    #[arg(long, value_name = "FILES", num_args = 1.., conflicts_with_all = ["folder", "edits", "drag"])]
    records: Vec<PathBuf>,

    /// Evaluate only these methods of `batch --methods`, such as `pbsi,region-drag`.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = method())]
    methods: Vec<Method>,

    /// Measure the results of `batch --seeds`, such as `1,2,5-8`; each is an edit of its own.
    #[arg(long, value_name = "LIST", conflicts_with = "records")]
    seeds: Option<Seeds>,

    /// Compare with other edits, pair by pair: a folder, one of several methods, or with `--records` a record file.
    #[arg(long, value_name = "OTHER")]
    compare: Option<PathBuf>,

    /// One drag file for all pictures that have none of their own.
    #[arg(long, short, value_name = "FILE")]
    drag: Option<PathBuf>,

    /// Measure only these.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum)]
    metrics: Vec<Family>,

    /// Weights of LPIPS with AlexNet, as safetensors.
    #[arg(long, value_name = "FILE", env = "DRAGNEXT_LPIPS")]
    lpips: Option<PathBuf>,

    #[command(flatten)]
    networks: MetricNetworks,

    /// A program, with arguments after spaces, that rates edits for GScore.
    ///
    /// It is called ten times for each drag, with one JSON object on stdin: `id`, `prompt`, `repetition`, `repetitions`, the path `original`, and the
    /// paths `results`, which are the edit and, with `--compare`, the other edit, always in this order. It prints `{"scores": [7.5, 6]}`, from 0 to 10.
    #[arg(long, value_name = "COMMAND")]
    judge: Option<String>,

    /// Stop a call of the judge after S seconds.
    #[arg(long, value_name = "S", default_value_t = 120.0, value_parser = seconds, requires = "judge")]
    judge_seconds: f64,

    /// Seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Output format.
    #[arg(long, value_enum, default_value = "text")]
    format: EvalFormat,

    /// List every edit in the tables, not only the worst. JSON and CSV always do.
    #[arg(long)]
    each: bool,

    /// Write a picture of the edits before and after, worst first.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,

    /// The figure that edits are sorted by [default: the first of `IF_th (cropped)`, `MD-A` and `DAI(10)` that is measured].
    #[arg(long, value_name = "FIGURE")]
    sort: Option<String>,

    /// Replace the file of `--sheet` when it exists.
    #[arg(long)]
    overwrite: bool,

    /// Count invalid items of the list as failed instead of stopping.
    #[arg(long)]
    keep_going: bool,

    /// Permit inputs outside the folder of the list.
    #[arg(long)]
    allow_outside: bool,

    /// Show neither progress nor warnings.
    #[arg(long, short)]
    quiet: bool,
}

const ABOUT: &str = "Measures edits with the metrics of the papers.

Takes originals with their drag files, and a folder of edits. Prints mean, median and a 95 % interval of each figure, for all edits and for each category: the `category` of the manifest, else the first folder of the picture.

IF, IF_ed, IF_hh, IF_th and IF_bg need the weights of LPIPS (`--lpips`). DAI, PSNR and SSIM need no weights. MD needs a model (`--md-model`), CLIP-I and CLIP-T a CLIP (`--clip`). The networks run on `--device`; on a GPU their figures differ from the CPU's by rounding.

DAI(r) is the squared difference between the patch around each target in the edit and the patch around its handle in the original, of 2r + 1 pixels to a side, with red, green and blue from 0 to 1 summed: 0 where the content arrived unchanged, at most 3.

An edit that is missing or cannot be read counts as failed: it is in no mean, but worst in the median, and it loses its pair in a comparison. A figure that cannot be measured, as when the judge fails, is a warning and counts in the same way. The exit status is then 1.

An edit of another size is resized to its original's.";

const EXAMPLES: &str = r#"Examples:

  dragnext eval photos --edits edited
      What needs no weights
  dragnext eval photos --edits photos
      The baseline: an edit that changes nothing
  dragnext eval --manifest list.jsonl --edits pbsi --lpips lpips.safetensors
  dragnext eval --manifest list.jsonl --edits pbsi --compare region-drag --format latex
      Two folders, pair by pair
  dragnext eval photos --edits tried --compare pbsi
      The methods of `batch --methods pbsi,region-drag -o tried`, compared with one of them
  dragnext eval photos --edits edited --metrics md --md-model sd21
      Mean distance, as the papers measure it
  dragnext eval --records edited/records/all.jsonl --sheet worst.png

This writes lpips.safetensors:

  pip install lpips safetensors
  python3 -c 'import lpips, safetensors.torch as s; s.save_model(lpips.LPIPS(net="alex"), "lpips.safetensors")'"#;

fn seconds(text: &str) -> std::result::Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|seconds: &f64| *seconds > 0.0 && *seconds <= 86_400.0)
        .ok_or("expected a number of seconds above 0")
}

/// Measures the edits and prints the result.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let (mut metrics, unavailable) = arguments.metrics(interrupt)?;
    let sort = arguments.sort(&metrics)?;
    let items = arguments.items()?;
    arguments.check_sheet(&items)?;
    let mut progress = EvalLines::new(arguments.quiet);
    let evaluation = eval::evaluate(
        items,
        &mut metrics,
        arguments.seed,
        &mut progress,
        interrupt,
    )?;
    let report = EvalReport {
        evaluation: &evaluation,
        edits: arguments.edits_name(),
        sort,
        unavailable: &unavailable,
        judge: arguments.judge.clone(),
        each: arguments.each,
    };
    report::print_evaluation(&report, arguments.format)?;
    if let Some(path) = &arguments.sheet {
        let exhibits = sheet::exhibits(&evaluation, &report.sort);
        write_drawing(path, &contact_sheet(&exhibits), arguments.overwrite)?;
        report::print_written(path);
    }
    evaluation.result()
}
