//! How results get onto the disk: an output path holds what it held before, or the complete new file.
//!
//! The file is written beside its target under a temporary name, read back and compared, and then renamed into place.
//! Nothing is deleted but temporary files of this program: that of this run, and one that a killed run left for the same
//! output, when a lock proves that no run has it any more.

mod link;
mod stamp;
mod temporary;

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;

pub use link::follow;
pub use stamp::Stamp;
use temporary::temporary_in;
pub(crate) use temporary::{remove_orphans, temporary_named};

/// Extensions that promise another format than the PNG that is written.
const OTHER_PICTURES: [&str; 9] = [
    "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic",
];

const OVERWRITE_HINT: &str = "use --overwrite, or choose another output with -o";

/// Refuses an output that could not be written, or must not be, before any work is done for it.
///
/// `inputs` are all files that the run reads. Leaves nothing behind.
///
/// # Errors
/// [`Error::Output`]: `output.is_input`, `output.is_link`, `output.exists`, `output.not_a_file` or `output.folder`.
pub fn check_output(inputs: &[PathBuf], output: &Path, overwrite: bool) -> Result<()> {
    let refuse = |kind, reason: String, hint: &str| Err(refused(output, kind, reason, hint));
    if let Some(input) = inputs.iter().find(|input| is_same_file(input, output)) {
        let reason = format!("is the same file as the input `{}`", input.display());
        return refuse(
            ErrorKind::OutputIsInput,
            reason,
            "inputs are never written; choose another output",
        );
    }
    if output.to_string_lossy().ends_with(std::path::is_separator) {
        return refuse(
            ErrorKind::OutputNotAFile,
            "names a folder".into(),
            "give the path of a file",
        );
    }
    if let Ok(target) = fs::read_link(output) {
        let reason = format!("is a link to `{}`", target.display());
        return refuse(
            ErrorKind::OutputIsLink,
            reason,
            "use --follow to write there, or give the path it leads to",
        );
    }
    match fs::metadata(output) {
        Ok(there) if !there.is_file() => {
            return refuse(
                ErrorKind::OutputNotAFile,
                "is not a file".into(),
                "give the path of a file",
            );
        }
        Ok(_) if !overwrite => return Err(exists_already(output)),
        Ok(_) | Err(_) => {}
    }
    check_folder(output)
}

/// The error about an output that exists and is not to be replaced.
pub(crate) fn exists_already(output: &Path) -> Error {
    refused(
        output,
        ErrorKind::OutputExists,
        "exists already".into(),
        OVERWRITE_HINT,
    )
}

/// The error about a picture that no PNG can hold.
pub(crate) fn cannot_encode(output: &Path, error: &png::EncodingError) -> Error {
    refused(output, ErrorKind::OutputWrite, error.to_string(), "")
}

/// Refuses two outputs of one run that are the same file.
///
/// # Errors
/// [`Error::Output`]: `output.not_distinct`.
pub fn check_distinct(first: &Path, second: &Path) -> Result<()> {
    let full = |path: &Path| {
        let folder = fs::canonicalize(folder_of(path))
            .or_else(|_| std::path::absolute(folder_of(path)))
            .ok()?;
        Some(folder.join(path.file_name()?))
    };
    if is_same_file(first, second) || full(first) == full(second) {
        let reason = "is asked for twice, as two outputs of one run".to_owned();
        return Err(refused(
            second,
            ErrorKind::OutputNotDistinct,
            reason,
            "give each output its own path",
        ));
    }
    Ok(())
}

/// Refuses a name that promises another format than PNG.
///
/// # Errors
/// [`Error::Output`]: `output.format`.
pub fn check_png_name(output: &Path) -> Result<()> {
    let extension = output
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    if OTHER_PICTURES.contains(&extension.as_str()) {
        let reason = "results are PNG files".to_owned();
        return Err(refused(
            output,
            ErrorKind::OutputFormat,
            reason,
            "let its name end in .png",
        ));
    }
    Ok(())
}

/// Writes `bytes` to `path` in one step that cannot be seen half done. Folders that are missing are created. A file that is replaced
/// leaves its permissions to the new one.
///
/// `verify` judges what was read back from the disk, before it takes the place of anything.
///
/// # Errors
/// [`Error::Output`]: `output.write`, `output.disk_full`, `output.verify`, or `output.appeared` when a file appeared at
/// `path` and `overwrite` is not set. The path then holds what it held before.
pub fn write_verified(
    path: &Path,
    bytes: &[u8],
    overwrite: bool,
    verify: impl FnOnce(&[u8]) -> std::result::Result<(), String>,
) -> Result<()> {
    let failed = |error: io::Error| write_failed(path, &error);
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
        Err("other bytes came back".into())
    };
    verdict.map_err(|reason| {
        let reason = format!("the written file was read back and is wrong: {reason}");
        refused(
            path,
            ErrorKind::OutputVerify,
            reason,
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
    // The file is complete under its name; a folder that cannot be synced (some network disks) does not change that.
    for holder in std::iter::once(folder.clone()).chain(missing.into_iter().map(folder_of)) {
        let _ = File::open(holder).and_then(|holder| holder.sync_all());
    }
    Ok(())
}

/// In two writes, for a test to end the process between them.
fn write_in_two(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    failpoint::kill("kill_in_write");
    if failpoint::is_hit("disk_full") {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all(second)
}

/// Gives the file its name unless another one has it. Some disks know neither a rename that spares what is there nor hard links; there,
/// looking first is the best that can be done.
fn persist_new(temporary: NamedTempFile, path: &Path) -> std::result::Result<File, PersistError> {
    temporary
        .persist_noclobber(path)
        .or_else(|refused| match fs::symlink_metadata(path) {
            Err(gone)
                if gone.kind() == io::ErrorKind::NotFound
                    && refused.error.kind() != io::ErrorKind::AlreadyExists =>
            {
                refused.file.persist(path)
            }
            _ => Err(refused),
        })
}

/// The folder that will hold `path` must exist, or its nearest ancestor that does must take new files.
fn check_folder(output: &Path) -> Result<()> {
    let folder = folder_of(output);
    let existing = folder
        .ancestors()
        .find(|ancestor| ancestor.symlink_metadata().is_ok());
    let existing = existing
        .filter(|ancestor| !ancestor.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !existing.is_dir() {
        let reason = format!("`{}` is not a folder", existing.display());
        return Err(refused(
            output,
            ErrorKind::OutputFolder,
            reason,
            "give a path inside a folder",
        ));
    }
    match temporary_in(existing, output) {
        Ok(_) => {
            failpoint::kill("kill_in_check");
            Ok(())
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
        {
            Err(write_failed(output, &error))
        }
        Err(error) => {
            let reason = format!("`{}` takes no new files: {error}", existing.display());
            Err(refused(
                output,
                ErrorKind::OutputFolder,
                reason,
                "choose a folder that you may write to",
            ))
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

fn is_same_file(input: &Path, output: &Path) -> bool {
    match (fs::metadata(input), fs::metadata(output)) {
        (Ok(first), Ok(second)) => is_same_inode(&first, &second) || is_same_path(input, output),
        _ => false,
    }
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

fn is_same_path(first: &Path, second: &Path) -> bool {
    matches!((fs::canonicalize(first), fs::canonicalize(second)), (Ok(first), Ok(second)) if first == second)
}

pub(crate) fn write_failed(path: &Path, error: &io::Error) -> Error {
    let (kind, hint) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::OutputDiskFull, "make room, then run this again")
        }
        io::ErrorKind::FileTooLarge => (
            ErrorKind::OutputWrite,
            "a limit on the size of files is in force; see `ulimit -f`",
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
            "appeared while this run was at work".into(),
            OVERWRITE_HINT,
        )
    } else {
        write_failed(path, error)
    }
}

/// No room, a quota, or a limit on the size of files.
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
