//! Confines the paths of a list to the folders of the command line, with links resolved.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A folder that paths must lie in.
#[derive(Debug, Clone)]
pub(super) struct Root {
    folder: PathBuf,
    /// The folder with links resolved; `None` if it does not exist yet, so that it cannot contain links.
    real: Option<PathBuf>,
    /// Which parent folders of checked paths lie inside.
    known: HashMap<OsString, bool>,
}

impl Root {
    pub(super) fn new(folder: &Path) -> Self {
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder.to_path_buf()
        };
        Self {
            real: fs::canonicalize(&folder).ok(),
            folder,
            known: HashMap::new(),
        }
    }

    /// Returns whether the path is relative and has no `..`, which keeps it inside unless a link leads outside.
    pub(super) fn is_plain(path: &Path) -> bool {
        path.components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    }

    /// Returns whether `path`, which may not exist yet, lies inside the folder with links resolved. Like the folder's own path, it is
    /// absolute or relative to the current folder.
    pub(super) fn holds(&mut self, path: &Path, is_link: bool) -> bool {
        let Some(real) = &self.real else { return true };
        if is_link {
            return fs::canonicalize(path).is_ok_and(|target| target.starts_with(real));
        }
        let Some(parent) = path.parent() else {
            return false;
        };
        if let Some(inside) = self.known.get(parent.as_os_str()) {
            return *inside;
        }
        let existing = parent.ancestors().find_map(|ancestor| {
            let ancestor = if ancestor.as_os_str().is_empty() {
                Path::new(".")
            } else {
                ancestor
            };
            fs::canonicalize(ancestor).ok()
        });
        let inside = existing.is_some_and(|existing| existing.starts_with(real));
        self.known.insert(parent.as_os_str().to_owned(), inside);
        inside
    }

    /// Returns where a file lies in the folder, which may be given by its absolute path or with `..`: relative to the folder, or only its name
    /// where it lies outside.
    pub(super) fn relative(&self, path: &Path) -> Option<PathBuf> {
        let name = path.file_name()?;
        let parent = fs::canonicalize(self.folder.join(path).parent()?).ok();
        let inside = parent.as_deref().zip(self.real.as_deref());
        let inside = inside.and_then(|(parent, real)| parent.strip_prefix(real).ok());
        Some(inside.map_or_else(|| name.into(), |inside| inside.join(name)))
    }

    /// Returns the folder as it was given.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_its_folder_is_not_plain() {
        for path in ["a.png", "./a/b.png", "a/..b/c"] {
            assert!(Root::is_plain(Path::new(path)), "{path}");
        }
        for path in ["../a.png", "a/../b", "/etc/passwd", ".."] {
            assert!(!Root::is_plain(Path::new(path)), "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_resolved_before_a_path_is_judged() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("root/inner")).expect("new folders");
        fs::create_dir_all(path("other")).expect("a new folder");
        std::os::unix::fs::symlink(path("other"), path("root/away")).expect("a link");
        std::os::unix::fs::symlink(path("root/inner"), path("root/near")).expect("a link");
        let mut root = Root::new(&path("root"));
        for (name, inside) in [
            ("root/a", true),
            ("root/inner/a", true),
            ("root/near/a", true),
            ("root/new/er/a", true),
            ("root/away/a", false),
            ("root/away/new/a", false),
        ] {
            assert_eq!(root.holds(&path(name), false), inside, "{name}");
        }
    }
}
