//! Repositories of the Hugging Face hub: looked up in the local cache, and fetched if files are missing.
//!
//! The cache is that of the Hugging Face Python library ([`cache`], [`environment`]). Looking up needs neither network nor feature. Which
//! files belong to a model comes as a [`ModelFiles`] value from the caller; the hub knows no model.
//!
//! Fetching (feature `hub`) takes addresses and the description of a repository from hf-hub and downloads files itself, because a
//! large download must be retried, resumed, compared with the announced length and SHA-256, and only then renamed into place. Every
//! process writes its own file. A lock saves duplicate downloads, but correctness does not depend on it, because some network file
//! systems grant every lock.
//!
//! Fetched files are recorded in a [`ledger`] and verified at every use ([`integrity`]).

pub(crate) mod cache;
pub(crate) mod environment;
pub(crate) mod id;
pub(crate) mod integrity;
pub(crate) mod ledger;
pub(crate) mod model_files;
pub(crate) mod pickle;
pub(crate) mod shards;

#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod download_lock;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod partial_file;
#[cfg(feature = "hub")]
mod redirect;
#[cfg(feature = "hub")]
mod retry;

pub(crate) use cache::{Found, ModelFolder, Snapshot};
pub(crate) use environment::Environment;
pub(crate) use id::HubId;
pub(crate) use model_files::{ModelFile, ModelFiles};
pub(crate) use pickle::is_pickle;

use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// The hint about a cache that cannot be used.
const CACHE_HINT: &str = "set HF_HUB_CACHE or HF_HOME to another folder";

/// The result of a fetch.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The cached files.
    pub snapshot: Snapshot,
    /// Paths of the model's files, in fetching order.
    pub files: Vec<String>,
    /// Bytes received over the network.
    pub received: u64,
}

/// Returns a model in the cache; no connection is opened.
///
/// # Errors
/// [`Error::Hub`]: `weights.missing` with every file that is missing, or `hub.cache` when the cache cannot be read.
pub(crate) fn find(environment: &Environment, id: &HubId, files: &ModelFiles) -> Result<Snapshot> {
    match look_up(environment, id, files)? {
        Found::Complete(snapshot) => Ok(snapshot),
        Found::Missing(absent) => Err(missing(environment, id, files, &absent)),
    }
}

/// Looks up a model in the cache; no connection is opened.
///
/// # Errors
/// [`Error::Hub`] `hub.cache` when the cache cannot be read.
pub(crate) fn look_up(environment: &Environment, id: &HubId, files: &ModelFiles) -> Result<Found> {
    ModelFolder::new(&environment.cache, id.repository()).find(id, files)
}

/// Returns a model in the cache after verifying all its files.
///
/// # Errors
/// As [`find`]; `weights.damaged` or `weights.hash` for a damaged file.
pub(crate) fn check(environment: &Environment, id: &HubId, files: &ModelFiles) -> Result<Fetched> {
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

/// Verifies a model in the cache and fetches its missing and damaged files.
///
/// # Errors
/// [`Error::Hub`] when it cannot be fetched, [`Error::Interrupted`].
#[cfg(feature = "hub")]
pub(crate) fn fetch(
    environment: &Environment,
    id: &HubId,
    files: &ModelFiles,
    transfer: &mut Transfer,
    interrupt: &Interrupt,
) -> Result<Fetched> {
    fetch::Fetch::new(environment, id, files, interrupt)?.run(transfer)
}

/// Verifies a model in the cache. This build cannot fetch.
///
/// # Errors
/// [`Error::Hub`] `weights.missing` unless the model is complete.
#[cfg(not(feature = "hub"))]
pub(crate) fn fetch(
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
/// [`Error::Hub`] when it does not.
#[cfg(feature = "hub")]
pub(crate) fn reach(environment: &Environment, files: &ModelFiles) -> Result<()> {
    fetch::Fetch::new(environment, &files.default_id(), files, &Interrupt::never())?
        .describe(&mut Transfer::silent())
        .map(|_| ())
}

/// Fails, because this build cannot connect.
///
/// # Errors
/// [`Error::Hub`], always.
#[cfg(not(feature = "hub"))]
pub(crate) fn reach(environment: &Environment, files: &ModelFiles) -> Result<()> {
    let reason = CANNOT_FETCH.to_owned();
    Err(Error::Hub {
        place: environment::redacted(&environment.endpoint),
        kind: ErrorKind::HubUnreachable,
        reason,
        hint: files.without_hub.into(),
    })
}

#[cfg(not(feature = "hub"))]
const CANNOT_FETCH: &str = "this program was built without the feature `hub` and cannot fetch";

/// Returns the error about files that the cache lacks.
fn missing(environment: &Environment, id: &HubId, files: &ModelFiles, absent: &[String]) -> Error {
    let (cache, list) = (environment.cache.display(), absent.join("\n  "));
    let without_hub = files.without_hub;
    #[cfg(feature = "hub")]
    let hint = format!(
        "`{} {id}` fetches it from the network; {without_hub}",
        files.fetch
    );
    #[cfg(not(feature = "hub"))]
    let hint = format!(
        "{CANNOT_FETCH}: `hf download {} --revision {}` does; {without_hub}",
        id.repository(),
        id.revision()
    );
    // The name may be a mistyped folder.
    let folder = if id.repository() == files.repository {
        ""
    } else {
        "no folder has this name, and "
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
