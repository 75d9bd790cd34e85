//! The weights of a component, in one of several files.

use super::refusal::pickle_error;
use super::{ReadSeek, Source};
use crate::error::Result;
use crate::hub::is_pickle;

impl Source {
    /// Opens the first of the files at `paths` (at least one) that the model has. Returns its path and content.
    ///
    /// # Errors
    /// [`Error::Weights`] when it has none of them, which names a pickle in the same folder. As [`Source::open`].
    pub fn open_first(&self, paths: &[&'static str]) -> Result<(&'static str, Box<dyn ReadSeek>)> {
        for path in paths {
            if let Some(file) = self.open(path)? {
                return Ok((path, file));
            }
        }
        let first = paths[0];
        let split = |path: &'static str| path.rsplit_once('/').unwrap_or(("", path));
        let folder = match self {
            Self::Alone(..) => "",
            _ => split(first).0,
        };
        if let Some(pickle) = self.pickle_in(folder) {
            return Err(pickle_error(
                &pickle,
                &format!("download {first} or convert the weights to it"),
            ));
        }
        let others: Vec<&str> = paths[1..].iter().map(|path| split(path).1).collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(" (nor {})", others.join(", "))
        };
        Err(self.missing(first, &others))
    }

    fn pickle_in(&self, folder: &str) -> Option<String> {
        let files = std::fs::read_dir(self.folder()?.join(folder)).ok()?;
        let paths = files.filter_map(|entry| Some(entry.ok()?.path()));
        let pickle = paths.filter(|path| is_pickle(path)).min()?;
        Some(pickle.display().to_string())
    }
}
