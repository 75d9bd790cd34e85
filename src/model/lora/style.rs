//! A LoRA that is merged into the weights of a model.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::LoraFile;
use crate::digest::sha256_of;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Stamp;

/// Largest magnitude of a weight. Others are errors of typing.
const MAX_WEIGHT: f64 = 10.0;

/// A checked LoRA file and its weight. Its values are read when the model is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct StyleLora {
    path: PathBuf,
    weight: f64,
    sha256: String,
    stamp: Option<Stamp>,
}

impl StyleLora {
    /// Checks the names in the file at `path` for a model whose prompts have `context` channels, and hashes the file.
    ///
    /// # Errors
    /// As [`LoraFile::open`] and [`LoraFile::check_context`]; [`Error::Setting`] for a weight that is not from -10 to 10.
    pub fn open(path: &Path, weight: f64, context: usize) -> Result<Self> {
        if weight.is_nan() || weight.abs() > MAX_WEIGHT {
            return Err(Error::Setting {
                name: "style-lora".into(),
                value: weight.to_string(),
                reason: format!(
                    "is not from -{MAX_WEIGHT} to {MAX_WEIGHT}, as the weight of a LoRA"
                ),
            });
        }
        LoraFile::open(path)?.check_context(context)?;
        let failed = |source| Error::File {
            path: path.into(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        Ok(Self {
            path: path.into(),
            weight,
            sha256: sha256_of(&mut file).map_err(failed)?,
            stamp,
        })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the file, for records.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Returns the factor of its differences.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Returns the SHA-256 of the file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns the state of the file when it was hashed.
    pub(in crate::model) fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }

    /// Opens the file again, to read its values.
    ///
    /// # Errors
    /// As [`LoraFile::open`]; [`Error::Weights`] when the file changed since.
    pub(super) fn reopen(&self) -> Result<LoraFile> {
        let file = LoraFile::open(&self.path)?;
        let metadata = std::fs::metadata(&self.path).map_err(|source| Error::File {
            path: self.path.clone(),
            source,
        })?;
        if Stamp::of(&metadata) != self.stamp {
            return Err(Error::Weights {
                path: self.path.display().to_string(),
                kind: ErrorKind::WeightsDamaged,
                reason: "the file was modified while it was used".into(),
                hint: "run again".into(),
            });
        }
        Ok(file)
    }
}
