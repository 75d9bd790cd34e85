//! Reads a note back, as strictly as a drag file: anybody may have written it.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::FORMAT;
use crate::drag_file::DragFile;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{EmbeddingNote, StyleNote};
use crate::picture;
use crate::plan::Amount;

/// A note that was read from a picture.
#[derive(Debug)]
pub(crate) struct ParsedNote {
    /// Everything but the instruction and its settings.
    pub header: NoteHeader,
    /// The instruction with the resolved settings. With the same model it gives the same picture.
    pub drag: DragFile,
}

/// How a picture was made, without the instruction.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoteHeader {
    /// Version of the program.
    pub version: String,
    /// Hash of everything that decides the pixels.
    pub job: String,
    /// SHA-256 of the picture that was edited.
    pub image: Option<String>,
    /// Width and height of that picture.
    pub size: Option<[usize; 2]>,
    /// SHA-256 of the areas, which a reader does not need.
    #[serde(rename = "areas")]
    _areas: Option<IgnoredAny>,
    /// How far the drag was carried out, unless that was the whole drag.
    pub amount: Option<Amount>,
    /// The model's name.
    pub model: String,
    /// Hash of the model's weights.
    pub weights: Option<String>,
    /// SHA-256 of the CLIP, where the method needed one.
    pub clip: Option<String>,
    /// SHA-256 of the LoRA file that was used instead of training one.
    pub lora: Option<String>,
    /// LoRA files that were merged into the weights.
    #[serde(default)]
    pub styles: Vec<StyleNote>,
    /// Embeddings of words.
    #[serde(default)]
    pub embeddings: Vec<EmbeddingNote>,
    /// Whether the original was kept outside the editable area.
    #[serde(default = "yes")]
    pub composite: bool,
    /// Kind of device.
    pub device: Option<String>,
    /// Number format.
    pub dtype: Option<String>,
    /// Seed of all noise.
    pub seed: u64,
    /// The drag method; notes without it were made with the first one.
    method: Option<Value>,
    settings: Value,
    instruction: Value,
}

const fn yes() -> bool {
    true
}

impl ParsedNote {
    /// Reads the note inside the PNG at `path`.
    ///
    /// # Errors
    /// As [`picture::read_note`] and [`ParsedNote::parse`].
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(&picture::read_note(path)?, path)
    }

    /// Parses a note. `path` is the picture that contains it.
    ///
    /// # Errors
    /// [`Error::Report`] `show.damaged` or `show.version`, and [`Error::Instruction`] with places in the text that
    /// [`DragFile::text`] returns for a valid note.
    pub(crate) fn parse(note: &str, path: &Path) -> Result<Self> {
        let refuse = |kind, reason, hint: &str| Error::Report {
            path: path.to_path_buf(),
            kind,
            reason,
            hint: hint.into(),
        };
        let damaged = |reason| {
            refuse(
                ErrorKind::ShowDamaged,
                reason,
                "the report was changed after this program wrote it",
            )
        };
        let mut value: Value = serde_json::from_str(note)
            .map_err(|error| damaged(format!("the report is not JSON: {error}")))?;
        // Keys of other versions are unknown, so the version comes first.
        match value.as_object_mut().and_then(|keys| keys.remove("v")) {
            Some(format) if format == FORMAT => {}
            Some(format) => {
                let reason =
                    format!("the report has version {format}; this program reads {FORMAT}");
                return Err(refuse(
                    ErrorKind::ShowVersion,
                    reason,
                    "a newer program may read it",
                ));
            }
            None => return Err(damaged("the report has no version".into())),
        }
        let mut header: NoteHeader = serde_json::from_value(value)
            .map_err(|error| damaged(format!("the report is incomplete or changed: {error}")))?;
        let (settings, mut instruction) = (header.settings.take(), header.instruction.take());
        if header.amount.is_some_and(|amount| !amount.is_valid()) {
            return Err(damaged("the report's amount is out of its bounds".into()));
        }
        if settings.get("seed").and_then(Value::as_u64) != Some(header.seed) {
            return Err(damaged("the report gives two different seeds".into()));
        }
        if let Value::Object(keys) = &mut instruction {
            keys.extend(header.method.take().map(|method| ("method".into(), method)));
            keys.insert("settings".into(), settings);
        }
        let text = format!("{instruction:#}");
        let mut drag = DragFile::read_from(text.as_bytes(), path)?;
        // Other versions of the program list settings that their method does not use.
        let unused = drag.method.unwrap_or_default().unused();
        drag.settings
            .retain(|name| unused.iter().all(|(unused, _)| *unused != name));
        Ok(Self { header, drag })
    }
}
