//! Verifies cached files against what was fetched.
//!
//! The length is compared at every use. The SHA-256 is computed once for each change of the file: the ledger remembers the stamp of the
//! verified file, so that gigabytes are not hashed for every edit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use super::cache::Snapshot;
use super::ledger::{Entry, Ledger};
use crate::digest::sha256_of;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Stamp;

/// How a cached file differs from what was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Its length in bytes.
    Length {
        /// Of the cached file.
        found: u64,
        /// Of the fetched one.
        fetched: u64,
    },
    /// Its SHA-256.
    Hash {
        /// Of the cached file.
        found: String,
        /// Of the fetched one.
        fetched: String,
    },
}

/// Verifies a file of the snapshot as [`damage`] does.
///
/// # Errors
/// [`Error::Hub`]: `weights.damaged` for a wrong length, `weights.hash` for a wrong hash. [`Error::File`] when it cannot be read.
pub(crate) fn check(snapshot: &Snapshot, name: &str) -> Result<()> {
    let Some(damage) = damage(snapshot, name)? else {
        return Ok(());
    };
    let (kind, reason) = match damage {
        Damage::Length { found, fetched } => (
            ErrorKind::WeightsDamaged,
            format!("{found} bytes, but {fetched} were fetched"),
        ),
        Damage::Hash { found, fetched } => (
            ErrorKind::WeightsHash,
            format!(
                "its SHA-256 is {found}, but {fetched} was fetched: the file was changed or damaged"
            ),
        ),
    };
    Err(Error::Hub {
        place: snapshot.folder.join(name).display().to_string(),
        kind,
        reason,
        hint: format!(
            "`dragnext fetch {}` fetches damaged files again",
            snapshot.name()
        ),
    })
}

/// Compares a file of the snapshot with the record of its first fetch, else with the hash in its blob's name, else with the record of
/// its first use. An absent file is not damaged.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub(crate) fn damage(snapshot: &Snapshot, name: &str) -> Result<Option<Damage>> {
    let path = snapshot.folder.join(name);
    let Ok(metadata) = fs::metadata(&path) else {
        return Ok(None);
    };
    let recorded = Ledger::read(&snapshot.ledger).files.remove(name);
    if let Some(entry) = &recorded
        && entry.length != metadata.len()
    {
        return Ok(Some(Damage::Length {
            found: metadata.len(),
            fetched: entry.length,
        }));
    }
    let stamp = Stamp::of(&metadata);
    if stamp.is_some()
        && recorded
            .as_ref()
            .is_some_and(|entry| entry.checked == stamp)
    {
        return Ok(None);
    }
    let sha256 = hash(&path)?;
    let expected = recorded
        .map(|entry| entry.sha256)
        .or_else(|| snapshot.etag(name).filter(|etag| is_sha256(etag)));
    if let Some(fetched) = expected.filter(|expected| *expected != sha256) {
        return Ok(Some(Damage::Hash {
            found: sha256,
            fetched,
        }));
    }
    // A file that changed while it was hashed is hashed again at the next use.
    let unchanged = fs::metadata(&path)
        .ok()
        .and_then(|metadata| Stamp::of(&metadata))
        == stamp;
    let entry = Entry {
        length: metadata.len(),
        sha256,
        checked: stamp.filter(|_| unchanged),
    };
    // Files of a read-only cache are hashed at every use.
    let _ = Ledger {
        files: BTreeMap::from([(name.to_owned(), entry)]),
    }
    .merge_into(&snapshot.ledger);
    Ok(None)
}

/// Returns the SHA-256 of a file.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub(crate) fn hash(path: &Path) -> Result<String> {
    let hashed = File::open(path).and_then(|mut file| sha256_of(&mut file));
    hashed.map_err(|source| Error::File {
        path: path.to_path_buf(),
        source,
    })
}

/// Returns whether `text` is a SHA-256 in hexadecimal, which is the `ETag` of large files.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::hub::cache::ModelFolder;

    fn snapshot(cache: &Path) -> Snapshot {
        let snapshot = ModelFolder::new(cache, "a/b").snapshot("a/b", "f");
        fs::create_dir_all(&snapshot.folder).expect("create the folder");
        snapshot
    }

    #[test]
    fn the_first_use_records_and_later_uses_compare() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let snapshot = snapshot(cache.path());
        let path = snapshot.folder.join("file");
        fs::write(&path, "abc").expect("write the file");
        check(&snapshot, "file").expect("no record yet");
        let entry = Ledger::read(&snapshot.ledger).files["file"].clone();
        assert_eq!(
            (entry.length, entry.sha256.as_str()),
            (3, sha256(b"abc").as_str())
        );
        assert!(entry.checked.is_some());

        fs::write(&path, "abd").expect("write the file");
        let later = fs::metadata(&path)
            .and_then(|file| file.modified())
            .expect("the file exists")
            + std::time::Duration::from_secs(1);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(later))
            .expect("set the time");
        assert_eq!(
            check(&snapshot, "file").expect_err("changed bytes").kind(),
            ErrorKind::WeightsHash
        );
        fs::write(&path, "abcd").expect("write the file");
        assert_eq!(
            check(&snapshot, "file").expect_err("a wrong length").kind(),
            ErrorKind::WeightsDamaged
        );
    }

    #[test]
    fn an_unchanged_file_is_not_hashed_again() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let snapshot = snapshot(cache.path());
        let path = snapshot.folder.join("file");
        fs::write(&path, "abc").expect("write the file");
        let stamp = Stamp::of(&fs::metadata(&path).expect("the file exists"));
        // A hash that no file has.
        let entry = Entry {
            length: 3,
            sha256: "no hash".into(),
            checked: stamp,
        };
        Ledger {
            files: BTreeMap::from([("file".to_owned(), entry)]),
        }
        .merge_into(&snapshot.ledger)
        .expect("write the file");
        check(&snapshot, "file").expect("the stamp matches");
    }

    #[cfg(unix)]
    #[test]
    fn a_blob_is_compared_with_the_hash_in_its_name() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let snapshot = snapshot(cache.path());
        let blobs = cache.path().join("models--a--b/blobs");
        fs::create_dir_all(&blobs).expect("create the folder");
        let etag = sha256(b"abc");
        std::os::unix::fs::symlink(format!("../../blobs/{etag}"), snapshot.folder.join("file"))
            .expect("create the link");
        fs::write(blobs.join(&etag), "abd").expect("write the file");
        assert_eq!(
            check(&snapshot, "file").expect_err("changed bytes").kind(),
            ErrorKind::WeightsHash
        );
        fs::write(blobs.join(&etag), "abc").expect("write the file");
        check(&snapshot, "file").expect("the original bytes");
    }
}
