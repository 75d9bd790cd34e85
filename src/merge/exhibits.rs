//! Chooses the pictures of a contact sheet: the worst items, each before and after its edit.

use std::path::{Path, PathBuf};

use super::{Merged, MergedItem, MergedState};
use crate::picture::{self, Picture};
use crate::preview::{Exhibit, MOST_EXHIBITS};

/// Returns the worst items with their pictures, where those can be read.
///
/// The paths in records are resolved against the current folder, the folder of the manifest, and the output folders of the record files.
pub(crate) fn exhibits(
    merged: &Merged,
    manifest: Option<&Path>,
    records: &[PathBuf],
) -> Vec<Exhibit> {
    let folders = folders(manifest, records);
    merged
        .worst_first()
        .into_iter()
        .take(MOST_EXHIBITS)
        .map(|item| exhibit(item, &folders))
        .collect()
}

fn exhibit(item: &MergedItem, folders: &[PathBuf]) -> Exhibit {
    let before = item.image.as_ref().and_then(|path| read(path, folders));
    let after = match (item.state, &item.out) {
        (MergedState::Done, Some(path)) => read(path, folders),
        _ => None,
    };
    let problem = match (&item.error, item.state, &after) {
        (Some(error), ..) => Some(error.kind.name().to_owned()),
        (None, MergedState::Done, Some(_)) => None,
        (None, MergedState::Done, None) => Some("not found".into()),
        (None, state, _) => Some(state.name().to_owned()),
    };
    Exhibit::new(item.id.clone(), problem, before.as_ref(), after.as_ref())
}

/// Returns the folders that the paths of records may be relative to.
pub(crate) fn folders(manifest: Option<&Path>, records: &[PathBuf]) -> Vec<PathBuf> {
    let manifest = manifest.and_then(Path::parent);
    // OUT/records/all.jsonl belongs to the output folder OUT.
    let outputs = records.iter().filter_map(|file| file.parent()?.parent());
    std::iter::once(Path::new(""))
        .chain(manifest)
        .chain(outputs)
        .map(Path::to_path_buf)
        .collect()
}

fn read(path: &Path, folders: &[PathBuf]) -> Option<Picture> {
    let original = picture::read_any(&found(path, folders)?).ok()?;
    Some(original.picture)
}

/// Returns the file that a record names, in the first of the folders that has it.
pub(crate) fn found(path: &Path, folders: &[PathBuf]) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| folder.join(path))
        .find(|path| path.is_file())
}
