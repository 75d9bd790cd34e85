//! Writes results to disk: an output path holds either its old content or the complete new file.
//!
//! A file is written under a temporary name next to its target, read back and compared, and then renamed into place. The only
//! files that are deleted are temporary files of this program: the one of this run, and one that a killed run left for the
//! same output, if a lock shows that no run uses it.
//!
//! The path `-` stands for stdout.

mod check;
pub(crate) mod content;
mod link;
mod stamp;
mod temporary;

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;

pub(crate) use check::exists_already;
pub use check::{check_distinct, check_name, check_output, check_png_name};
pub use link::follow;
pub use stamp::Stamp;
use temporary::temporary_in;
pub(crate) use temporary::{remove_orphans, temporary_named};

const OVERWRITE_HINT: &str = "use --overwrite, or choose another output";

/// Writes `bytes` to `path` atomically. Missing folders are created. A file that replaces another one gets its permissions.
///
/// `verify` checks the bytes that were read back from the disk, before they replace anything. With the path `-`, it checks the bytes before
/// they are written to stdout.
///
/// # Errors
/// [`Error::Output`]: `output.write`, `output.disk_full`, `output.verify`, or `output.appeared` if another program created
/// `path` meanwhile and `overwrite` is not set. In each case `path` holds its old content.
pub fn write_verified(
    path: &Path,
    bytes: &[u8],
    overwrite: bool,
    verify: impl FnOnce(&[u8]) -> std::result::Result<(), String>,
) -> Result<()> {
    let failed = |error: io::Error| write_failed(path, &error);
    if is_stdout(path) {
        verify(bytes).map_err(|reason| refused(path, ErrorKind::OutputVerify, reason, ""))?;
        return write_stdout(bytes).map_err(|error| stdout_failed(&error));
    }
    let folder = folder_of(path);
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .collect();
    fs::create_dir_all(&folder).map_err(failed)?;

    let mut temporary = temporary_in(&folder, path).map_err(failed)?;
    failpoint::kill("kill_after_create");
    write_in_two(temporary.as_file_mut(), bytes).map_err(failed)?;
    failpoint::kill("kill_after_write");

    let mut written = fs::read(temporary.path()).map_err(failed)?;
    if failpoint::is_hit("other_bytes_come_back") {
        written[bytes.len() / 2] ^= 1;
    }
    let verdict = if written == bytes {
        verify(&written)
    } else {
        Err("its bytes differ from those that were written".into())
    };
    verdict.map_err(|reason| {
        refused(
            path,
            ErrorKind::OutputVerify,
            format!("the written file was read back and is wrong: {reason}"),
            "check the disk and the memory of this machine",
        )
    })?;
    failpoint::kill("kill_after_read_back");

    temporary.as_file().sync_all().map_err(failed)?;
    failpoint::kill("kill_after_sync");
    let renamed = if overwrite {
        temporary.persist(path)
    } else {
        persist_new(temporary, path)
    };
    renamed.map_err(|refused| rename_failed(path, &refused.error))?;
    failpoint::kill("kill_after_rename");
    // The file is complete under its name, even if its folder cannot be synced, as on some network disks.
    for holder in std::iter::once(folder.clone()).chain(missing.into_iter().map(folder_of)) {
        let _ = File::open(holder).and_then(|holder| holder.sync_all());
    }
    Ok(())
}

/// Writes in two steps, so that a test can end the process between them.
fn write_in_two(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    failpoint::kill("kill_in_write");
    if failpoint::is_hit("disk_full") {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all(second)
}

/// Renames the file to `path` unless that exists. Some disks support neither a rename without replacement nor hard links;
/// there it checks first and then renames.
fn persist_new(temporary: NamedTempFile, path: &Path) -> std::result::Result<File, PersistError> {
    temporary
        .persist_noclobber(path)
        .or_else(|refused| match fs::symlink_metadata(path) {
            Err(missing)
                if missing.kind() == io::ErrorKind::NotFound
                    && refused.error.kind() != io::ErrorKind::AlreadyExists =>
            {
                refused.file.persist(path)
            }
            _ => Err(refused),
        })
}

/// Returns whether a path stands for stdout. `./-` is a file of that name.
pub fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Writes bytes to stdout, all of them. Everything that the program prints there goes through this function.
///
/// # Errors
/// Those of the operating system; [`stdout_failed`] says what they mean.
pub(crate) fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Returns the error of a failed write to stdout: that of a full disk where it is redirected to one.
pub(crate) fn stdout_failed(error: &io::Error) -> Error {
    match write_failed(Path::new("stdout"), error) {
        Error::Output {
            path, kind, reason, ..
        } => Error::Output {
            path,
            kind,
            reason,
            hint: "the data is lost; files that were written are complete".into(),
        },
        other => other,
    }
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

#[cfg(unix)]
fn is_same_inode(first: &Metadata, second: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (first.dev(), first.ino()) == (second.dev(), second.ino())
}

#[cfg(not(unix))]
fn is_same_inode(_: &Metadata, _: &Metadata) -> bool {
    false
}

/// Returns the error of a picture that cannot be stored as a PNG.
pub(crate) fn cannot_encode(output: &Path, error: &png::EncodingError) -> Error {
    refused(output, ErrorKind::OutputWrite, error.to_string(), "")
}

/// Returns the error of a failed write.
pub(crate) fn write_failed(path: &Path, error: &io::Error) -> Error {
    let (kind, hint) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            ErrorKind::OutputDiskFull,
            "free some space, then run this again",
        ),
        io::ErrorKind::FileTooLarge => (
            ErrorKind::OutputWrite,
            "the size of files is limited; see `ulimit -f`",
        ),
        _ => (ErrorKind::OutputWrite, ""),
    };
    refused(path, kind, error.to_string(), hint)
}

fn rename_failed(path: &Path, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        refused(
            path,
            ErrorKind::OutputAppeared,
            "was created by another program during this run".into(),
            OVERWRITE_HINT,
        )
    } else {
        write_failed(path, error)
    }
}

/// Returns whether a write failed for lack of space, because of a quota, or because of a limit on the size of files.
#[cfg(feature = "hub")]
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

fn refused(path: &Path, kind: ErrorKind, reason: String, hint: &str) -> Error {
    Error::Output {
        path: path.to_path_buf(),
        kind,
        reason,
        hint: hint.to_owned(),
    }
}
