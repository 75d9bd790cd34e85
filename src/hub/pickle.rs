//! Pickles: weight formats that can run code when they are read. They are recognised by name, and never fetched or loaded.

use std::path::Path;

const EXTENSIONS: [&str; 5] = ["ckpt", "pt", "pth", "bin", "pkl"];

/// Returns whether the file's name is that of a pickle.
pub(crate) fn is_pickle(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|pickle| extension.eq_ignore_ascii_case(pickle))
    })
}
