//! The cache on the disk, in the layout that the Hugging Face Python library has: for each model
//! `models--owner--name/{blobs/<etag>, refs/<branch>, snapshots/<commit>/<path>}`, where snapshots are links to blobs.
//!
//! Looking here opens no connection and needs nothing but the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::CACHE_HINT;
use super::id::{HubId, is_commit};
use super::ledger::Ledger;
use super::model_files::ModelFiles;
use crate::error::{Error, ErrorKind, Result};

/// The folder of one model in the cache; it need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    path: PathBuf,
    locks: PathBuf,
}

/// A model's files at one commit, as they lie in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub commit: String,
    /// Its folder, in diffusers layout.
    pub folder: PathBuf,
    /// Where lengths and hashes of its files are recorded.
    pub ledger: PathBuf,
}

/// What the cache has of a model.
#[derive(Debug)]
pub enum Found {
    /// All that is needed.
    Complete(Snapshot),
    /// Something is missing: these files, or everything.
    Missing(Vec<String>),
}

impl ModelFolder {
    /// The folder of `owner/name` in a cache.
    pub fn new(cache: &Path, repository: &str) -> Self {
        let name = format!("models--{}", repository.replace('/', "--"));
        Self {
            path: cache.join(&name),
            locks: cache.join(".locks").join(name),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where contents lie under the name that the hub gives them.
    pub fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// The lock that a content's download holds; Python's library takes the same.
    pub fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    /// Where the commit of a branch or a tag is written down.
    pub fn reference(&self, revision: &str) -> PathBuf {
        self.path.join("refs").join(revision)
    }

    /// The files of a commit, present or not.
    pub fn snapshot(&self, repository: &str, commit: &str) -> Snapshot {
        Snapshot {
            repository: repository.to_owned(),
            commit: commit.to_owned(),
            folder: self.path.join("snapshots").join(commit),
            ledger: self.path.join(".dragnext").join(format!("{commit}.json")),
        }
    }

    /// The commit that a revision is known to be.
    ///
    /// # Errors
    /// [`Error::Hub`] when the cache cannot be read.
    pub fn commit(&self, id: &HubId) -> Result<Option<String>> {
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

    /// What is there of a model. Contents are not looked at.
    ///
    /// # Errors
    /// [`Error::Hub`] when the cache cannot be read.
    pub fn find(&self, id: &HubId, files: &ModelFiles) -> Result<Found> {
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
    /// What the model is called in records.
    pub fn name(&self) -> String {
        format!("{}@{}", self.repository, self.commit)
    }

    /// Needed files that are not there: those that were fetched once, and those without which no model can be loaded.
    pub fn missing(&self, files: &ModelFiles) -> Vec<String> {
        let has = |name: &str| self.folder.join(name).is_file();
        let mut missing = files.missing(has);
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

    /// Files of the snapshot that this program knows of: those that were fetched once, and those that a model needs.
    pub fn present(&self, files: &ModelFiles) -> Vec<String> {
        let mut names: Vec<String> = files.all().map(str::to_owned).collect();
        names.extend(Ledger::read(&self.ledger).files.into_keys());
        names.sort();
        names.dedup();
        names.retain(|name| self.folder.join(name).is_file());
        names
    }

    /// The name that the hub gives a file's content, where the snapshot is made of links.
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
    fn places_are_those_of_the_python_library() {
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
    fn a_reference_that_is_no_commit_leads_nowhere() {
        let cache = tempfile::tempdir().expect("there is room for a folder");
        let folder = ModelFolder::new(cache.path(), "a/b");
        let id = HubId::parse("a/b@main").expect("a name");
        assert_eq!(folder.commit(&id).expect("nothing is wrong"), None);
        fs::create_dir_all(folder.reference("main").parent().expect("it has one"))
            .expect("it can be made");
        for (text, commit) in [
            ("../../etc", None),
            (
                "0123456789abcdef0123456789abcdef01234567\n",
                Some("0123456789abcdef0123456789abcdef01234567"),
            ),
        ] {
            fs::write(folder.reference("main"), text).expect("it can be written");
            assert_eq!(
                folder.commit(&id).expect("nothing is wrong").as_deref(),
                commit
            );
        }
    }
}
