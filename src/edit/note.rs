//! The note inside a result's PNG: everything that decides the pixels, as JSON.
//!
//! It has no times, paths or memory figures, so that the same edit gives the same file. Reading it back validates it as strictly as a drag
//! file: anybody may have written it.

use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::job::{Instruction, Job};
use super::{Provenance, VERSION};
use crate::drag_file::DragFile;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::model::{AdditionNotes, EmbeddingNote, StyleNote};
use crate::picture;
use crate::plan::{Amount, Settings};

/// Version of the format.
const FORMAT: u64 = 1;

/// The note of one edit, ready to be written.
#[derive(Debug, Serialize)]
pub(crate) struct Note<'a> {
    v: u64,
    version: &'static str,
    job: &'a str,
    image: &'a str,
    size: [usize; 2],
    areas: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    weights: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lora: Option<&'a str>,
    #[serde(flatten)]
    additions: &'a AdditionNotes,
    composite: bool,
    device: &'a str,
    dtype: &'a str,
    seed: u64,
    method: &'static str,
    settings: &'a Settings,
    instruction: Instruction<'a>,
}

impl<'a> Note<'a> {
    /// Returns the note of `job` with this hash, on a picture of `size`.
    pub(crate) fn new(
        job: &Job<'a>,
        hash: &'a str,
        size: Size,
        provenance: Provenance<'a>,
    ) -> Self {
        let Provenance {
            model, additions, ..
        } = provenance;
        let Job {
            image,
            instruction,
            amount,
            areas,
            method,
            settings,
            weights,
            clip,
            lora,
            composite,
            numerics: [device, dtype],
        } = *job;
        let (v, version, size) = (FORMAT, VERSION, [size.width, size.height]);
        let seed = settings.diffusion.seed;
        Self {
            v,
            version,
            job: hash,
            image,
            size,
            areas,
            amount,
            model,
            weights,
            clip,
            lora,
            additions,
            composite,
            device,
            dtype,
            seed,
            method,
            settings,
            instruction,
        }
    }

    /// Returns the note as JSON.
    ///
    /// # Panics
    /// When the note cannot be serialised, which is impossible for its types.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a note is text and numbers")
    }
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use serde_json::json;

    use super::*;
    use crate::plan::Choice;
    use crate::settings::Overrides;

    const DRAG: &str = r#"{"version": 1, "prompt": "a \u00e9t\u00e9 \"", "editable": "everything", "regions": [
        {"id": "a", "type": "rotation", "region": {"mask": "m.png"}, "center": [10.1, 0.30000000000000004], "angle": -30.7},
        {"type": "translation", "region": {"ellipse": [40, 40, 14.5, 12]}, "handle": [40, 40], "target": [60, 45.125]}],
        "settings": {"seed": 3}}"#;

    fn note(settings: &Settings) -> String {
        let drag = DragFile::parse(DRAG.as_bytes()).expect("a valid drag file");
        let job = Job {
            image: "1",
            instruction: Instruction::from(&drag),
            amount: Some(Amount::series(&[0.1, 2.5]).expect("within bounds")[0]),
            areas: "2",
            method: settings.method.method().name(),
            settings,
            weights: "3",
            clip: None,
            lora: Some("4"),
            composite: false,
            numerics: ["cpu", "f32"],
        };
        let additions = AdditionNotes {
            styles: vec![StyleNote {
                file: "ink.safetensors".into(),
                weight: 0.75,
                sha256: "5".into(),
            }],
            embeddings: Vec::new(),
        };
        let provenance = Provenance {
            weights: "3",
            clip: "",
            model: "demo",
            additions: &additions,
            numerics: ["cpu", "f32"],
        };
        Note::new(&job, &job.hash(), Size::new(640, 480), provenance).to_json()
    }

    fn parse(note: &str) -> Result<ParsedNote> {
        ParsedNote::parse(note, Path::new("out.png"))
    }

    fn kind(note: &str) -> ErrorKind {
        parse(note).expect_err("the note was changed").kind()
    }

    #[test]
    fn a_note_that_is_written_can_be_read() {
        let given = Overrides::from([
            ("lr", json!(0.300_000_000_000_000_04)),
            ("seed", json!(u64::MAX)),
        ]);
        let settings = Settings::resolve(&Choice::of(given)).expect("within bounds");
        let ParsedNote { header, drag } = parse(&note(&settings)).expect("a valid note");
        let original = DragFile::parse(DRAG.as_bytes()).expect("a valid drag file");
        assert_eq!(
            (drag.prompt, drag.editable, drag.regions),
            (original.prompt, original.editable, original.regions)
        );
        assert_eq!(
            Settings::resolve(&Choice::of(
                drag.settings.over(&Overrides::from([("steps", 7)]))
            ))
            .expect("in bounds"),
            settings
        );
        assert_eq!(
            (
                header.model.as_str(),
                header.size,
                header.composite,
                header.seed
            ),
            ("demo", Some([640, 480]), false, u64::MAX)
        );
        assert_eq!(
            [header.image, header.weights, header.lora].map(Option::unwrap_or_default),
            ["1", "3", "4"]
        );
        assert_eq!(
            (
                header.styles.len(),
                header.styles[0].weight,
                header.embeddings.len()
            ),
            (1, 0.75, 0)
        );
        let amount = header.amount.expect("it is not the whole drag");
        assert_eq!((amount.value(), amount.largest()), (0.1, 2.5));
    }

    #[test]
    fn a_note_does_not_contain_the_drag_files_settings() {
        assert_eq!(
            note(
                &Settings::resolve(&Choice::of(Overrides::from([("seed", 5)])))
                    .expect("within bounds")
            )
            .matches("\"seed\":3")
            .count(),
            0
        );
    }

    #[test]
    fn a_changed_note_is_rejected() {
        let good = note(&Settings::default());
        assert_eq!(kind("{"), ErrorKind::ShowDamaged);
        assert_eq!(kind("[]"), ErrorKind::ShowDamaged);
        assert_eq!(
            kind(&good.replacen("\"v\":1", "\"v\":2", 1)),
            ErrorKind::ShowVersion
        );
        assert_eq!(
            kind(&good.replacen("\"v\":1,", "", 1)),
            ErrorKind::ShowDamaged
        );
        assert_eq!(
            kind(&good.replacen("\"model\"", "\"modle\"", 1)),
            ErrorKind::ShowDamaged
        );
        assert_eq!(
            kind(&good.replacen("\"seed\":0", "\"seed\":1", 1)),
            ErrorKind::ShowDamaged
        );
        assert_eq!(
            kind(&good.replacen("\"strength\":0.75", "\"strength\":7", 1)),
            ErrorKind::InstructionRange
        );
        assert_eq!(
            kind(&good.replacen("\"strength\"", "\"strenght\"", 1)),
            ErrorKind::InstructionUnknownField
        );
        for (from, to) in [
            ("\"value\":0.1", "\"value\":2.6"),
            ("\"value\":0.1", "\"value\":-0.1"),
            ("\"largest\":2.5", "\"largest\":4.5"),
        ] {
            assert_eq!(kind(&good.replacen(from, to, 1)), ErrorKind::ShowDamaged);
        }
        assert_eq!(
            kind(&good.replacen("\"rotation\"", "\"spin\"", 1)),
            ErrorKind::InstructionRange
        );
    }

    proptest! {
        #[test]
        fn no_note_causes_a_panic(place in 0_usize..2000, with in "\\PC{0,3}", cut in 0_usize..3) {
            let good = note(&Settings::default());
            let place = good.floor_char_boundary(place % good.len());
            let end = good.ceil_char_boundary((place + cut).min(good.len()));
            let changed = [&good[..place], &with, &good[end..]].concat();
            if let Err(error) = parse(&changed) {
                prop_assert_eq!(error.exit_status(), 2);
            }
        }
    }
}
