use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::drag_file::DragFile;
use crate::error::{ErrorKind, Result};
use crate::model::StyleNote;
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
            &Settings::resolve(&Choice::of(Overrides::from([("seed", 5)]))).expect("within bounds")
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
