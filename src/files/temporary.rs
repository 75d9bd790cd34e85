//! Temporary files that results are written to before they replace their targets.
//!
//! A temporary file has the name `.dragnext-MARK-RANDOM.tmp` next to its target, where the mark is a hash of the target's name.
//! Its run holds a lock on it. If the run is killed, the system releases the lock and the file remains. The next run for the
//! same target finds the file by its mark, gets the lock, and removes the file. Only this clean-up depends on the lock, because
//! locks do not work on all disks: names are random, and no run writes to or renames the file of another run.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

#[cfg(unix)]
use super::is_same_inode;
use crate::digest::sha256;

const PREFIX: &str = ".dragnext-";
const SUFFIX: &str = ".tmp";
/// Hexadecimal digits of the mark, enough that no two names in a folder share it.
const MARK: usize = 16;
/// How often a file is created anew if another run removes it before it is locked.
const ATTEMPTS: usize = 16;

/// Creates a temporary file in `folder` for `target`; it is removed when dropped. It has the permissions of an existing target,
/// or else those of a new file. Files that killed runs left for the same target are removed.
pub(super) fn temporary_in(folder: &Path, target: &Path) -> io::Result<NamedTempFile> {
    let prefix = format!("{PREFIX}{}-", mark(target));
    remove_files_of_dead_runs(folder, |name| name.starts_with(&prefix));
    let kept = permissions(target);
    for _ in 0..ATTEMPTS {
        let file = create(folder, &prefix, SUFFIX, kept.as_ref())?;
        let is_taken = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        if !is_taken && is_at(file.as_file(), file.path()) {
            return Ok(file);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "other runs keep removing the temporary file",
    ))
}

/// Creates a temporary file in `folder` with a random name between `prefix` and `suffix`; it is removed when dropped.
pub(crate) fn temporary_named(
    folder: &Path,
    prefix: &str,
    suffix: &str,
) -> io::Result<NamedTempFile> {
    create(folder, prefix, suffix, None)
}

fn create(
    folder: &Path,
    prefix: &str,
    suffix: &str,
    kept: Option<&Permissions>,
) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(suffix);
    #[cfg(unix)]
    builder.permissions(
        kept.cloned()
            .unwrap_or_else(|| std::os::unix::fs::PermissionsExt::from_mode(0o666)),
    );
    let file = builder.tempfile_in(folder)?;
    if let Some(kept) = kept {
        // The umask applied to the new file. If this fails, the result has fewer permissions, not more.
        let _ = file.as_file().set_permissions(kept.clone());
    }
    Ok(file)
}

/// Returns the permissions of the target, if it exists.
#[cfg(unix)]
fn permissions(target: &Path) -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    let there = fs::metadata(target).ok()?;
    Some(Permissions::from_mode(there.permissions().mode() & 0o777))
}

#[cfg(not(unix))]
fn permissions(_: &Path) -> Option<Permissions> {
    None
}

fn mark(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default();
    let mut digits = sha256(name.as_encoded_bytes());
    digits.truncate(MARK);
    digits
}

/// Removes the files that killed runs left for any target in `folder`.
pub(crate) fn remove_orphans(folder: &Path) {
    let is_mark =
        |mark: &str| mark.len() == MARK && mark.bytes().all(|digit| digit.is_ascii_hexdigit());
    remove_files_of_dead_runs(folder, |name| {
        name.strip_prefix(PREFIX)
            .and_then(|name| name.split_once('-'))
            .is_some_and(|(mark, _)| is_mark(mark))
    });
}

/// Removes the files of killed runs whose names match. Folders and files that cannot be read are skipped.
fn remove_files_of_dead_runs(folder: &Path, matches: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_temporary = name
            .to_str()
            .is_some_and(|name| matches(name) && name.ends_with(SUFFIX));
        if is_temporary && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove_when_dead(&entry.path());
        }
    }
}

fn remove_when_dead(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    // With the lock, no living run uses this file, and none will: a new run checks that its file is still at its path.
    if file.try_lock().is_ok() && is_at(&file, path) {
        let _ = fs::remove_file(path);
    }
}

/// Returns whether this open file is still at `path`.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Returns whether this open file is still at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(open), Ok(there)) if is_same_inode(&open, &there))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        entries
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }

    #[test]
    fn only_files_of_dead_runs_for_the_same_target_are_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (target, other) = (
            folder.path().join("out.png"),
            folder.path().join("other.png"),
        );
        // When a process ends, its file is closed and stays at its path.
        let dead = temporary_in(folder.path(), &target)
            .expect("a new file")
            .into_temp_path()
            .keep()
            .expect("it stays");
        let alive = temporary_in(folder.path(), &other).expect("a new file");
        let others = temporary_in(folder.path(), &other)
            .expect("a new file")
            .into_temp_path()
            .keep()
            .expect("it stays");
        fs::write(folder.path().join(".dragnext-notes.tmp"), "mine")
            .expect("a file of another program");

        let new = temporary_in(folder.path(), &target).expect("a new file");
        assert!(!dead.exists(), "its run has ended");
        assert!(
            new.path().exists() && alive.path().exists(),
            "their runs are alive"
        );
        assert!(
            others.exists(),
            "only the next run for its target removes it"
        );
        assert_eq!(names(folder.path()).len(), 4, "{:?}", names(folder.path()));
    }

    #[test]
    fn two_runs_for_one_target_have_separate_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("out.png");
        let first = temporary_in(folder.path(), &target).expect("a new file");
        let second = temporary_in(folder.path(), &target).expect("a new file");
        assert!(first.path() != second.path() && first.path().exists());
    }
}
