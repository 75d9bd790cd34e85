//! `dragnext fetch`: downloads a model from the hub into the cache and verifies it.

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::hub::{self, Environment, Fetched, HubId, ModelFiles};
use crate::interrupt::Interrupt;
use crate::method::Method;
use crate::metrics::CONVERT;
use crate::model::layout::{CLIP, STABLE_DIFFUSION};
use crate::model::{ClipModel, Source};
use crate::progress::{Transfer, amount};
use crate::report::{self, Failure};
use crate::settings::Overrides;

/// Downloads a model from the Hugging Face hub into the cache, and verifies cached files.
///
/// Prints the model's name with its commit, and the folder with its files. Damaged files are fetched again. An interrupted download
/// is resumed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// The model, as `owner/name` or `owner/name@revision`, or `sd15`, `sd21` or `sd21-base` in short.
    #[arg(default_value = STABLE_DIFFUSION.repository, env = "DRAGNEXT_MODEL")]
    model: String,

    /// Also fetch what this method needs beside the model: a CLIP, for methods that follow a text.
    #[arg(long, value_name = "METHOD", value_parser = method)]
    method: Option<Method>,

    /// The CLIP that --method needs, as `owner/name` or `owner/name@revision`.
    #[arg(long, value_name = "CLIP", default_value = CLIP.repository, env = "DRAGNEXT_CLIP")]
    clip: String,

    /// Do not use the network, only verify the cache. `HF_HUB_OFFLINE=1` does the same.
    #[arg(long)]
    offline: bool,

    /// Print one line of JSON to stdout: model, commit, folder, files and the number of received bytes.
    #[arg(long)]
    json: bool,

    /// Do not show progress.
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLE: &str = "\
The cache is that of the Hugging Face Python library. HF_HOME or HF_HUB_CACHE
sets its folder, HF_ENDPOINT the address of the hub, and HF_TOKEN a token for
private models. If weights exist in several precisions, the smallest is fetched.

  dragnext fetch                                 Stable Diffusion 1.5, about 2 GB
  dragnext fetch sd21                            Stable Diffusion 2.1, about 2.6 GB; its
                                                 repository may ask for a token (HF_TOKEN)
                                                 of an account that accepted its licence
  dragnext fetch OWNER/NAME@COMMIT               a model fine-tuned from one of them
  dragnext fetch --method clip-drag              the same and a CLIP, about 4 GB";

/// The name of a metric whose weights one may expect here.
const LPIPS: &str = "lpips";

/// The JSON of a successful fetch.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    commit: &'a str,
    folder: String,
    files: &'a [String],
    received: u64,
}

/// The JSON of a failed fetch.
#[derive(Debug, Serialize)]
struct Failed<'a> {
    model: &'a str,
    error: Failure,
}

/// Reads the name of a method.
fn method(name: &str) -> std::result::Result<Method, String> {
    let names = || {
        let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
        names.join(", ")
    };
    name.parse()
        .map_err(|()| format!("expected one of {}", names()))
}

/// Fetches the model, and a CLIP if the method needs one, and prints their folders.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    if arguments.model == LPIPS && !Path::new(LPIPS).exists() {
        return Err(Error::Weights {
            path: LPIPS.into(),
            kind: ErrorKind::WeightsMissing,
            reason: "no repository of the hub is known to have these weights as safetensors".into(),
            hint: format!(
                "this writes them, for `dragnext eval --lpips lpips.safetensors`: {CONVERT}"
            ),
        });
    }
    match Source::hub_id(&arguments.model) {
        Some(id) => arguments.fetch(&id, &STABLE_DIFFUSION, interrupt)?,
        None => print_location(&Source::parse(&arguments.model)?)?,
    }
    let Some(method) = arguments.method else {
        return Ok(());
    };
    if !method.resolve(&Overrides::default())?.needs().clip {
        return Ok(());
    }
    match ClipModel::hub_id(&arguments.clip) {
        Some(id) => arguments.fetch(&id, &CLIP, interrupt),
        None => print_location(ClipModel::open(&arguments.clip)?.source()),
    }
}

impl Arguments {
    /// Fetches a model of the hub and prints its folder.
    fn fetch(&self, id: &HubId, files: &ModelFiles, interrupt: &Interrupt) -> Result<()> {
        let mut transfer = Transfer::for_terminal(self.quiet);
        let fetched = self.fetched(id, files, &mut transfer, interrupt);
        self.print(id, fetched, &mut transfer)
    }

    fn fetched(
        &self,
        id: &HubId,
        files: &ModelFiles,
        transfer: &mut Transfer,
        interrupt: &Interrupt,
    ) -> Result<Fetched> {
        let environment = Environment::read();
        if self.offline || environment.offline {
            hub::check(&environment, id, files)
        } else {
            hub::fetch(&environment, id, files, transfer, interrupt)
        }
    }

    fn print(&self, id: &HubId, fetched: Result<Fetched>, transfer: &mut Transfer) -> Result<()> {
        if let (true, Err(error)) = (self.json, &fetched) {
            report::print_json(&Failed {
                model: id.repository(),
                error: Failure::from(error),
            })?;
        }
        let Fetched {
            snapshot,
            files,
            received,
        } = fetched?;
        transfer.say(&match received {
            0 => format!("{} files in the cache are intact", files.len()),
            _ => format!(
                "{} files in the cache, {} received",
                files.len(),
                amount(received)
            ),
        });
        let folder = snapshot.folder.display().to_string();
        if self.json {
            return report::print_json(&Report {
                model: &snapshot.repository,
                commit: &snapshot.commit,
                folder,
                files: &files,
                received,
            });
        }
        report::print_text(&format!("{}\n{folder}\n", snapshot.name()))
    }
}

/// Prints the location of `demo` or a folder, which need no fetching.
fn print_location(source: &Source) -> Result<()> {
    let location = source.folder().map_or_else(
        || "built in".to_owned(),
        |folder| folder.display().to_string(),
    );
    report::print_text(&format!("{}\n{location}\n", source.name()))
}
