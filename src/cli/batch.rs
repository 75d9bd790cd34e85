//! `dragnext batch`: many pictures in one run.

use std::path::PathBuf;
use std::time::Instant;

use super::cache::use_cache;
use super::compute::ComputeArguments;
use super::instruction::read_drag_file;
use super::model::ModelArguments;
use super::setting_flags::{SettingFlags, method};
use crate::batch::{
    Batch, DryRun, History, Item, Limits, List, ListOptions, ListSource, Log, Options, Redo,
    Resolver, Seeds, Shard, to_manifest,
};
use crate::drag_file::DragFile;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::method::Method;
use crate::model::Model;
use crate::plan::{Choice, check_methods};
use crate::progress;
use crate::report::{self, Failure, LeftOut};

/// Edits many pictures in one run, which can be stopped and continued.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Arguments {
    /// A folder of pictures with their drag files.
    #[arg(value_name = "DIR", required_unless_present = "manifest")]
    folder: Option<PathBuf>,

    /// A list of items, one JSON object per line: `image`, and optionally `id`, `drag`, `out` and `settings`. Paths are relative to the manifest.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with = "folder")]
    manifest: Option<PathBuf>,

    /// The output folder. `out` in a manifest is relative to it.
    #[arg(long, short, value_name = "OUT_DIR")]
    output: PathBuf,

    /// One drag file for all pictures that have none of their own in the manifest.
    #[arg(long, short, value_name = "FILE")]
    drag: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    compute: ComputeArguments,

    /// Edit N pictures at a time, sharing each call of the network.
    ///
    /// Meant for a GPU; a CPU gains nothing. Needs about N times the memory in addition to the weights, and for each LoRA a copy of the weights that
    /// it changes (0.2 GB for SD 1.5 in 16 bits). Pictures that do not fit together are edited one by one. Results differ by rounding only, but training and dragging amplify it. A picture that is in the list several times is edited alone, to reuse its LoRA and
    /// inversion; with `--no-cache` it is not.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64), hide_default_value = true)]
    batch: u8,

    /// Edit each picture once with each of these seeds, such as `1,2,5-8`.
    ///
    /// The variants go to `cat.seed-1.png` and so on. They share one LoRA, trained with the first seed or with `--lora-seed`; with the cache it
    /// is trained once for each shard. Takes precedence over `--seed` and the seeds of drag files. With `--start paper` the seed changes
    /// nothing. `report merge` needs the manifest that `--seeds ... --dry-run --json` prints.
    #[arg(long, value_name = "LIST")]
    seeds: Option<Seeds>,

    /// Edit each picture once with each of these methods, such as `pbsi,region-drag`.
    ///
    /// The results go to `cat.pbsi.png` and so on, and a contact sheet of them to `cat.methods.png`. Takes precedence over `--method` and the methods of drag files. A setting applies to the methods
    /// that have it.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = method())]
    methods: Vec<Method>,

    /// Edit a part of the list: item k, from 0, belongs to shard k mod N. Each shard can run on any machine, and can be run again.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Edit again although nothing changed: `failed`, `all`, or the id of an item.
    #[arg(long, value_name = "failed|all|ID")]
    redo: Vec<String>,

    /// Replace outputs that no record in the output folder names. Results that are named are replaced without this when something that decides
    /// them changed.
    #[arg(long)]
    overwrite: bool,

    /// Skip invalid items of the list instead of stopping. They count as failed.
    #[arg(long)]
    keep_going: bool,

    /// Permit inputs outside the folder of the list.
    #[arg(long)]
    allow_outside: bool,

    /// Edit JPEGs of which rows are missing; they are grey. Without this they are failed items.
    #[arg(long)]
    accept_damaged: bool,

    /// Stop after the first failed item.
    #[arg(long, conflicts_with = "max_failures")]
    fail_fast: bool,

    /// Stop after N failed items.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_failures: Option<u64>,

    /// Begin no further item after S seconds. The exit status is then 75.
    #[arg(long, value_name = "S", value_parser = seconds)]
    max_seconds: Option<f64>,

    /// Print what would be done, with sizes and an estimate; with `--json`, print a manifest. Writes nothing.
    #[arg(long)]
    dry_run: bool,

    /// Train no LoRA, as `--lora-steps 0`. The starts `moved` and `paper` then keep less of their pictures.
    #[arg(long)]
    no_lora: bool,

    /// Do not use the cache of trained LoRA weights and inversions. By default it is read, and filled for pictures that are in the list
    /// several times.
    #[arg(long)]
    no_cache: bool,

    /// Take every pixel from the model, instead of keeping the original outside the editable area.
    #[arg(long)]
    no_composite: bool,

    /// Do not write into the PNGs how they were made.
    #[arg(long)]
    no_metadata: bool,

    /// Leave out the pictures' own EXIF, XMP and text, such as date and place. Without this the results keep them, except for thumbnails. Colour profiles stay.
    #[arg(long)]
    strip_metadata: bool,

    /// Print each record to stdout as a line of JSON, and a summary at the end.
    #[arg(long)]
    json: bool,

    /// Show neither progress nor warnings.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    settings: SettingFlags,
}

const ABOUT: &str = "Edits many pictures in one run, which can be stopped and continued.

Takes a folder or a manifest. In a folder, `cat.png` (or a JPEG or WebP) is edited with `cat.json`, else with `cat/drag.json`.

- The whole list is checked before anything runs.
- Results go to the output folder, in the same subfolders. A record of each item goes to `records/` in it.
- Run again, the same command edits only items that are not done, or whose picture, drag file, settings, weights or program changed.
- Other settings with the same output folder replace its results. The run says how many; give another folder to keep both.
- A file that no record in the folder names is never replaced without `--overwrite`.
- A failed item does not stop the others. The exit status is then 1.";

const EXAMPLES: &str = r#"Examples:

  dragnext batch photos -o edited                       photos/cat.png with photos/cat.json gives edited/cat.png
  dragnext batch --manifest list.jsonl -o edited        a line: {"id": "cat", "image": "in/cat.png", "drag": "cat.json"}
  dragnext batch photos -o edited --shard 0/8           the first of eight runs, on any machine
  dragnext batch photos -o edited --redo failed         edits the failed items again

SIGINT and SIGTERM stop the current item and keep finished results; a second signal stops immediately.
`dragnext batch --help` also shows the settings of the method."#;

fn seconds(text: &str) -> std::result::Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|seconds: &f64| *seconds >= 0.0)
        .ok_or("expected a number of seconds")
}

/// Edits the pending items of the list.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let started = Instant::now();
    if !arguments.methods.is_empty() {
        check_methods(&arguments.methods, &arguments.choice(), None)?;
    }
    let compute = arguments.compute.choose()?;
    if !arguments.quiet {
        report::print_warnings(&compute.warnings);
    }
    let drag = match &arguments.drag {
        Some(path) => {
            let drag = read_drag_file(path)?;
            let path = drag.path.clone();
            Some((drag, path))
        }
        None => None,
    };
    let list = match arguments.list() {
        Ok(list) => list,
        Err(error) => {
            arguments.print_faults(&error)?;
            return Err(error);
        }
    };
    if !arguments.quiet {
        report::print_warnings(&list.warnings);
    }
    let redo = Redo::new(&arguments.redo);
    redo.check(&list.items)?;
    let items = arguments.items(&list);
    if arguments.dry_run && arguments.json {
        return report::print_text(&to_manifest(&items, &list.root, &arguments.output)?);
    }
    if let (true, Some(shard)) = (items.is_empty(), arguments.shard) {
        arguments.print_line(&format!("0 items in shard {shard}"));
        return Ok(());
    }
    if arguments.dry_run {
        let model = arguments.model.open_present()?;
        let history = History::read(&arguments.output)?;
        let resolver = arguments.resolver(&list, drag, model.as_ref())?;
        let dry_run = DryRun::new(&items, &resolver, &history);
        report::print_text(&dry_run.text)?;
        if let (Some(model), true) = (&model, resolver.needs_clip(&items)) {
            model.clip()?;
        }
        return dry_run.result();
    }

    let model = arguments.model.open(arguments.quiet, interrupt)?;
    let resolver = arguments.resolver(&list, drag, Some(&model))?;
    let clip = if resolver.needs_clip(&items) {
        arguments.model.fetch_clip(arguments.quiet, interrupt)?;
        model.clip()?.sha256()?
    } else {
        String::new()
    };
    let (mut log, truncated) = Log::open(&arguments.output, arguments.shard)?;
    if !arguments.quiet {
        report::print_warnings(truncated.as_slice());
    }
    let batch = Batch {
        resolver,
        list: &list.items,
        history: History::read(&arguments.output)?,
        redo,
        outputs: &arguments.output,
        model: model.name(),
        additions: model.additions(),
        clip,
        computed_on: compute.names(),
        numerics: compute.numerics,
        options: arguments.options(),
        quiet: arguments.quiet,
    };
    let load = |model| {
        let mut progress = progress::for_terminal(arguments.quiet);
        let mut editor = compute.load(model, &mut *progress, interrupt)?;
        if !arguments.no_cache {
            use_cache(&mut *editor)?;
        }
        Ok(editor)
    };
    let (mut summary, result) = batch.run(items, model, load, &mut log, interrupt)?;
    summary.seconds = started.elapsed().as_secs_f64();
    arguments.print_line(&summary.to_string());
    if arguments.json {
        report::print_json(&summary.to_json())?;
    }
    result
}

impl Arguments {
    fn list(&self) -> Result<List> {
        let source = match &self.manifest {
            Some(manifest) => ListSource::Manifest(manifest.clone()),
            // clap requires a folder where there is no manifest.
            None => ListSource::Folder(self.folder.clone().unwrap_or_default()),
        };
        let seeds = self.seeds.clone().unwrap_or_default();
        let options = ListOptions {
            outputs: &self.output,
            drag: self.drag.as_deref(),
            seeds: &seeds,
            methods: &self.methods,
            allow_outside: self.allow_outside,
            keep_going: self.keep_going,
            only_reads: false,
        };
        List::read(&source, options)
    }

    /// Returns the items of the shard, or all.
    fn items<'a>(&self, list: &'a List) -> Vec<&'a Item> {
        list.items
            .iter()
            .filter(|item| self.shard.is_none_or(|shard| shard.has(item.index)))
            .collect()
    }

    /// Prints the faults of the list to stdout, with `--json`.
    fn print_faults(&self, error: &Error) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        let faults: Vec<Failure> = match error {
            Error::Several { errors } => errors.iter().map(Failure::from).collect(),
            error => vec![Failure::from(error)],
        };
        report::print_json(&serde_json::json!({ "v": 1, "faults": faults }))
    }

    fn resolver(
        &self,
        list: &List,
        drag: Option<(DragFile, PathBuf)>,
        model: Option<&Model>,
    ) -> Result<Resolver> {
        let mut resolver = Resolver::new(self.choice(), model, drag)?;
        resolver.keeps_outside = !self.no_composite;
        resolver.accepts_damaged = self.accept_damaged;
        resolver.left_out = LeftOut {
            stripped: self.strip_metadata,
            unreported: self.no_metadata,
        };
        resolver.has_several_methods = !self.methods.is_empty();
        if !self.allow_outside {
            let drag_folder = self.drag.as_ref().and_then(|path| path.parent());
            resolver.roots = [Some(list.root.as_path()), drag_folder]
                .into_iter()
                .flatten()
                .map(PathBuf::from)
                .collect();
        }
        Ok(resolver)
    }

    /// Returns the method and the settings of the command line and the environment.
    fn choice(&self) -> Choice {
        let mut choice = self.settings.choice.clone();
        if !self.methods.is_empty() {
            choice.method = None;
        }
        if self.no_lora {
            choice.values.set("lora_steps", 0);
        }
        if self.seeds.is_some() {
            // The seeds of the list take precedence.
            choice.values.remove("seed");
        }
        if self.no_composite {
            // Without the original, the model has to see every pixel.
            choice.values.set_default("window", "full");
        }
        choice
    }

    fn options(&self) -> Options {
        let max_failures = if self.fail_fast {
            Some(1)
        } else {
            self.max_failures.map(|count| count as usize)
        };
        Options {
            overwrite: self.overwrite,
            json: self.json,
            group_size: self.batch.into(),
            limits: Limits::new(max_failures, self.max_seconds),
        }
    }

    fn print_line(&self, line: &str) {
        if !self.quiet {
            report::print_line(line);
        }
    }
}
