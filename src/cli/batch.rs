//! `dragnext batch`: many pictures in one run.

use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;

use super::cache::reuse;
use super::compute::{Compute, ComputeArguments};
use super::model::ModelArguments;
use super::rehearsal;
use super::setting_flags::SettingFlags;
use crate::batch::{
    History, Item, Limits, List, Log, Origin, Redo, Rules, Run, Seeds, Shard, State, Tally, Terms,
    remember, remembered, verdict,
};
use crate::drag_file::DragFile;
use crate::edit::Provenance;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::progress::{self, Items};
use crate::report::{self, Failure, Summary};

/// Edits many pictures: the weights are loaded once, and a run that was stopped goes on where it was.
///
/// Takes a folder, in which `cat.png` (or .jpg, .jpeg, .webp) goes with `cat.json`, else with `cat/drag.json`, or a manifest. The whole
/// list is checked before anything runs. Results go to the output folder, in the same sub-folders, and a line for each item to
/// `records/` in it. The same command again does only what is not done yet, or what changed: picture, drag file, settings, weights or
/// program. One item that fails does not stop the others; the exit status is then 1.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Arguments {
    /// A folder of pictures with their drag files.
    #[arg(
        value_name = "DIR",
        required_unless_present = "manifest",
        conflicts_with = "manifest"
    )]
    folder: Option<PathBuf>,

    /// A list of items: lines of JSON with `image`, and `id`, `drag`, `out` and `settings` where they are not the usual ones. Paths are relative to it.
    #[arg(long, value_name = "FILE.jsonl")]
    manifest: Option<PathBuf>,

    /// Where the results go; `out` of the manifest is relative to it.
    #[arg(long, short, value_name = "OUT_DIR")]
    output: PathBuf,

    /// One drag file for all pictures that have none of their own in the manifest.
    #[arg(long, short, value_name = "FILE")]
    drag: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    compute: ComputeArguments,

    /// Edit N pictures side by side: what they ask of the network at the same time is computed in one call. Meant for a GPU; a processor gains nothing by it. It takes about N times the memory beside the weights, and for each LoRA a copy of the weights that it changes (0.2 GB for SD 1.5 in 16 bits); where that is too much, they go one by one. Results are the same but for rounding, which training and drag amplify. A picture that the list has several times goes by itself, because its LoRA and inversion are used again; with --no-cache it does not.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64), hide_default_value = true)]
    batch: u8,

    /// Edit each picture once with each of these seeds, such as 1,2,5-8: variants of its drag, to `cat.seed-1.png` and so on. They have one LoRA, trained with the first seed or with --lora-seed, and with the cache it is trained once (by each shard that has one of them). `report merge` wants the list of `--seeds ... --dry-run --json`. With `--start paper` there is nothing that a seed changes. Goes before --seed and the drag file's seeds.
    #[arg(long, value_name = "LIST")]
    seeds: Option<Seeds>,

    /// Do a part of the list: item k, from 0, belongs to shard k mod N. Every shard can run anywhere, and again.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Do again although nothing changed: `failed`, `all`, or the id of an item.
    #[arg(long, value_name = "failed|all|ID")]
    redo: Vec<String>,

    /// Replace outputs that this program did not make from the same picture.
    #[arg(long)]
    overwrite: bool,

    /// Go on without the items that are at fault in the list; they count as failed.
    #[arg(long)]
    keep_going: bool,

    /// Read inputs outside the folder of the list too.
    #[arg(long)]
    allow_outside: bool,

    /// Begin no further item after the first that failed.
    #[arg(long, conflicts_with = "max_failures")]
    fail_fast: bool,

    /// Begin no further item after N that failed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_failures: Option<u64>,

    /// Begin no further item after S seconds; the exit status is then 75.
    #[arg(long, value_name = "S", value_parser = seconds)]
    max_seconds: Option<f64>,

    /// Say what would be done, with sizes and an estimate; with --json, print it as a manifest. Nothing is written.
    #[arg(long)]
    dry_run: bool,

    /// Train no LoRA: faster, but the results keep less of their pictures.
    #[arg(long)]
    no_lora: bool,

    /// Train and invert anew, and keep nothing of it. Otherwise what earlier edits left in the cache is used, and what is done for a picture that the list has several times is kept.
    #[arg(long)]
    no_cache: bool,

    /// Take every pixel from the model instead of keeping the original ones outside the editable area.
    #[arg(long)]
    no_composite: bool,

    /// Leave out the PNGs' text that says how each was made.
    #[arg(long)]
    no_metadata: bool,

    /// Print the record of each item to stdout, as a line of JSON, and a summary at the end.
    #[arg(long)]
    json: bool,

    /// Show neither progress nor warnings.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    settings: SettingFlags,
}

const EXAMPLE: &str = r#"Examples:

  dragnext batch photos -o edited                       photos/cat.png with photos/cat.json gives edited/cat.png
  dragnext batch --manifest list.jsonl -o edited        a line: {"id": "cat", "image": "in/cat.png", "drag": "cat.json"}
  dragnext batch photos -o edited --shard 0/8           the first of eight runs, on any machine
  dragnext batch photos -o edited --redo failed         tries again what failed

SIGINT and SIGTERM stop the item at work and keep what is done; a second one stops at once. `dragnext batch --help` also shows the
settings of the method."#;

fn seconds(text: &str) -> std::result::Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|seconds: &f64| *seconds >= 0.0)
        .ok_or("expected a number of seconds")
}

/// Does what is left of the list.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let since = Instant::now();
    let compute = arguments.compute.choose()?;
    let drag = match &arguments.drag {
        Some(path) => Some((DragFile::read(path)?, path.clone())),
        None => None,
    };
    let list = arguments.list().or_else(|error| arguments.refuse(error))?;
    if !arguments.quiet {
        report::print_warnings(&list.warnings);
    }
    arguments.check_redo(&list)?;
    let selected: Vec<&Item> = list
        .items
        .iter()
        .filter(|item| arguments.shard.is_none_or(|shard| shard.has(item.index)))
        .collect();
    if arguments.dry_run && arguments.json {
        return rehearsal::print_manifest(&list, &selected, &arguments.output);
    }
    if selected.is_empty() {
        arguments.say(&format!(
            "0 items in shard {}",
            arguments
                .shard
                .map(|shard| shard.to_string())
                .unwrap_or_default()
        ));
        return Ok(());
    }
    if arguments.dry_run {
        let model = arguments.model.open_present()?;
        let history = History::read(&arguments.output)?;
        return rehearsal::print(
            &selected,
            &arguments.terms(&list, drag, model.as_ref())?,
            &history,
        );
    }

    let model = arguments.model.open(arguments.quiet, interrupt)?;
    let terms = arguments.terms(&list, drag, Some(&model))?;
    let (mut log, torn) = Log::open(&arguments.output, arguments.shard)?;
    if !arguments.quiet {
        report::print_warnings(torn.as_slice());
    }
    let history = History::read(&arguments.output)?;
    let mut summary = Summary {
        items: selected.len(),
        ..Summary::default()
    };
    let mut work = Work {
        arguments,
        terms,
        history,
        compute: &compute,
        name: model.name(),
    };
    let (tally, ended) = work.run(model, selected, &mut log, &mut summary, interrupt)?;
    summary.left =
        summary.items - summary.done_before - summary.failed_before - tally.done - tally.failed;
    (summary.done, summary.failed, summary.seconds) =
        (tally.done, tally.failed, since.elapsed().as_secs_f64());
    arguments.say(&summary.to_string());
    if arguments.json {
        report::print_json(&summary.to_json())?;
    }
    ended?;
    verdict(&summary, &tally, interrupt)
}

/// What a run needs beside the list.
struct Work<'a> {
    arguments: &'a Arguments,
    terms: Terms,
    history: History,
    compute: &'a Compute,
    name: String,
}

impl Work<'_> {
    /// Does what is not done. The weights are read only when there is something to do, or when nothing else tells their hash.
    fn run(
        &mut self,
        model: Model,
        selected: Vec<&Item>,
        log: &mut Log,
        summary: &mut Summary,
        interrupt: &Interrupt,
    ) -> Result<(Tally, Result<()>)> {
        let outputs = &self.arguments.output;
        let known = remembered(outputs, &model);
        let is_new = !selected.iter().any(|item| self.history.knows(item));
        let mut selected = selected;
        if let (false, Some(weights)) = (is_new, &known) {
            selected = self.open(selected, weights, summary);
            if selected.is_empty() {
                return Ok((Tally::default(), Ok(())));
            }
        }
        let stamp = model.stamp();
        let mut progress = progress::for_terminal(self.arguments.quiet);
        let mut editor = self.compute.load(model, &mut *progress, interrupt)?;
        if !self.arguments.no_cache {
            reuse(&mut *editor)?;
        }
        let weights = editor.digest();
        remember(outputs, stamp, &weights);
        if !is_new && known.is_none() {
            selected = self.open(selected, &weights, summary);
        }
        let shown = Items::for_terminal(selected.len(), self.arguments.quiet);
        let run = Run {
            terms: &self.terms,
            device: &self.compute.device,
            history: &self.history,
            overwrite: self.arguments.overwrite,
            metadata: !self.arguments.no_metadata,
            json: self.arguments.json,
            together: self.arguments.batch.into(),
            limits: self.arguments.limits(),
            shown: &shown,
            interrupt,
        };
        let means = Provenance {
            weights: &weights,
            model: &self.name,
            numerics: self.compute.numerics,
        };
        let ended = run.all(&selected, &mut *editor, means, log);
        shown.close();
        Ok(ended)
    }

    /// The items that are to be done; the others are counted.
    fn open<'a>(
        &self,
        items: Vec<&'a Item>,
        weights: &str,
        summary: &mut Summary,
    ) -> Vec<&'a Item> {
        let redo = Redo::new(&self.arguments.redo);
        let means = Provenance {
            weights,
            model: &self.name,
            numerics: self.compute.numerics,
        };
        let states: Vec<State> = items
            .par_iter()
            .map(|item| self.history.state(item, &redo, &self.terms, means))
            .collect();
        summary.done_before = states.iter().filter(|state| **state == State::Done).count();
        summary.failed_before = states
            .iter()
            .filter(|state| **state == State::Failed)
            .count();
        items
            .into_iter()
            .zip(states)
            .filter(|(_, state)| *state == State::Open)
            .map(|(item, _)| item)
            .collect()
    }
}

impl Arguments {
    fn list(&self) -> Result<List> {
        let origin = match (&self.folder, &self.manifest) {
            (_, Some(manifest)) => Origin::Manifest(manifest.clone()),
            (Some(folder), None) => Origin::Folder(folder.clone()),
            (None, None) => unreachable!("the command line asks for one of them"),
        };
        let seeds = self.seeds.clone().unwrap_or_default();
        let rules = Rules {
            outputs: &self.output,
            drag: self.drag.as_deref(),
            seeds: &seeds,
            allow_outside: self.allow_outside,
            keep_going: self.keep_going,
        };
        let list = List::read(&origin, rules)?;
        if !list.items.is_empty() {
            return Ok(list);
        }
        let (Origin::Folder(path) | Origin::Manifest(path)) = origin;
        let hint = match self.manifest {
            Some(_) => {
                "each line is one JSON object, such as {\"image\": \"cat.png\", \"drag\": \"cat.json\"}"
            }
            None => {
                "`cat.png` goes with `cat.json` beside it, else with `cat/drag.json`; --drag gives one drag file for all"
            }
        };
        Err(not_started(
            ErrorKind::ManifestEmpty,
            format!("{}: there is nothing to edit", path.display()),
            hint,
        ))
    }

    /// The error about the list, as data too where that was asked for.
    fn refuse<T>(&self, error: Error) -> Result<T> {
        if self.json {
            let faults: Vec<Failure> = match &error {
                Error::Several { errors } => errors.iter().map(Failure::from).collect(),
                error => vec![Failure::from(error)],
            };
            report::print_json(&serde_json::json!({ "v": 1, "faults": faults }))?;
        }
        Err(error)
    }

    fn check_redo(&self, list: &List) -> Result<()> {
        let unknown = Redo::new(&self.redo)
            .ids
            .into_iter()
            .find(|id| !list.items.iter().any(|item| item.id == *id));
        match unknown {
            None => Ok(()),
            Some(id) => Err(not_started(
                ErrorKind::BatchUnknownId,
                format!("--redo: no item is called `{id}`"),
                "ids are those of the manifest, or paths in the folder without extension; --dry-run shows them",
            )),
        }
    }

    fn terms(
        &self,
        list: &List,
        drag: Option<(DragFile, PathBuf)>,
        model: Option<&Model>,
    ) -> Result<Terms> {
        let mut choice = self.settings.choice.clone();
        if self.no_lora {
            choice.values.set("lora_steps", 0);
        }
        if self.seeds.is_some() {
            // A flag, or the environment, would take precedence over the seeds of the list.
            choice.values.remove("seed");
        }
        if self.no_composite {
            // The model can only paint every pixel when it sees every pixel.
            choice.values.set_default("window", "full");
        }
        let mut terms = Terms::new(choice, model, drag)?;
        terms.keeps_outside = !self.no_composite;
        if !self.allow_outside {
            let beside = self.drag.as_ref().and_then(|path| path.parent());
            terms.roots = [Some(list.root.as_path()), beside]
                .into_iter()
                .flatten()
                .map(PathBuf::from)
                .collect();
        }
        Ok(terms)
    }

    fn limits(&self) -> Limits {
        let max_failures = if self.fail_fast {
            Some(1)
        } else {
            self.max_failures.map(|count| count as usize)
        };
        Limits::new(max_failures, self.max_seconds)
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            report::print_line(line);
        }
    }
}

fn not_started(kind: ErrorKind, reason: String, hint: &str) -> Error {
    Error::Batch {
        kind,
        reason,
        hint: hint.to_owned(),
    }
}
