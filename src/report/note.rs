//! The note inside the PNG: all that decides its pixels, and nothing else, so that the same edit gives the same file.
//! It is written as text and numbers and read back with the same distrust as a drag file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::VERSION;
use super::job::{Instruction, Job};
use crate::drag_file::DragFile;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::picture;
use crate::plan::Settings;

/// Version of the note's form.
const FORM: u64 = 1;

/// The note that goes into a PNG: no times, paths or memory.
#[derive(Debug, Serialize)]
pub struct Note<'a> {
    v: u64,
    version: &'static str,
    job: &'a str,
    image: &'a str,
    size: [usize; 2],
    areas: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    weights: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lora: Option<&'a str>,
    composite: bool,
    device: &'a str,
    dtype: &'a str,
    seed: u64,
    method: &'static str,
    settings: &'a Settings,
    instruction: Instruction<'a>,
}

impl<'a> Note<'a> {
    /// The note about `job`, whose hash is `hash`, on a picture of `size`, made with the model called `model`.
    pub fn new(job: &Job<'a>, hash: &'a str, size: Size, model: &'a str) -> Self {
        let Job {
            image,
            instruction,
            areas,
            method,
            settings,
            weights,
            lora,
            composite,
            numerics: [device, dtype],
        } = *job;
        let (v, version, size, seed) = (
            FORM,
            VERSION,
            [size.width, size.height],
            settings.diffusion.seed,
        );
        Self {
            v,
            version,
            job: hash,
            image,
            size,
            areas,
            model,
            weights,
            lora,
            composite,
            device,
            dtype,
            seed,
            method,
            settings,
            instruction,
        }
    }

    /// The note as JSON.
    ///
    /// # Panics
    /// When the note cannot be written as JSON, which holds for no value of its types.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a note is text and numbers")
    }
}

/// What a picture says of how it was made.
#[derive(Debug)]
pub struct Made {
    /// Everything but the instruction and its settings.
    pub by: Maker,
    /// The instruction, with all settings that were in force: done again with the same model, it gives the same picture.
    pub drag: DragFile,
}

/// How a picture was made, beside what was asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maker {
    /// Version of the program.
    pub version: String,
    /// Hash of all that decides the pixels.
    pub job: String,
    /// SHA-256 of the picture that was edited.
    pub image: Option<String>,
    /// Its width and height.
    pub size: Option<[usize; 2]>,
    /// SHA-256 of the areas that the instruction resolved to.
    pub areas: Option<String>,
    /// The model's name.
    pub model: String,
    /// Hash of the model's weights.
    pub weights: Option<String>,
    /// SHA-256 of the LoRA file that was used instead of training one.
    pub lora: Option<String>,
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

impl Made {
    /// Reads the note inside the PNG at `path`.
    ///
    /// # Errors
    /// As [`picture::read_note`] and [`Made::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&picture::read_note(path)?, path)
    }

    /// Reads a note; `path` is the picture it comes from.
    ///
    /// # Errors
    /// [`Error::Report`] `show.damaged` or `show.version`, and [`Error::Instruction`] with places in the drag file that
    /// [`DragFile::text`] of a good note gives.
    pub fn parse(note: &str, path: &Path) -> Result<Self> {
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
        // What another version calls its keys is not known here.
        match value.as_object_mut().and_then(|keys| keys.remove("v")) {
            Some(form) if form == FORM => {}
            Some(form) => {
                let reason = format!("the report has version {form}; this program reads {FORM}");
                return Err(refuse(
                    ErrorKind::ShowVersion,
                    reason,
                    "a newer program may read it",
                ));
            }
            None => return Err(damaged("the report has no version".into())),
        }
        let mut by: Maker = serde_json::from_value(value)
            .map_err(|error| damaged(format!("the report is incomplete or changed: {error}")))?;
        let (settings, mut instruction) = (by.settings.take(), by.instruction.take());
        if settings.get("seed").and_then(Value::as_u64) != Some(by.seed) {
            return Err(damaged("the report gives two seeds".into()));
        }
        if let Value::Object(keys) = &mut instruction {
            keys.extend(by.method.take().map(|method| ("method".into(), method)));
            keys.insert("settings".into(), settings);
        }
        let text = format!("{instruction:#}");
        let drag = DragFile::read_from(text.as_bytes(), path)?;
        Ok(Self { by, drag })
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
        let drag = DragFile::parse(DRAG.as_bytes()).expect("a good drag file");
        let job = Job {
            image: "1",
            instruction: Instruction::from(&drag),
            areas: "2",
            method: settings.method.method().name(),
            settings,
            weights: "3",
            lora: Some("4"),
            composite: false,
            numerics: ["cpu", "f32"],
        };
        Note::new(&job, &job.hash(), Size::new(640, 480), "demo").to_json()
    }

    fn parse(note: &str) -> Result<Made> {
        Made::parse(note, Path::new("out.png"))
    }

    fn kind(note: &str) -> ErrorKind {
        parse(note)
            .expect_err("the note is not as it was written")
            .kind()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let given = Overrides::from([
            ("lr", json!(0.300_000_000_000_000_04)),
            ("seed", json!(u64::MAX)),
        ]);
        let settings = Settings::resolve(&Choice::of(given)).expect("within bounds");
        let Made { by, drag } = parse(&note(&settings)).expect("just written");
        let original = DragFile::parse(DRAG.as_bytes()).expect("a good drag file");
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
            (by.model.as_str(), by.size, by.composite, by.seed),
            ("demo", Some([640, 480]), false, u64::MAX)
        );
        assert_eq!(
            [by.image, by.areas, by.weights, by.lora].map(Option::unwrap_or_default),
            ["1", "2", "3", "4"]
        );
    }

    #[test]
    fn the_settings_that_a_drag_file_brings_along_are_no_second_truth() {
        assert_eq!(
            note(
                &Settings::resolve(&Choice::of(Overrides::from([("seed", 5)]))).expect("in bounds")
            )
            .matches("\"seed\":3")
            .count(),
            0
        );
    }

    #[test]
    fn notes_of_another_hand_are_refused() {
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
        assert_eq!(
            kind(&good.replacen("\"rotation\"", "\"spin\"", 1)),
            ErrorKind::InstructionRange
        );
    }

    proptest! {
        #[test]
        fn nothing_in_a_note_is_a_panic(place in 0_usize..2000, with in "\\PC{0,3}", cut in 0_usize..3) {
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
