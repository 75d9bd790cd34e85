//! Checks that ids and outputs are unique and that no output is an input.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::entry::{Item, ListFault};
use crate::error::ErrorKind;

/// Gives a fault to each item whose id or output is that of an earlier item, and to each item whose output is an input.
///
/// `places` says how messages name each item. Items that already have a fault are ignored.
///
/// With `only_reads`, outputs may be inputs.
pub(super) fn check_unique(items: &mut [Item], places: &[String], only_reads: bool) {
    let mut folders = RealFolders::default();
    let inputs = if only_reads {
        HashSet::new()
    } else {
        folders.inputs_among_outputs(items)
    };
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut outputs: HashMap<String, usize> = HashMap::new();
    for item in items.iter_mut().filter(|item| item.fault.is_none()) {
        // On a file system that ignores case, names that differ only in case are one file.
        let out = item.out.to_string_lossy().to_lowercase();
        let shown = item.out.display();
        let (kind, reason, hint) = if let Some(other) = outputs.get(&out) {
            (
                ErrorKind::ManifestSameOutput,
                format!("the output `{shown}` is also that of {}", places[*other]),
                "give each item its own output, in a manifest; names that differ only in case count as the same",
            )
        } else if let Some(other) = ids.get(&item.id) {
            (
                ErrorKind::ManifestDuplicateId,
                format!("the id `{}` is also that of {}", item.id, places[*other]),
                "give each item its own id",
            )
        } else if folders
            .real_path(&item.out)
            .is_some_and(|out| inputs.contains(&out))
        {
            (
                ErrorKind::ManifestOutput,
                format!("the output `{shown}` is an input"),
                "inputs are never written; choose another output folder",
            )
        } else {
            ids.insert(item.id.clone(), item.index);
            outputs.insert(out, item.index);
            continue;
        };
        let place = places[item.index].clone();
        if ids.contains_key(&item.id) {
            // Otherwise its record would be taken for that of the other item.
            item.id.clone_from(&place);
        }
        item.fault = Some(Box::new(ListFault {
            place,
            kind,
            reason,
            hint,
        }));
    }
}

/// Resolves links in the folders of paths, each folder once. A file that is itself a link is detected when it is written.
#[derive(Default)]
struct RealFolders {
    /// Keyed by text, because comparing paths by components is slow.
    known: HashMap<OsString, Option<PathBuf>>,
}

impl RealFolders {
    /// Returns the path with its folder resolved; `None` if the folder does not exist.
    fn real_path(&mut self, path: &Path) -> Option<PathBuf> {
        Some(self.real_folder(path)?.join(path.file_name()?))
    }

    /// Returns the resolved folder of `path`.
    fn real_folder(&mut self, path: &Path) -> Option<&PathBuf> {
        let folder = path
            .parent()
            .filter(|folder| *folder != Path::new(""))
            .unwrap_or(Path::new("."));
        if !self.known.contains_key(folder.as_os_str()) {
            self.known
                .insert(folder.as_os_str().to_owned(), fs::canonicalize(folder).ok());
        }
        self.known.get(folder.as_os_str())?.as_ref()
    }

    /// Returns all inputs if at least one is in a folder that also receives outputs; otherwise no output can be an input.
    fn inputs_among_outputs(&mut self, items: &[Item]) -> HashSet<PathBuf> {
        let inputs = || {
            items
                .iter()
                .flat_map(|item| std::iter::once(&item.image).chain(&item.drag))
        };
        let mut outputs = HashSet::new();
        for item in items {
            if let Some(folder) = self.real_folder(&item.out)
                && !outputs.contains(folder.as_os_str())
            {
                outputs.insert(folder.as_os_str().to_owned());
            }
        }
        let is_shared = !outputs.is_empty()
            && inputs().any(|input| {
                self.real_folder(input)
                    .is_some_and(|folder| outputs.contains(folder.as_os_str()))
            });
        if is_shared {
            inputs().filter_map(|input| self.real_path(input)).collect()
        } else {
            HashSet::new()
        }
    }
}
