//! The file that a result is written to before it takes its place.
//!
//! It lies beside its target and is called `.dragnext-MARK-RANDOM.tmp`, where the mark stands for the target's name. Its run holds a lock on it;
//! a run that is killed leaves it behind, and the system takes the lock away. The next run for the same target finds the mark,
//! gets the lock, and so knows that nobody is at work on it: it removes the file. Nothing but this tidying depends on the lock, for
//! there are disks where locks mean nothing: names are random, and no run writes to or renames a file that another one made.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

#[cfg(unix)]
use super::is_same_inode;
use crate::digest::sha256;

const PREFIX: &str = ".dragnext-";
const SUFFIX: &str = ".tmp";
/// Digits of the mark: among the names in one folder no two share it.
const MARK: usize = 16;
/// Another run may take a file for a dead one before it is locked; that it happens so often in a row does not happen.
const ATTEMPTS: usize = 16;

/// A new file in `folder` for what shall become `target`; removed when dropped. It has the permissions of what it will replace, or those
/// that any new file gets. What a killed run left for the same target is removed.
pub(super) fn temporary_in(folder: &Path, target: &Path) -> io::Result<NamedTempFile> {
    let prefix = format!("{PREFIX}{}-", mark(target));
    remove_those_of_dead_runs(folder, |name| name.starts_with(&prefix));
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

/// A new file in `folder` with a random name that begins and ends so and the permissions that any new file gets; removed when dropped.
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
        // Until here the umask has taken bits away. Where they cannot be given, the result is seen by fewer, not by more.
        let _ = file.as_file().set_permissions(kept.clone());
    }
    Ok(file)
}

/// Who may read and write the target, when it exists.
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

/// Removes what dead runs left for any target in `folder`.
pub(crate) fn remove_orphans(folder: &Path) {
    let is_mark =
        |mark: &str| mark.len() == MARK && mark.bytes().all(|digit| digit.is_ascii_hexdigit());
    remove_those_of_dead_runs(folder, |name| {
        name.strip_prefix(PREFIX)
            .and_then(|name| name.split_once('-'))
            .is_some_and(|(mark, _)| is_mark(mark))
    });
}

/// Removes the files of dead runs. A folder or a file that does not let itself be looked at is left as it is.
fn remove_those_of_dead_runs(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| is_ours(name) && name.ends_with(SUFFIX));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove_when_dead(&entry.path());
        }
    }
}

fn remove_when_dead(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    // With the lock in hand no run that lives has this file, and none gets it: a new one would look for it at its path first.
    if file.try_lock().is_ok() && is_at(&file, path) {
        let _ = fs::remove_file(path);
    }
}

/// Whether this open file is still what stands at `path`.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether this open file is still what stands at `path`.
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
    fn what_a_dead_run_left_for_the_same_target_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let (target, other) = (
            folder.path().join("out.png"),
            folder.path().join("other.png"),
        );
        // Keeping the path and closing the file is what the end of a process does.
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
            .expect("a file of somebody else");

        let new = temporary_in(folder.path(), &target).expect("a new file");
        assert!(!dead.exists(), "its run is dead");
        assert!(
            new.path().exists() && alive.path().exists(),
            "their runs live"
        );
        assert!(
            others.exists(),
            "the next run for its target will see to it"
        );
        assert_eq!(names(folder.path()).len(), 4, "{:?}", names(folder.path()));
    }

    #[test]
    fn two_runs_for_one_target_have_a_file_each() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let target = folder.path().join("out.png");
        let first = temporary_in(folder.path(), &target).expect("a new file");
        let second = temporary_in(folder.path(), &target).expect("a new file");
        assert!(first.path() != second.path() && first.path().exists());
    }
}
