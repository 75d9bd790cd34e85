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
pub mod needed;

#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod redirect;
#[cfg(feature = "hub")]
mod retry;
#[cfg(feature = "hub")]
mod turn;

pub use cache::{Found, ModelFolder, Snapshot};
pub use environment::Environment;
pub use id::{DEFAULT_MODEL, HubId};

use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// What to do without the hub.
pub(crate) const WITHOUT_HUB: &str = "`--model demo` is built in and needs no download; `--model FOLDER` takes a folder that was downloaded elsewhere";

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
pub fn find(environment: &Environment, id: &HubId) -> Result<Snapshot> {
    match ModelFolder::new(&environment.cache, id.repository()).find(id)? {
        Found::Complete(snapshot) => Ok(snapshot),
        Found::Missing(files) => Err(missing(environment, id, &files)),
    }
}

/// The same, with every file compared with what was fetched.
///
/// # Errors
/// As [`find`]; `weights.damaged` or `weights.hash` when a file is not what was fetched.
pub fn check(environment: &Environment, id: &HubId) -> Result<Fetched> {
    let snapshot = find(environment, id)?;
    let files = snapshot.present();
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
    transfer: &mut Transfer,
    interrupt: &Interrupt,
) -> Result<Fetched> {
    fetch::Fetch::new(environment, id, interrupt)?.run(transfer)
}

/// Says that this build cannot fetch.
///
/// # Errors
/// [`Error::Hub`] `weights.missing` unless the model is complete.
#[cfg(not(feature = "hub"))]
pub fn fetch(
    environment: &Environment,
    id: &HubId,
    _: &mut Transfer,
    _: &Interrupt,
) -> Result<Fetched> {
    check(environment, id)
}

/// Asks the hub for the description of the default model: is it reached, and does it answer?
///
/// # Errors
/// [`Error::Hub`] when it is not.
#[cfg(feature = "hub")]
pub fn reach(environment: &Environment) -> Result<()> {
    let Some(id) = HubId::parse(DEFAULT_MODEL) else {
        return Ok(());
    };
    fetch::Fetch::new(environment, &id, &Interrupt::never())?
        .describe(&mut Transfer::silent())
        .map(|_| ())
}

/// Says that this build cannot reach anything.
///
/// # Errors
/// [`Error::Hub`], always.
#[cfg(not(feature = "hub"))]
pub fn reach(environment: &Environment) -> Result<()> {
    let reason = CANNOT_FETCH.to_owned();
    Err(Error::Hub {
        place: environment::shown(&environment.endpoint),
        kind: ErrorKind::HubUnreachable,
        reason,
        hint: WITHOUT_HUB.into(),
    })
}

#[cfg(not(feature = "hub"))]
const CANNOT_FETCH: &str = "this program was built without the feature `hub`, so it cannot fetch";

/// The error about a model that the cache does not have.
pub fn missing(environment: &Environment, id: &HubId, files: &[String]) -> Error {
    let (cache, list) = (environment.cache.display(), files.join("\n  "));
    #[cfg(feature = "hub")]
    let hint = format!("`dragnext fetch {id}` fetches it where there is a network; {WITHOUT_HUB}");
    #[cfg(not(feature = "hub"))]
    let hint = format!(
        "{CANNOT_FETCH}: `hf download {} --revision {}` does; {WITHOUT_HUB}",
        id.repository(),
        id.revision()
    );
    // Whoever meant a folder and mistyped it should find out.
    let folder = if id.repository() == DEFAULT_MODEL {
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
