//! `dragnext eval`: the metrics of the papers over many edits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::batch::{self, ListOptions, ListSource, Seeds};
use crate::drag_file::DragFile;
use crate::error::{Error, ErrorKind, RecordedKind, Result};
use crate::eval::{self, Edit, EditFailure, Evaluation, Items};
use crate::files;
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
use crate::merge::Manifest;
use crate::metrics::{CONVERT, Dai, Family, Fidelity, Judge, Lpips, LpipsFile, Metric, Outside};
use crate::picture;
use crate::preview::{Exhibit, MOST_EXHIBITS, contact_sheet};
use crate::report::{self, EvalFormat, EvalLines, EvalReport, Unavailable};

use super::metric_networks::MetricNetworks;
use super::preview::write as write_drawing;

/// Everything that is measured.
type Metrics = Vec<Box<dyn Metric>>;

/// Figures that edits are sorted by, unless another is named: the first of these that is measured.
const SORTED_BY: [&str; 3] = ["IF_th, cropped", "MD-A", "DAI(10)"];

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
    #[arg(long, value_name = "DIR", required_unless_present = "records")]
    edits: Option<PathBuf>,

    /// Take pictures, drag files and results from these record files instead. With `--manifest`, its items without a record count as failed.
    #[arg(long, value_name = "FILES", num_args = 1.., conflicts_with_all = ["folder", "edits", "drag"])]
    records: Vec<PathBuf>,

    /// Compare with the edits of another method, pair by pair: a folder, or with `--records` a record file.
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

    /// The figure that edits are sorted by [default: the first of `IF_th, cropped`, `MD-A` and `DAI(10)` that is measured].
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

Takes originals with their drag files, and a folder of edits. Prints mean, median and a 95 % interval of each figure, for all edits and for each
category: the `category` of the manifest, else the first folder of the picture.

- IF, IF_ed, IF_hh, IF_th and IF_bg need the weights of LPIPS (`--lpips`). DAI, PSNR and SSIM need no weights. MD needs a model (`--md-model`), CLIP-I and
  CLIP-T a CLIP (`--clip`).
- An edit that is missing or cannot be read counts as failed: it is in no mean, but worst in the median, and it loses its pair in a comparison. The
  exit status is then 1.
- An edit of another size is resized to its original's.";

const EXAMPLES: &str = r#"Examples:

  dragnext eval photos --edits edited                                    what needs no weights
  dragnext eval --manifest list.jsonl --edits pbsi --lpips lpips.safetensors
  dragnext eval --manifest list.jsonl --edits pbsi --compare region-drag --format latex
  dragnext eval photos --edits edited --metrics md --md-model sd21       mean distance, as the papers measure it
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
        other: arguments.compare.as_deref().map(display),
        sort,
        unavailable: &unavailable,
        judge: arguments.judge.clone(),
        each: arguments.each,
    };
    report::print_evaluation(&report, arguments.format)?;
    if let Some(sheet) = &arguments.sheet {
        let exhibits = exhibits(&evaluation, &report.sort);
        write_drawing(sheet, &contact_sheet(&exhibits), arguments.overwrite)?;
        report::print_written(sheet);
    }
    evaluation.result()
}

impl Arguments {
    /// Rejects a sheet that would replace something that is read.
    fn check_sheet(&self, items: &Items) -> Result<()> {
        let Some(sheet) = &self.sheet else {
            return Ok(());
        };
        let inputs: Vec<PathBuf> = [&self.manifest, &self.drag, &self.lpips]
            .into_iter()
            .flatten()
            .chain(&self.records)
            .chain(items.items.iter().flat_map(eval::Item::files))
            .cloned()
            .collect();
        files::check_output(&inputs, sheet, self.overwrite)?;
        files::check_png_name(sheet)
    }

    /// Returns whether a family is to be measured.
    fn wants(&self, family: Family) -> bool {
        self.metrics.is_empty() || self.metrics.contains(&family)
    }

    /// Opens everything that can be measured. Also returns what cannot.
    fn metrics(&self, interrupt: &Interrupt) -> Result<(Metrics, Vec<Unavailable>)> {
        let (mut metrics, mut unavailable): (Metrics, _) = (Vec::new(), Vec::new());
        if self.wants(Family::Lpips) {
            match &self.lpips {
                Some(path) => {
                    let file = LpipsFile::read(path)?;
                    let sha256 = file.sha256.clone();
                    metrics.push(Box::new(Fidelity::new(Lpips::new(&Cpu, file), &sha256)));
                }
                None => unavailable.push(Unavailable {
                    figures: Fidelity::<Cpu>::names(),
                    reason: "the weights of LPIPS are not given".into(),
                    hint: format!("`--lpips FILE` gives them; this writes the file: {CONVERT}"),
                }),
            }
        }
        if self.wants(Family::Dai) {
            metrics.push(Box::new(Dai::new()));
        }
        if self.wants(Family::Outside) {
            metrics.push(Box::new(Outside::new()));
        }
        let is_named = |family| self.metrics.contains(&family);
        let mut opened = Vec::new();
        if self.wants(Family::Md) {
            opened.push(
                self.networks
                    .mean_distance(is_named(Family::Md), interrupt)?,
            );
        }
        if self.wants(Family::Clip) {
            opened.push(
                self.networks
                    .clip_similarity(is_named(Family::Clip), interrupt)?,
            );
        }
        for metric in opened {
            match metric {
                Ok(metric) => metrics.push(metric),
                Err(missing) => unavailable.push(missing),
            }
        }
        if self.wants(Family::Gscore) {
            let limit = Duration::from_secs_f64(self.judge_seconds);
            let judge = self
                .judge
                .as_deref()
                .and_then(|judge| Judge::new(judge, limit));
            match judge {
                Some(judge) => metrics.push(Box::new(judge)),
                None => unavailable.push(Unavailable {
                    figures: vec!["GScore".into()],
                    reason: "no judge is given".into(),
                    hint: "`--judge COMMAND` gives a program that rates edits".into(),
                }),
            }
        }
        // What was asked for by name must be there.
        if let (false, Some(missing)) = (self.metrics.is_empty(), unavailable.first()) {
            return Err(Error::Finding {
                kind: ErrorKind::EvalUnavailable,
                reason: format!("{}: {}", missing.figures.join(", "), missing.reason),
                hint: missing.hint.clone(),
            });
        }
        Ok((metrics, unavailable))
    }

    /// Returns the figure that edits are sorted by.
    fn sort(&self, metrics: &[Box<dyn Metric>]) -> Result<String> {
        let names: Vec<&str> = metrics
            .iter()
            .flat_map(|metric| metric.figures())
            .map(|figure| figure.name.as_str())
            .collect();
        match &self.sort {
            Some(name) if names.contains(&name.as_str()) => Ok(name.clone()),
            Some(name) => Err(Error::Finding {
                kind: ErrorKind::EvalUnavailable,
                reason: format!("--sort: `{name}` is not measured"),
                hint: format!("these figures are: {}", names.join("; ")),
            }),
            None => {
                let known = SORTED_BY.iter().find(|name| names.contains(name));
                Ok(known
                    .or(names.first())
                    .copied()
                    .unwrap_or_default()
                    .to_owned())
            }
        }
    }

    fn items(&self) -> Result<Items> {
        if self.records.is_empty() {
            return self.items_of_list();
        }
        let manifest = self.manifest.as_deref().map(Manifest::read).transpose()?;
        let manifest = self.manifest.as_deref().zip(manifest.as_ref());
        let (merged, roots) = eval::read_records(&self.records, manifest)?;
        let other = match &self.compare {
            Some(file) => Some(eval::read_records(std::slice::from_ref(file), manifest)?),
            None => None,
        };
        if !self.quiet {
            report::print_merge_warnings(&merged);
        }
        let other = other
            .as_ref()
            .map(|(merged, roots)| (merged, roots.as_slice()));
        Ok(Items::of_records((&merged, &roots), other))
    }

    fn items_of_list(&self) -> Result<Items> {
        let edits = self.edits.as_deref().unwrap_or(Path::new(""));
        for folder in std::iter::once(edits).chain(self.compare.as_deref()) {
            if !folder.is_dir() {
                return Err(Error::Given {
                    path: folder.to_path_buf(),
                    kind: ErrorKind::EvalNoEdits,
                    reason: "is not a folder of edits".into(),
                    hint: "`dragnext batch` writes one with `-o`".into(),
                });
            }
        }
        if let Some(drag) = &self.drag {
            DragFile::read(drag)?;
        }
        let source = match (&self.manifest, &self.folder) {
            (Some(manifest), _) => ListSource::Manifest(manifest.clone()),
            // clap requires a folder where there is no manifest.
            (None, folder) => ListSource::Folder(folder.clone().unwrap_or_default()),
        };
        let list = batch::List::read(
            &source,
            ListOptions {
                outputs: edits,
                drag: self.drag.as_deref(),
                seeds: &Seeds::default(),
                methods: &[],
                allow_outside: self.allow_outside,
                keep_going: self.keep_going,
            },
        )?;
        if !self.quiet {
            report::print_warnings(&list.warnings);
        }
        let items = list.items.into_iter().map(|item| self.item(item, edits));
        Ok(Items::of_list(items.collect(), self.compare.is_some()))
    }

    /// Returns an item of a list, whose output is its edit. The other method's edit has the same path in its folder.
    fn item(&self, item: batch::Item, edits: &Path) -> eval::Item {
        let other = self.compare.as_ref().map(|other| {
            let relative = item.out.strip_prefix(edits).unwrap_or(&item.out);
            other.join(relative)
        });
        let fault = item.fault.map(|fault| {
            Edit::Failed(EditFailure {
                kind: RecordedKind::Known(fault.kind),
                message: format!("{}: {}", fault.place, fault.reason),
            })
        });
        let files = std::iter::once(item.out).chain(other);
        eval::Item {
            id: item.id,
            category: item.category,
            image: item.image,
            drag: item.drag.or(self.drag.clone()).unwrap_or_default(),
            edits: files
                .map(|file| fault.clone().unwrap_or(Edit::File(file)))
                .collect(),
        }
    }

    /// Returns what the edits are called in tables.
    fn edits_name(&self) -> String {
        let name = self
            .edits
            .as_deref()
            .or(self.records.first().map(PathBuf::as_path));
        name.map(display).unwrap_or_default()
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

/// Returns the worst edits with their pictures.
fn exhibits(evaluation: &Evaluation, sort: &str) -> Vec<Exhibit> {
    let index = evaluation
        .figures
        .iter()
        .position(|figure| figure.name == sort);
    let rows = evaluation.worst_first(sort).into_iter().take(MOST_EXHIBITS);
    let read = |path: &Path| Some(picture::read_any(path).ok()?.picture);
    let exhibit = |row: &eval::Row| {
        let edit = &row.edits[0];
        let value = index.and_then(|index| {
            let digits = evaluation.figures[index].digits;
            Some(format!("{:.digits$}  ", edit.outcomes[index].value()?))
        });
        let problem = edit
            .failure
            .as_ref()
            .map(|failure| failure.kind.name().to_owned());
        let after = edit.path.as_deref().and_then(read);
        Exhibit::new(
            format!("{}{}", value.unwrap_or_default(), row.id),
            problem,
            read(&row.image).as_ref(),
            after.as_ref(),
        )
    };
    rows.map(exhibit).collect()
}
