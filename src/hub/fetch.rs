//! Fetches the missing and damaged files of one model from the hub into the cache.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::Fetched;
use super::cache::{Found, ModelFolder, Snapshot};
use super::client::{Client, Description, FileHead};
use super::download::{Download, not_writable};
use super::environment::Environment;
use super::id::HubId;
use super::integrity::{self, hash, is_sha256};
use super::ledger::{Entry, Ledger};
use super::model_files::ModelFiles;
use super::pickle::is_pickle;
use super::retry::Retries;
use super::shards::is_index;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Stamp};
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// A fetch of one model.
#[derive(Debug)]
pub(super) struct Fetch<'a> {
    id: &'a HubId,
    files: &'a ModelFiles,
    environment: &'a Environment,
    client: Client<'a>,
    folder: ModelFolder,
    interrupt: &'a Interrupt,
}

/// A file to download.
struct PendingFile {
    name: String,
    head: FileHead,
    is_damaged: bool,
}

impl<'a> Fetch<'a> {
    /// Prepares a fetch. Sends nothing yet.
    ///
    /// # Errors
    /// [`Error::Hub`] when the endpoint is not a valid address.
    pub(super) fn new(
        environment: &'a Environment,
        id: &'a HubId,
        files: &'a ModelFiles,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let client = Client::new(environment, id, files)?;
        Ok(Self {
            id,
            files,
            environment,
            client,
            folder: ModelFolder::new(&environment.cache, id.repository()),
            interrupt,
        })
    }

    /// Requests the description of the repository.
    ///
    /// # Errors
    /// [`Error::Hub`], [`Error::Interrupted`].
    pub(super) fn describe(&self, transfer: &mut Transfer) -> Result<Description> {
        self.retries()
            .until_done(transfer, self.interrupt, || self.client.describe())
    }

    /// Verifies the cached files and fetches the missing and damaged ones.
    ///
    /// # Errors
    /// [`Error::Hub`], [`Error::Weights`] when the repository lacks a required file, [`Error::Interrupted`].
    pub(super) fn run(&self, transfer: &mut Transfer) -> Result<Fetched> {
        if let Some(fetched) = self.intact()? {
            return Ok(fetched);
        }
        let description = self.describe(transfer)?;
        let listed = description.files();
        let mut files = self
            .files
            .choose(&listed)
            .map_err(|missing| self.unsuitable(&description, &missing))?;
        let snapshot = self.folder.snapshot(self.id.repository(), &description.sha);
        // Cached weights are repaired in the precision they have; the other precision is not fetched too.
        let present = snapshot.present(self.files);
        let has = |name: &str| present.iter().any(|present| present == name);
        files.retain(|name| has(name) || !self.files.has_alternative(name, has));
        files.extend(
            present
                .iter()
                .filter(|name| listed.contains(name) && !files.contains(name))
                .cloned()
                .collect::<Vec<_>>(),
        );
        let mut received = self.fetch_shard_names(&snapshot, &mut files, &description, transfer)?;
        let pending = self.pending(&snapshot, &files, transfer)?;
        let (count, bytes) = (
            pending.len(),
            pending
                .iter()
                .map(|file| file.head.size)
                .fold(0, u64::saturating_add),
        );
        transfer.say(&format!(
            "fetching {count} files of {} ({})",
            snapshot.name(),
            crate::progress::amount(bytes)
        ));
        for file in &pending {
            received += self.fetch(&snapshot, file, transfer)?;
        }
        self.record(&snapshot, &files)?;
        Ok(Fetched {
            snapshot,
            files,
            received,
        })
    }

    /// Fetches the indexes among the files, and adds the shards that they name. Returns the number of received bytes.
    fn fetch_shard_names(
        &self,
        snapshot: &Snapshot,
        files: &mut Vec<String>,
        description: &Description,
        transfer: &mut Transfer,
    ) -> Result<u64> {
        let indexes: Vec<String> = files
            .iter()
            .filter(|name| is_index(name))
            .cloned()
            .collect();
        let mut received = 0;
        for file in &self.pending(snapshot, &indexes, transfer)? {
            received += self.fetch(snapshot, file, transfer)?;
        }
        let listed = description.files();
        for index in &indexes {
            let shards = snapshot.shards(index)?;
            let missing: Vec<String> = shards
                .iter()
                .filter(|name| !listed.contains(name))
                .cloned()
                .collect();
            if !missing.is_empty() {
                return Err(self.unsuitable(description, &missing));
            }
            let new: Vec<String> = shards
                .into_iter()
                .filter(|name| !files.contains(name))
                .collect();
            files.extend(new);
        }
        Ok(received)
    }

    /// Returns the model if the cache has all files, undamaged.
    fn intact(&self) -> Result<Option<Fetched>> {
        let Found::Complete(snapshot) = self.folder.find(self.id, self.files)? else {
            return Ok(None);
        };
        let files = snapshot.present(self.files);
        for name in &files {
            if integrity::damage(&snapshot, name)?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(Fetched {
            snapshot,
            files,
            received: 0,
        }))
    }

    fn retries(&self) -> Retries {
        Retries::new(self.files.without_hub)
    }

    /// Returns the missing and damaged files with their metadata from the hub.
    fn pending(
        &self,
        snapshot: &Snapshot,
        files: &[String],
        transfer: &mut Transfer,
    ) -> Result<Vec<PendingFile>> {
        let mut pending = Vec::new();
        for name in files {
            let is_present = snapshot.folder.join(name).is_file();
            let is_damaged = is_present && !matches!(integrity::damage(snapshot, name), Ok(None));
            if !is_present || is_damaged {
                let head = self.retries().until_done(transfer, self.interrupt, || {
                    self.client.head(&snapshot.commit, name)
                })?;
                pending.push(PendingFile {
                    name: name.clone(),
                    head,
                    is_damaged,
                });
            }
        }
        Ok(pending)
    }

    /// Fetches one file into the snapshot. Returns the number of received bytes.
    fn fetch(
        &self,
        snapshot: &Snapshot,
        file: &PendingFile,
        transfer: &mut Transfer,
    ) -> Result<u64> {
        let PendingFile {
            name,
            head,
            is_damaged,
        } = file;
        let (client, folder, interrupt) = (&self.client, &self.folder, self.interrupt);
        let download = Download {
            client,
            folder,
            commit: &snapshot.commit,
            name,
            head,
            interrupt,
        };
        let received = download.run(*is_damaged, transfer)?;
        self.link(snapshot, name, &head.etag)
            .map_err(|error| not_writable(folder.path(), &error))?;
        Ok(received)
    }

    /// Links the snapshot's file to its blob.
    fn link(&self, snapshot: &Snapshot, name: &str, etag: &str) -> io::Result<()> {
        let path = snapshot.folder.join(name);
        let folder = path.parent().unwrap_or(&snapshot.folder);
        fs::create_dir_all(folder)?;
        let ups = "../".repeat(2 + name.matches('/').count());
        let target = format!("{ups}blobs/{etag}");
        if snapshot.etag(name).as_deref() == Some(etag) && path.is_file() {
            return Ok(());
        }
        // The link is created under a temporary name and renamed, so that the path always exists.
        if let Ok(link) = tempfile::Builder::new()
            .prefix(".dragnext-")
            .suffix(".link")
            .make_in(folder, |path| symlink(&target, path))
        {
            return link
                .persist(&path)
                .map(drop)
                .map_err(|refused| refused.error);
        }
        // File systems without links get a copy.
        let mut copy = files::temporary_named(folder, ".dragnext-", ".tmp")?;
        io::copy(
            &mut fs::File::open(self.folder.blobs().join(etag))?,
            &mut copy,
        )?;
        copy.as_file().sync_all()?;
        copy.persist(&path)?;
        Ok(())
    }

    /// Records lengths and hashes of the files, and the commit of the branch.
    fn record(&self, snapshot: &Snapshot, names: &[String]) -> Result<()> {
        let mut entries = BTreeMap::new();
        for name in names {
            let path = snapshot.folder.join(name);
            let metadata = fs::metadata(&path).map_err(|source| Error::File {
                path: path.clone(),
                source,
            })?;
            // A blob that is named by its hash was compared with it.
            let sha256 = match snapshot.etag(name).filter(|etag| is_sha256(etag)) {
                Some(sha256) => sha256,
                None => hash(&path)?,
            };
            entries.insert(
                name.clone(),
                Entry {
                    length: metadata.len(),
                    sha256,
                    checked: Stamp::of(&metadata),
                },
            );
        }
        let written = Ledger { files: entries }.merge_into(&snapshot.ledger);
        let written = written.and_then(|()| match self.id.commit() {
            Some(_) => Ok(()),
            None => write_reference(&self.folder.reference(self.id.revision()), &snapshot.commit),
        });
        written.map_err(|error| not_writable(self.folder.path(), &error))
    }

    /// Returns the error about a repository that lacks required files.
    fn unsuitable(&self, description: &Description, missing: &[String]) -> Error {
        let pickles = description
            .files()
            .into_iter()
            .filter(|file| is_pickle(Path::new(file)));
        let pickles = pickles
            .filter(|file| file.matches('/').count() == 1)
            .count();
        let pickles = if pickles > 0 {
            "\n  its weights are pickles, which can run code when they are read and are never fetched"
        } else {
            ""
        };
        Error::Weights {
            path: format!("{}@{}", self.id.repository(), description.sha),
            kind: ErrorKind::WeightsMissing,
            reason: format!(
                "the repository at {} lacks required files:\n  {}{pickles}",
                super::environment::redacted(&self.environment.endpoint),
                missing.join("\n  ")
            ),
            hint: format!("{}; {}", self.files.suitable, self.files.without_hub),
        }
    }
}

fn write_reference(path: &Path, commit: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temporary = files::temporary_named(folder, ".dragnext-", ".tmp")?;
    temporary.write_all(commit.as_bytes())?;
    temporary.persist(path)?;
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &str, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &str, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
