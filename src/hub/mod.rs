//! Models of the Hugging Face hub: `owner/name[@revision]`, looked for in the cache first and fetched when something is missing.
//!
//! The cache is the one of the Hugging Face Python library ([`cache`], [`environment`]): what one fetched, the other finds. Looking
//! there needs no network and no feature. Fetching (feature `hub`) takes addresses and the model's description from hf-hub. The files
//! come over connections of our own, because a large download must survive what networks do: it is retried and resumed, compared with the length and
//! the SHA-256 that the hub announced, and only then put in its place. Every process writes to a file of its own; a lock spares the others
//! the work, and nothing depends on it, because on some network disks everybody gets it.
//!
//! What was fetched is written down ([`ledger`]) and compared at every use ([`integrity`]).

pub mod cache;
pub mod environment;
pub mod id;
pub mod integrity;
pub mod ledger;
pub mod model_files;
pub mod pickle;

#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod download_lock;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod redirect;
#[cfg(feature = "hub")]
mod retry;

pub use cache::{Found, ModelFolder, Snapshot};
pub use environment::Environment;
pub use id::HubId;
pub use model_files::{ModelFile, ModelFiles};
pub use pickle::is_pickle;

use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// What to do about a cache that cannot be used.
const CACHE_HINT: &str = "HF_HUB_CACHE or HF_HOME chooses another folder for the cache";

/// What a fetch did.
#[derive(Debug)]
pub struct Fetched {
    /// The model's files.
    pub snapshot: Snapshot,
    /// Paths of the files that a model needs, in the order of fetching.
    pub files: Vec<String>,
    /// Bytes that came over the network.
    pub received: u64,
}

/// A model of the cache; no connection is opened.
///
/// # Errors
/// [`Error::Hub`]: `weights.missing` with every file that is missing, or `hub.cache` when the cache cannot be read.
pub fn find(environment: &Environment, id: &HubId, files: &ModelFiles) -> Result<Snapshot> {
    match look_up(environment, id, files)? {
        Found::Complete(snapshot) => Ok(snapshot),
        Found::Missing(absent) => Err(missing(environment, id, files, &absent)),
    }
}

/// Returns what the cache has of a model; no connection is opened.
///
/// # Errors
/// [`Error::Hub`] `hub.cache` when the cache cannot be read.
pub fn look_up(environment: &Environment, id: &HubId, files: &ModelFiles) -> Result<Found> {
    ModelFolder::new(&environment.cache, id.repository()).find(id, files)
}

/// The same, with every file compared with what was fetched.
///
/// # Errors
/// As [`find`]; `weights.damaged` or `weights.hash` when a file is not what was fetched.
pub fn check(environment: &Environment, id: &HubId, files: &ModelFiles) -> Result<Fetched> {
    let snapshot = find(environment, id, files)?;
    let files = snapshot.present(files);
    files
        .iter()
        .try_for_each(|name| integrity::check(&snapshot, name))?;
    Ok(Fetched {
        snapshot,
        files,
        received: 0,
    })
}

/// Fetches what is missing of a model, or damaged, and checks all of it.
///
/// # Errors
/// [`Error::Hub`] when it cannot be had, [`Error::Interrupted`].
#[cfg(feature = "hub")]
pub fn fetch(
    environment: &Environment,
    id: &HubId,
    files: &ModelFiles,
    transfer: &mut Transfer,
    interrupt: &Interrupt,
) -> Result<Fetched> {
    fetch::Fetch::new(environment, id, files, interrupt)?.run(transfer)
}

/// Says that this build cannot fetch.
///
/// # Errors
/// [`Error::Hub`] `weights.missing` unless the model is complete.
#[cfg(not(feature = "hub"))]
pub fn fetch(
    environment: &Environment,
    id: &HubId,
    files: &ModelFiles,
    _: &mut Transfer,
    _: &Interrupt,
) -> Result<Fetched> {
    check(environment, id, files)
}

/// Requests the description of the default repository, to see whether the hub replies.
///
/// # Errors
/// [`Error::Hub`] when it is not.
#[cfg(feature = "hub")]
pub fn reach(environment: &Environment, files: &ModelFiles) -> Result<()> {
    fetch::Fetch::new(environment, &files.default_id(), files, &Interrupt::never())?
        .describe(&mut Transfer::silent())
        .map(|_| ())
}

/// Says that this build cannot reach anything.
///
/// # Errors
/// [`Error::Hub`], always.
#[cfg(not(feature = "hub"))]
pub fn reach(environment: &Environment, files: &ModelFiles) -> Result<()> {
    let reason = CANNOT_FETCH.to_owned();
    Err(Error::Hub {
        place: environment::redacted(&environment.endpoint),
        kind: ErrorKind::HubUnreachable,
        reason,
        hint: files.without_hub.into(),
    })
}

#[cfg(not(feature = "hub"))]
const CANNOT_FETCH: &str = "this program was built without the feature `hub`, so it cannot fetch";

/// The error about a model that the cache does not have.
fn missing(environment: &Environment, id: &HubId, files: &ModelFiles, absent: &[String]) -> Error {
    let (cache, list) = (environment.cache.display(), absent.join("\n  "));
    let without_hub = files.without_hub;
    #[cfg(feature = "hub")]
    let hint = format!("`dragnext fetch {id}` fetches it where there is a network; {without_hub}");
    #[cfg(not(feature = "hub"))]
    let hint = format!(
        "{CANNOT_FETCH}: `hf download {} --revision {}` does; {without_hub}",
        id.repository(),
        id.revision()
    );
    // Whoever meant a folder and mistyped it should find out.
    let folder = if id.repository() == files.repository {
        ""
    } else {
        "there is no folder of this name, and "
    };
    let reason =
        format!("{folder}these files of the model are not in the cache `{cache}`:\n  {list}");
    Error::Hub {
        place: id.to_string(),
        kind: ErrorKind::WeightsMissing,
        reason,
        hint,
    }
}
