//! Follows an output that is a symbolic link, for `--follow`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{folder_of, refused};
use crate::error::{ErrorKind, Result};

/// The number of links in a row that Linux follows.
const MAX_LINKS: usize = 40;

/// Returns the target of `output`, or `output` itself if it is not a link. The target need not exist;
/// [`super::check_output`] checks it.
///
/// # Errors
/// [`crate::Error::Output`]: `output.is_link` if links lead in a circle, `output.folder` if they lead into a folder that does
/// not exist.
pub fn follow(output: &Path) -> Result<PathBuf> {
    let mut path = output.to_path_buf();
    for _ in 0..=MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            let folder = folder_of(&path);
            if path != output && !folder.is_dir() {
                // Folders are created only where the user named them, not at the target of a link.
                let reason = format!(
                    "is a link into `{}`, which is not a folder",
                    folder.display()
                );
                return Err(refused(
                    output,
                    ErrorKind::OutputFolder,
                    reason,
                    "create the folder, or give another path",
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
