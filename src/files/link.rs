//! An output that is a link: where it leads, for who asks to write there.

use std::fs;
use std::path::{Path, PathBuf};

use super::{folder_of, refused};
use crate::error::{ErrorKind, Result};

/// As many links after one another as Linux follows.
const MAX_LINKS: usize = 40;

/// The path that `output` leads to: itself when it is no link. What stands there, if anything, is for [`super::check_output`] to judge.
///
/// # Errors
/// [`crate::Error::Output`]: `output.is_link` when links lead in a circle, `output.folder` when they lead into a folder that is not there.
pub fn follow(output: &Path) -> Result<PathBuf> {
    let mut path = output.to_path_buf();
    for _ in 0..=MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            let folder = folder_of(&path);
            if path != output && !folder.is_dir() {
                // Folders are made where the user named them, not where a link happens to point.
                let reason = format!("is a link into `{}`, which is no folder", folder.display());
                return Err(refused(
                    output,
                    ErrorKind::OutputFolder,
                    reason,
                    "make the folder, or give another path",
                ));
            }
            return Ok(path);
        };
        path = folder_of(&path).join(target);
    }
    Err(refused(
        output,
        ErrorKind::OutputIsLink,
        "is a link that leads in a circle".into(),
        "give the path of a file",
    ))
}
