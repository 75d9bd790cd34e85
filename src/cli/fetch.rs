//! `dragnext fetch`: a model's files from the hub into the cache, checked.

use serde::Serialize;

use crate::error::Result;
use crate::hub::{self, Environment, Fetched, HubId};
use crate::interrupt::Interrupt;
use crate::model::Source;
use crate::model::layout::STABLE_DIFFUSION;
use crate::progress::{Transfer, amount};
use crate::report::{self, Failure};

/// Fetches a model from the Hugging Face hub into the cache, and checks what is there.
///
/// Prints the model's name with its commit, and the folder with its files. What is in the cache already is compared with what was
/// fetched; what is damaged is fetched again. A download that was stopped goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// The model, as `owner/name` or `owner/name@revision`.
    #[arg(default_value = STABLE_DIFFUSION.repository, env = "DRAGNEXT_MODEL")]
    model: String,

    /// Fetch nothing: check what is in the cache. `HF_HUB_OFFLINE=1` does the same.
    #[arg(long)]
    offline: bool,

    /// Print one line of JSON to stdout: model, commit, folder, files and the bytes that were received.
    #[arg(long)]
    json: bool,

    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLE: &str = "\
The cache is that of the Hugging Face Python library: HF_HOME or HF_HUB_CACHE
says where it is, HF_ENDPOINT where the hub is, and HF_TOKEN holds a token for
private models. Of two formats of the same weights the smaller one is fetched.

  dragnext fetch                                 Stable Diffusion 1.5, about 2 GB
  dragnext fetch OWNER/NAME@COMMIT               a model fine-tuned from it";

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    commit: &'a str,
    folder: String,
    files: &'a [String],
    received: u64,
}

/// What is printed as JSON when it failed.
#[derive(Debug, Serialize)]
struct Failed<'a> {
    model: &'a str,
    error: Failure,
}

/// Fetches, and says where the files are.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let Some(id) = Source::hub_id(&arguments.model) else {
        return say_where(&Source::parse(&arguments.model)?);
    };
    let mut transfer = Transfer::for_terminal(arguments.quiet);
    let fetched = arguments.fetch(&id, &mut transfer, interrupt);
    if let (true, Err(error)) = (arguments.json, &fetched) {
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
        0 => format!(
            "{} files are in the cache, and are as they were fetched",
            files.len()
        ),
        _ => format!(
            "{} files are in the cache; {} were received",
            files.len(),
            amount(received)
        ),
    });
    let folder = snapshot.folder.display().to_string();
    if arguments.json {
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

impl Arguments {
    fn fetch(&self, id: &HubId, transfer: &mut Transfer, interrupt: &Interrupt) -> Result<Fetched> {
        let environment = Environment::read();
        if self.offline || environment.offline {
            hub::check(&environment, id, &STABLE_DIFFUSION)
        } else {
            hub::fetch(&environment, id, &STABLE_DIFFUSION, transfer, interrupt)
        }
    }
}

/// `demo` and folders need no fetching.
fn say_where(source: &Source) -> Result<()> {
    let place = source.folder().map_or_else(
        || "built in".to_owned(),
        |folder| folder.display().to_string(),
    );
    report::print_text(&format!("{}\n{place}\n", source.name()))
}
