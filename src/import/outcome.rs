//! What became of an import, sample by sample.

use std::path::PathBuf;

use super::sample::Choice;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::Kind;
use crate::warning::Warning;

/// The result of an import.
#[derive(Debug)]
pub(crate) struct Import {
    /// The kind of the source.
    pub(crate) kind: Kind,
    /// The manifest, if at least one sample was written.
    pub(crate) manifest: Option<PathBuf>,
    /// Every sample of the source, in its order.
    pub(crate) samples: Vec<SampleOutcome>,
    /// What was left out of the source as a whole.
    pub(crate) warnings: Vec<Warning>,
}

/// What became of one sample.
#[derive(Debug)]
pub(crate) struct SampleOutcome {
    /// Its id in the manifest, and its folder.
    pub(crate) id: String,
    /// Its category, if the source has one.
    pub(crate) category: Option<String>,
    /// What was imported, or why it could not be.
    pub(crate) result: Result<Imported>,
}

/// What was imported of a sample.
#[derive(Debug)]
pub(crate) struct Imported {
    /// What was chosen for it.
    pub(crate) choices: Vec<Choice>,
    /// Its drag file, relative to the output folder; `None` if faults of other samples kept it from being written.
    pub(crate) drag: Option<String>,
}

impl Import {
    /// Returns the number of samples that were written, and of faulty ones.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let count = |wanted: fn(&Result<Imported>) -> bool| {
            self.samples
                .iter()
                .filter(|sample| wanted(&sample.result))
                .count()
        };
        (
            count(|result| result.as_ref().is_ok_and(|done| done.drag.is_some())),
            count(Result::is_err),
        )
    }

    /// Returns whether the import succeeded.
    ///
    /// # Errors
    /// The faults of the samples when nothing was written; [`Error::Finding`] `import.failed` when the others were.
    pub(crate) fn result(self) -> Result<()> {
        let (written, faulty) = self.counts();
        let total = self.samples.len();
        if faulty > 0 && written > 0 {
            return Err(Error::Finding {
                kind: ErrorKind::ImportFailed,
                reason: format!("{faulty} of {total} samples could not be imported"),
                hint: "their errors are above; the manifest has the others".into(),
            });
        }
        let errors = self
            .samples
            .into_iter()
            .filter_map(|sample| sample.result.err());
        Error::all(errors.collect())
    }
}
