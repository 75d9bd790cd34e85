//! What listing a folder leaves out, as warnings: nothing is skipped silently.

use std::path::{Path, PathBuf};

use crate::warning::{Warning, WarningKind};

/// Most paths that one warning names.
const MAX_NAMED: usize = 20;

/// Paths that were found and skipped.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    /// Pictures without a drag file.
    pub(super) without_drag: Vec<PathBuf>,
    /// Pictures in other formats.
    pub(super) other_pictures: Vec<PathBuf>,
    /// Pictures that this program made, beside the pictures they were made from.
    pub(super) own_results: Vec<PathBuf>,
    /// Drag files without a picture that can be edited, each with the reason.
    pub(super) unused_drags: Vec<(PathBuf, String)>,
    /// Folders in which other programs keep their copies.
    pub(super) other_folders: Vec<PathBuf>,
    /// Links to folders.
    pub(super) folder_links: Vec<PathBuf>,
}

impl Skipped {
    /// Returns a warning for each kind of path, with paths under `root`.
    pub(super) fn warnings(mut self, root: &Path) -> Vec<Warning> {
        let warning = |paths: &[PathBuf], kind, one: &str, many: &str| {
            let first = paths.iter().min()?;
            let count = paths.len();
            let what = if count == 1 {
                one.to_owned()
            } else {
                many.replace('#', &count.to_string())
            };
            Some(Warning {
                kind,
                message: format!("{what}, such as `{}`", root.join(first).display()),
            })
        };
        let counted = [
            warning(
                &self.without_drag,
                WarningKind::BatchWithoutDrag,
                "skipping 1 picture without a drag file",
                "skipping # pictures without a drag file",
            ),
            warning(
                &self.other_pictures,
                WarningKind::BatchOtherFormats,
                "skipping 1 picture that is not a PNG, JPEG or WebP",
                "skipping # pictures that are not PNG, JPEG or WebP",
            ),
            warning(
                &self.own_results,
                WarningKind::BatchOwnResults,
                "skipping 1 picture that this program made from another one beside it",
                "skipping # pictures that this program made from others beside them",
            ),
            warning(
                &self.other_folders,
                WarningKind::BatchOtherFolders,
                "skipping 1 folder in which another program keeps its files",
                "skipping # folders in which other programs keep their files",
            ),
            warning(
                &self.folder_links,
                WarningKind::BatchLinks,
                "skipping 1 link to a folder",
                "skipping # links to folders",
            ),
        ];
        self.unused_drags.sort();
        let count = self.unused_drags.len();
        let named = self
            .unused_drags
            .iter()
            .take(MAX_NAMED)
            .map(|(path, reason)| Warning {
                kind: WarningKind::BatchDragUnused,
                message: format!(
                    "skipping the drag file `{}`: {reason}",
                    root.join(path).display()
                ),
            });
        let more = (count > MAX_NAMED).then(|| Warning {
            kind: WarningKind::BatchDragUnused,
            message: format!(
                "skipping {} more drag files without a picture",
                count - MAX_NAMED
            ),
        });
        counted
            .into_iter()
            .flatten()
            .chain(named)
            .chain(more)
            .collect()
    }
}
