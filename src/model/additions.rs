//! What is added to a model when it is loaded: LoRA files that are merged into its weights, and embeddings of words.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::embedding::Embedding;
use super::lora::StyleLora;
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::files::Stamp;

/// The additions of a model, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Additions {
    /// Merged under the picture's own LoRA.
    pub(super) styles: Vec<StyleLora>,
    /// The picture's own LoRA, where it is merged instead of attached.
    pub(super) own: Option<StyleLora>,
    pub(super) embeddings: Vec<Embedding>,
}

/// The additions of a model in records and in results.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AdditionNotes {
    /// LoRA files that were merged into the weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub styles: Vec<StyleNote>,
    /// Embeddings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<EmbeddingNote>,
}

/// A LoRA file that was merged into the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StyleNote {
    /// The file's name, without its folder.
    pub file: String,
    /// The factor of its differences.
    pub weight: f64,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// The embedding of a word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingNote {
    /// The word in prompts.
    pub word: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl AdditionNotes {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.styles.is_empty() && self.embeddings.is_empty()
    }
}

impl Additions {
    /// Returns the LoRA files to merge, in order.
    pub(super) fn merged(&self) -> Vec<StyleLora> {
        self.styles.iter().chain(&self.own).cloned().collect()
    }

    /// Adds an embedding.
    ///
    /// # Errors
    /// [`Error::Setting`] for a word that has one already.
    pub(super) fn add_embedding(&mut self, embedding: Embedding) -> Result<()> {
        let word = embedding.token().to_lowercase();
        if self
            .embeddings
            .iter()
            .any(|other| other.token().to_lowercase() == word)
        {
            return Err(Error::Setting {
                name: "embedding".into(),
                value: embedding.token().to_owned(),
                reason: "is the word of two embeddings; give one of them another as `FILE:WORD`"
                    .into(),
            });
        }
        self.embeddings.push(embedding);
        Ok(())
    }

    /// Returns the files.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let loras = self.styles.iter().chain(&self.own).map(StyleLora::path);
        let embeddings = self.embeddings.iter().map(Embedding::path);
        loras.chain(embeddings).map(Path::to_path_buf)
    }

    /// Returns a hash of the states of all files, with the weights and words; empty without files, `None` where the system keeps no modification times.
    pub(super) fn fingerprint(&self) -> Option<String> {
        let loras = self.styles.iter().chain(&self.own);
        let loras = loras.map(|lora| (lora.path(), lora.weight().to_string(), lora.stamp()));
        let embeddings = self.embeddings.iter();
        let embeddings =
            embeddings.map(|word| (word.path(), word.token().to_owned(), word.stamp()));
        let all: Vec<(&Path, String, Stamp)> = loras
            .chain(embeddings)
            .map(|(path, choice, stamp)| Some((path, choice, *stamp?)))
            .collect::<Option<_>>()?;
        if all.is_empty() {
            return Some(String::new());
        }
        let json = serde_json::to_vec(&all).ok()?;
        Some(sha256(&json))
    }

    /// Returns the notes for records.
    pub(super) fn notes(&self) -> AdditionNotes {
        let style = |lora: &StyleLora| StyleNote {
            file: lora.name(),
            weight: lora.weight(),
            sha256: lora.sha256().to_owned(),
        };
        let embedding = |embedding: &Embedding| EmbeddingNote {
            word: embedding.token().to_owned(),
            sha256: embedding.sha256().to_owned(),
        };
        AdditionNotes {
            styles: self.styles.iter().map(style).collect(),
            embeddings: self.embeddings.iter().map(embedding).collect(),
        }
    }
}
