//! The category of each item where the manifest gives none: the first folder of its picture's path.

use std::collections::HashMap;
use std::path::{Component, Path};

/// Returns the first folder of each path, relative to the deepest folder that all of them are in. All are `None` when no folder has two
/// paths: then folders hold samples, not categories.
pub(super) fn by_folder(paths: &[&Path]) -> Vec<Option<String>> {
    let folders: Vec<Vec<Component>> = paths
        .iter()
        .map(|path| {
            path.parent()
                .map(|folder| folder.components().collect())
                .unwrap_or_default()
        })
        .collect();
    let common = folders.iter().skip(1).fold(
        folders.first().cloned().unwrap_or_default(),
        |mut common, folder| {
            let shared = common.iter().zip(folder).take_while(|(a, b)| a == b);
            common.truncate(shared.count());
            common
        },
    );
    let firsts: Vec<Option<String>> = folders
        .iter()
        .map(|folder| {
            let first = folder.get(common.len())?;
            Some(first.as_os_str().to_string_lossy().into_owned())
        })
        .collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for first in firsts.iter().flatten() {
        *counts.entry(first).or_default() += 1;
    }
    if counts.values().all(|count| *count < 2) {
        return vec![None; paths.len()];
    }
    firsts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categories(paths: &[&str]) -> Vec<Option<String>> {
        let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
        by_folder(&paths)
    }

    #[test]
    fn the_first_folder_is_the_category() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(
            categories(&["d/animals/a/1.png", "d/animals/b/1.png", "d/art/c/1.png"]),
            [some("animals"), some("animals"), some("art")]
        );
        assert_eq!(
            categories(&["x/1.png", "x/2.png", "3.png"]),
            [some("x"), some("x"), None]
        );
    }

    #[test]
    fn folders_of_single_samples_are_no_categories() {
        assert_eq!(categories(&["s/a/1.png", "s/b/1.png"]), [None, None]);
        assert_eq!(categories(&["s/1.png", "s/2.png"]), [None, None]);
        assert!(categories(&[]).is_empty());
    }
}
