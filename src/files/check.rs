//! Checks outputs before any work is done for them.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::temporary::temporary_in;
use super::{OVERWRITE_HINT, folder_of, is_same_inode, is_stdout, refused, write_failed};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;

/// Extensions of other formats, which a PNG must not have.
const OTHER_PICTURES: [&str; 9] = [
    "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic",
];

/// Rejects an output that cannot or must not be written. Creates no file that remains.
///
/// `inputs` are all files that the run reads.
///
/// # Errors
/// [`Error::Output`]: `output.is_input`, `output.is_link`, `output.exists`, `output.not_a_file`, `output.name` or `output.folder`.
pub fn check_output(inputs: &[PathBuf], output: &Path, overwrite: bool) -> Result<()> {
    let refuse = |kind, reason: String, hint: &str| Err(refused(output, kind, reason, hint));
    if is_stdout(output) {
        return if io::stdout().is_terminal() {
            refuse(
                ErrorKind::OutputNotAFile,
                "stands for stdout, which is a terminal".into(),
                "redirect stdout to a file or a pipe, or give the path of a file",
            )
        } else {
            Ok(())
        };
    }
    check_name(output)?;
    if let Some(input) = inputs.iter().find(|input| is_same_file(input, output)) {
        return refuse(
            ErrorKind::OutputIsInput,
            format!("is the same file as the input `{}`", input.display()),
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
        return refuse(
            ErrorKind::OutputIsLink,
            format!("is a link to `{}`", target.display()),
            "give the path of the link's target, or another output",
        );
    }
    match fs::metadata(output) {
        Ok(metadata) if !metadata.is_file() => {
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

/// Returns the error of an output that exists and must not be replaced.
pub(crate) fn exists_already(output: &Path) -> Error {
    refused(
        output,
        ErrorKind::OutputExists,
        "exists already".into(),
        OVERWRITE_HINT,
    )
}

/// Rejects two outputs of one run that are the same file.
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
        return Err(refused(
            second,
            ErrorKind::OutputNotDistinct,
            "is given for two outputs of one run".to_owned(),
            "give each output its own path",
        ));
    }
    Ok(())
}

/// Names with fewer bytes fit every file system in use.
const SHORT_NAME: usize = 128;

/// Rejects a path that the file system cannot store, such as one with a name that is too long. Nothing is created.
///
/// # Errors
/// [`Error::Output`]: `output.name`.
pub fn check_name(output: &Path) -> Result<()> {
    let names = || output.iter().filter(|name| name.len() > SHORT_NAME);
    if names().next().is_none() && output.as_os_str().len() < 8 * SHORT_NAME {
        return Ok(());
    }
    let folder = folder_of(output);
    let existing = folder.ancestors().find(|ancestor| ancestor.is_dir());
    let existing = existing.unwrap_or(Path::new("."));
    // Asking for a file is enough: the file system rejects the name before it looks for it.
    let probes = names()
        .map(|name| existing.join(name))
        .chain([output.to_path_buf()]);
    for probe in probes {
        match fs::symlink_metadata(&probe) {
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                let name = output.file_name().unwrap_or_default();
                return Err(refused(
                    output,
                    ErrorKind::OutputName,
                    format!(
                        "cannot be created, its name has {} bytes: {error}",
                        name.len()
                    ),
                    "choose a shorter name with -o",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Rejects the extension of another format than PNG.
///
/// # Errors
/// [`Error::Output`]: `output.format`.
pub fn check_png_name(output: &Path) -> Result<()> {
    let extension = output
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    if OTHER_PICTURES.contains(&extension.as_str()) {
        return Err(refused(
            output,
            ErrorKind::OutputFormat,
            "results are PNG files".to_owned(),
            "use a name that ends in .png",
        ));
    }
    Ok(())
}

/// Checks that the folder of the output, or its nearest ancestor that exists, accepts new files.
fn check_folder(output: &Path) -> Result<()> {
    let folder = folder_of(output);
    let existing = folder
        .ancestors()
        .find(|ancestor| ancestor.symlink_metadata().is_ok());
    let existing = existing
        .filter(|ancestor| !ancestor.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !existing.is_dir() {
        return Err(refused(
            output,
            ErrorKind::OutputFolder,
            format!("`{}` is not a folder", existing.display()),
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
        Err(error) => Err(refused(
            output,
            ErrorKind::OutputFolder,
            format!("cannot create files in `{}`: {error}", existing.display()),
            "choose a folder that you may write to",
        )),
    }
}

fn is_same_file(input: &Path, output: &Path) -> bool {
    match (fs::metadata(input), fs::metadata(output)) {
        (Ok(first), Ok(second)) => is_same_inode(&first, &second) || is_same_path(input, output),
        _ => false,
    }
}

fn is_same_path(first: &Path, second: &Path) -> bool {
    matches!((fs::canonicalize(first), fs::canonicalize(second)), (Ok(first), Ok(second)) if first == second)
}
