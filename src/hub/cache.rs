//! The cache on disk, in the layout of the Hugging Face Python library: for each repository
//! `models--owner--name/{blobs/<etag>, refs/<branch>, snapshots/<commit>/<path>}`, where the files of a snapshot are links to blobs.
//!
//! Reads the file system only; no connection is opened.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::CACHE_HINT;
use super::id::{HubId, is_commit};
use super::ledger::Ledger;
use super::model_files::ModelFiles;
use super::shards::{index_of, shards_of};
use crate::error::{Error, ErrorKind, Result};

/// The folder of one repository in the cache. It need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelFolder {
    path: PathBuf,
    locks: PathBuf,
}

/// The cached files of a repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub commit: String,
    /// The folder with the files.
    pub folder: PathBuf,
    /// The file with recorded lengths and hashes.
    pub ledger: PathBuf,
}

/// The state of a model in the cache.
#[derive(Debug)]
pub(crate) enum Found {
    /// All required files are present.
    Complete(Snapshot),
    /// These files are missing.
    Missing(Vec<String>),
}

impl ModelFolder {
    /// Returns the folder of `owner/name` in a cache.
    pub(crate) fn new(cache: &Path, repository: &str) -> Self {
        let name = format!("models--{}", repository.replace('/', "--"));
        Self {
            path: cache.join(&name),
            locks: cache.join(".locks").join(name),
        }
    }

    /// Returns the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder of the contents, which are named by their `ETag`s.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "downloads use it"))]
    pub(crate) fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// Returns the lock file of a download. The Python library uses the same.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "downloads use it"))]
    pub(crate) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    /// Returns the file that holds the commit of a branch or tag.
    pub(crate) fn reference(&self, revision: &str) -> PathBuf {
        self.path.join("refs").join(revision)
    }

    /// Returns the snapshot of a commit. It need not exist.
    pub(crate) fn snapshot(&self, repository: &str, commit: &str) -> Snapshot {
        Snapshot {
            repository: repository.to_owned(),
            commit: commit.to_owned(),
            folder: self.path.join("snapshots").join(commit),
            ledger: self.path.join(".dragnext").join(format!("{commit}.json")),
        }
    }

    /// Returns the commit of a revision, if the cache knows it.
    ///
    /// # Errors
    /// [`Error::Hub`] when the cache cannot be read.
    pub(crate) fn commit(&self, id: &HubId) -> Result<Option<String>> {
        if let Some(commit) = id.commit() {
            return Ok(Some(commit.to_owned()));
        }
        let path = self.reference(id.revision());
        match fs::read_to_string(&path) {
            Ok(text) => {
                Ok(Some(text.trim().to_ascii_lowercase()).filter(|commit| is_commit(commit)))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    /// Looks up a model. Does not read the contents of its files.
    ///
    /// # Errors
    /// [`Error::Hub`] when the cache cannot be read.
    pub(crate) fn find(&self, id: &HubId, files: &ModelFiles) -> Result<Found> {
        let Some(commit) = self.commit(id)? else {
            return Ok(Found::Missing(files.missing(|_| false)));
        };
        let snapshot = self.snapshot(id.repository(), &commit);
        for folder in [&self.path, &snapshot.folder] {
            if let Err(error) = fs::metadata(folder)
                && !is_absent(&error)
            {
                return Err(unreadable(folder, &error));
            }
        }
        let missing = snapshot.missing(files);
        Ok(if missing.is_empty() {
            Found::Complete(snapshot)
        } else {
            Found::Missing(missing)
        })
    }
}

impl Snapshot {
    /// Returns the name of the model in records: `owner/name@commit`.
    pub fn name(&self) -> String {
        format!("{}@{}", self.repository, self.commit)
    }

    /// Returns the absent files: required ones, and those that were fetched before.
    pub fn missing(&self, files: &ModelFiles) -> Vec<String> {
        let has = |name: &str| self.folder.join(name).is_file();
        let mut missing = files.missing(has);
        let weights = files.all().filter(|path| has(path));
        let whole: Vec<String> = weights.map(index_of).collect();
        for index in files
            .indexes()
            .filter(|index| has(index) && !whole.contains(index))
        {
            match self.shards(&index) {
                Ok(shards) => missing.extend(shards.into_iter().filter(|shard| !has(shard))),
                Err(_) => missing.push(index),
            }
        }
        missing.extend(
            Ledger::read(&self.ledger)
                .files
                .into_keys()
                .filter(|name| !has(name) && !files.has_alternative(name, has)),
        );
        missing.sort();
        missing.dedup();
        missing
    }

    /// Returns the present files among those of the model and those that were fetched before.
    pub fn present(&self, files: &ModelFiles) -> Vec<String> {
        let mut names: Vec<String> = files.all().map(str::to_owned).collect();
        for index in files.indexes() {
            names.extend(self.shards(&index).into_iter().flatten());
            names.push(index);
        }
        names.extend(Ledger::read(&self.ledger).files.into_keys());
        names.sort();
        names.dedup();
        names.retain(|name| self.folder.join(name).is_file());
        names
    }

    /// Returns the shards that an index in the cache names.
    ///
    /// # Errors
    /// [`Error::Weights`] when it cannot be read or is no index.
    pub(crate) fn shards(&self, index: &str) -> Result<BTreeSet<String>> {
        let path = self.folder.join(index);
        let text = fs::read_to_string(&path).map_err(|error| error.to_string());
        let shards = text.and_then(|text| shards_of(index, &text));
        shards.map_err(|reason| Error::Weights {
            path: path.display().to_string(),
            kind: ErrorKind::WeightsDamaged,
            reason,
            hint: "the index of the weights is damaged; remove it and fetch the model again".into(),
        })
    }

    /// Returns the `ETag` of a file, if it is a link to a blob.
    pub fn etag(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.folder.join(name)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::Hub {
        place: path.display().to_string(),
        kind: ErrorKind::HubCache,
        reason: error.to_string(),
        hint: CACHE_HINT.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_python_library() {
        let folder = ModelFolder::new(Path::new("/c"), "a/b");
        assert_eq!(folder.blobs(), Path::new("/c/models--a--b/blobs"));
        assert_eq!(folder.lock("e"), Path::new("/c/.locks/models--a--b/e.lock"));
        assert_eq!(
            folder.reference("refs/pr/1"),
            Path::new("/c/models--a--b/refs/refs/pr/1")
        );
        assert_eq!(
            folder.snapshot("a/b", "f").folder,
            Path::new("/c/models--a--b/snapshots/f")
        );
    }

    #[test]
    fn a_reference_without_a_commit_is_ignored() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let folder = ModelFolder::new(cache.path(), "a/b");
        let id = HubId::parse("a/b@main").expect("a valid name");
        assert_eq!(folder.commit(&id).expect("the cache is readable"), None);
        fs::create_dir_all(folder.reference("main").parent().expect("a parent folder"))
            .expect("create the folder");
        for (text, commit) in [
            ("../../etc", None),
            (
                "0123456789abcdef0123456789abcdef01234567\n",
                Some("0123456789abcdef0123456789abcdef01234567"),
            ),
        ] {
            fs::write(folder.reference("main"), text).expect("write the reference");
            assert_eq!(
                folder
                    .commit(&id)
                    .expect("the cache is readable")
                    .as_deref(),
                commit
            );
        }
    }
}
